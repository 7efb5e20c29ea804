//! Python values to the core's and back.

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use perso_core::error::Error;
use perso_core::ids::{ByRow, Id, IdMap, Ids};
use perso_core::index::Answers;
use perso_core::scored::Scored;
use perso_core::vectors::{Bytes, Found};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::Outcome;

/// Ids from an int64 array or a list of str; `argument` names them in errors.
pub fn ids(argument: &str, value: &Bound<'_, PyAny>) -> Outcome<Ids> {
    if let Ok(array) = value.extract::<PyReadonlyArray1<'_, i64>>() {
        return Ok(Ids::Int(array.as_array().to_vec()));
    }
    let Ok(list) = value.cast::<PyList>() else {
        return Err(Error::wrong_type(
            argument,
            "an int64 array or a list of str",
            value.get_type(),
        )
        .into());
    };
    let mut ids = Vec::with_capacity(list.len());
    for item in list.iter() {
        let text: String = item.extract().map_err(|_| {
            Error::wrong_type(
                argument,
                "a list of str",
                format!("an item of {}", item.get_type()),
            )
        })?;
        ids.push(text.into_boxed_str());
    }
    Ok(Ids::Str(ids))
}

pub fn optional_ids(argument: &str, value: Option<&Bound<'_, PyAny>>) -> Outcome<Option<Ids>> {
    value.map(|value| ids(argument, value)).transpose()
}

/// One id of either kind, if that is what it is.
pub fn any_id(value: &Bound<'_, PyAny>) -> Option<Id> {
    if let Ok(number) = value.extract::<i64>() {
        return Some(Id::Int(number));
    }
    let text = value.extract::<String>().ok()?;
    Some(Id::Str(text.into()))
}

/// Ids to an int64 array or a list of str.
pub fn ids_out<'py>(py: Python<'py>, ids: Ids) -> PyResult<Bound<'py, PyAny>> {
    Ok(match ids {
        Ids::Int(ids) => ids.into_pyarray(py).into_any(),
        Ids::Str(ids) => PyList::new(py, ids.iter().map(|id| &**id))?.into_any(),
    })
}

/// A contiguous float32 vector of `dim` components, if that is what it is.
pub fn plain_vector<'py>(
    value: &Bound<'py, PyAny>,
    dim: usize,
) -> Option<PyReadonlyArray1<'py, f32>> {
    let array = value.cast::<PyArray1<f32>>().ok()?;
    let plain = array.len() == dim && array.is_c_contiguous();
    plain.then(|| array.try_readonly().ok())?
}

/// A float32 matrix, C-contiguous, of `dim` columns.
pub fn matrix<'a>(
    argument: &str,
    array: &'a PyReadonlyArray2<'_, f32>,
    dim: usize,
) -> Outcome<&'a [f32]> {
    check_columns(argument, dim, array.shape()[1])?;
    contiguous(argument, array)
}

/// Refuses a matrix of another width than the space has dimensions.
pub fn check_columns(argument: &str, dim: usize, columns: usize) -> Outcome<()> {
    if columns == dim {
        return Ok(());
    }
    let expected = format!("vectors of {dim} components");
    Err(Error::invalid(argument, expected, format!("{columns} components")).into())
}

/// The numbers of a C-contiguous array.
pub fn contiguous<'a, T: numpy::Element>(
    argument: &str,
    array: &'a PyReadonlyArray2<'_, T>,
) -> Outcome<&'a [T]> {
    array
        .as_slice()
        .map_err(|_| Error::invalid(argument, "a C-contiguous array", "another layout").into())
}

/// Answer lists as padded columns: ids (-1 or None where fewer exist) and scores (NaN there).
pub struct Table {
    rows: usize,
    k: usize,
    ids: IdTable,
    scores: Vec<f32>,
}

enum IdTable {
    Int(Vec<i64>),
    Str(Vec<Option<Box<str>>>),
}

impl Table {
    /// Pads `lists` to `k` columns; `ids` is `None` when the row is the id.
    pub fn new(lists: &[Vec<Scored>], k: usize, ids: Option<&IdMap>) -> Table {
        let ids = match ids.map(IdMap::by_row) {
            None => IdTable::Int(padded(lists, k, i64::from, -1)),
            Some(ByRow::Int(ids)) => IdTable::Int(padded(lists, k, |row| ids[row as usize], -1)),
            Some(ByRow::Str(ids)) => IdTable::Str(padded(
                lists,
                k,
                |row| Some(ids.get(row as usize).into()),
                None,
            )),
        };
        let mut scores = Vec::with_capacity(lists.len() * k);
        for list in lists {
            scores.extend(list.iter().map(|entry| entry.score));
            scores.resize(scores.len() + k.saturating_sub(list.len()), f32::NAN);
        }
        Table {
            rows: lists.len(),
            k,
            ids,
            scores,
        }
    }

    /// The same for one query: ids `(k,)` or a list, scores `(k,)`.
    pub fn into_py_one<'py>(
        self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray1<f32>>)> {
        let ids = match self.ids {
            IdTable::Int(ids) => ids.into_pyarray(py).into_any(),
            IdTable::Str(ids) => PyList::new(py, ids.iter().map(Option::as_deref))?.into_any(),
        };
        Ok((ids, self.scores.into_pyarray(py)))
    }

    /// `(ids, scores)`: ids as an int64 array `(q, k)` or a list of lists, scores `(q, k)`.
    pub fn into_py<'py>(
        self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray2<f32>>)> {
        let shape = [self.rows, self.k];
        let ids = match self.ids {
            IdTable::Int(ids) => ids.into_pyarray(py).reshape(shape)?.into_any(),
            IdTable::Str(ids) => {
                let rows: Vec<_> = ids
                    .chunks(self.k.max(1))
                    .map(|row| PyList::new(py, row.iter().map(Option::as_deref)))
                    .collect::<PyResult<_>>()?;
                PyList::new(py, rows)?.into_any()
            }
        };
        Ok((ids, self.scores.into_pyarray(py).reshape(shape)?))
    }
}

/// Bytes by part as a dict.
pub fn parts(py: Python<'_>, bytes: Bytes) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    for (name, count) in bytes.parts() {
        out.set_item(name, count)?;
    }
    Ok(out)
}

/// Refuses a padded table that could not be allocated.
pub fn check_table(queries: usize, k: usize) -> Outcome<()> {
    const LIMIT: usize = 1 << 30;
    match queries.max(1).checked_mul(k) {
        Some(cells) if cells <= LIMIT => Ok(()),
        _ => Err(Error::invalid("k", format!("at most {LIMIT} answers in a call"), k).into()),
    }
}

fn padded<T: Clone>(lists: &[Vec<Scored>], k: usize, of: impl Fn(u32) -> T, missing: T) -> Vec<T> {
    let mut out = Vec::with_capacity(lists.len() * k);
    for list in lists {
        out.extend(list.iter().map(|entry| of(entry.row)));
        out.resize(out.len() + k.saturating_sub(list.len()), missing.clone());
    }
    out
}

/// Answer lists and the way they were found: "graph" when any query walked the graph so, else "filtered" when any
/// did so.
pub fn split(answers: Vec<Answers>) -> (Vec<Vec<Scored>>, &'static str) {
    let walked = |way: &Found| answers.iter().any(|(_, found)| found == way);
    let path = [Found::Graph, Found::Filtered]
        .into_iter()
        .find(walked)
        .unwrap_or(Found::Exact);
    let lists = answers.into_iter().map(|(list, _)| list).collect();
    (lists, path.as_str())
}
