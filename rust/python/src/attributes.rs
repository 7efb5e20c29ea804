//! Attribute values between Python and the core.

use perso_core::column::{ColumnType, Value};
use perso_core::error::Error;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::Outcome;

/// One attribute as the Python layer hands it over: its type and one value an item, None for null.
/// Timestamps come as microseconds since the epoch.
pub type Given<'py> = (String, Bound<'py, PyList>);

/// All attributes of a call.
pub fn columns(given: &Bound<'_, PyDict>) -> Outcome<Vec<(String, ColumnType, Vec<Value>)>> {
    let mut out = Vec::with_capacity(given.len());
    for (name, value) in given.iter() {
        let name: String = name.extract()?;
        let (kind, values): Given<'_> = value.extract()?;
        let kind = column_type(&kind)?;
        let values = values
            .iter()
            .enumerate()
            .map(|(i, value)| one(&name, kind, i, &value))
            .collect::<Outcome<Vec<Value>>>()?;
        out.push((name, kind, values));
    }
    Ok(out)
}

fn column_type(name: &str) -> Outcome<ColumnType> {
    [
        ColumnType::Bool,
        ColumnType::Int,
        ColumnType::Float,
        ColumnType::Time,
        ColumnType::Str,
        ColumnType::StrList,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == name)
    .ok_or_else(|| Error::invalid("attributes", "a type name", format!("{name:?}")).into())
}

fn one(name: &str, kind: ColumnType, i: usize, value: &Bound<'_, PyAny>) -> Outcome<Value> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    let read = match kind {
        ColumnType::Bool => value.extract().map(Value::Bool),
        ColumnType::Int => value.extract().map(Value::Int),
        ColumnType::Float => value.extract().map(Value::Float),
        ColumnType::Time => value.extract().map(Value::Time),
        ColumnType::Str => value
            .extract::<String>()
            .map(|text| Value::Str(text.into())),
        ColumnType::StrList => value
            .extract::<Vec<String>>()
            .map(|texts| Value::StrList(texts.into_iter().map(Into::into).collect())),
    };
    read.map_err(|_| {
        let got = match value.repr() {
            Ok(text) => format!("{text} at position {i}"),
            Err(_) => format!("a {} at position {i}", value.get_type()),
        };
        Error::wrong_type(
            format!("attributes[{name:?}]"),
            format!("values of {kind}"),
            got,
        )
        .into()
    })
}

/// A value to Python; timestamps go as microseconds.
pub fn out<'py>(py: Python<'py>, value: Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(value) | Value::Time(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::Str(text) => text.into_pyobject(py)?.into_any(),
        Value::StrList(texts) => PyList::new(py, texts.iter().map(|text| &**text))?.into_any(),
    })
}
