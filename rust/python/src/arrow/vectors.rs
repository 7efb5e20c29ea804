//! Lists of numbers as vectors: where they lie, if that can be.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type, Int8Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use perso_core::error::{Error, Result};
use perso_core::vectors::Numbers;

/// The length of a column's first list that is there; 0 where none is.
pub fn first_len(column: &ArrayRef) -> usize {
    let first = (0..column.len()).find(|i| column.is_valid(*i));
    match (column.data_type(), first) {
        (DataType::FixedSizeList(_, len), _) => usize::try_from(*len).unwrap_or(0),
        (DataType::List(_), Some(i)) => column.as_list::<i32>().value(i).len(),
        (DataType::LargeList(_), Some(i)) => column.as_list::<i64>().value(i).len(),
        _ => 0,
    }
}

fn no_vectors(name: &str, got: String) -> Error {
    Error::wrong_type(
        "spaces",
        format!("column {name:?} of lists of floats or int8, all of one length and without nulls"),
        got,
    )
}

/// Refuses a column that is none of vectors.
pub fn check_lists(name: &str, kind: &DataType) -> Result<()> {
    match kind {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item)
            if item.data_type().is_floating() || *item.data_type() == DataType::Int8 =>
        {
            Ok(())
        }
        other => Err(no_vectors(name, other.to_string())),
    }
}

/// Vectors of `dim` components: single precision and int8 as they lie in the table, halves and doubles converted.
pub fn numbers<'a>(
    column: &'a ArrayRef,
    name: &str,
    dim: usize,
    row: usize,
) -> Result<Numbers<'a>> {
    let wrong = |got: String| no_vectors(name, got);
    if column.null_count() > 0 {
        let null = (0..column.len()).position(|i| column.is_null(i));
        return Err(wrong(format!(
            "nulls, the first in row {}",
            row + null.unwrap_or(0)
        )));
    }
    // The lists lie one after another, so they are one run of the values.
    let run = |offsets: &mut dyn Iterator<Item = (usize, usize)>| -> Result<Range<usize>> {
        let mut found: Option<Range<usize>> = None;
        for (start, end) in offsets {
            if end - start != dim {
                return Err(wrong(format!("lists of {dim} and of {}", end - start)));
            }
            found = Some(found.map_or(start, |found| found.start)..end);
        }
        Ok(found.unwrap_or(0..0))
    };
    let (values, run) = match column.data_type() {
        DataType::FixedSizeList(..) => {
            let list = column.as_fixed_size_list();
            (list.values(), 0..list.values().len())
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let pairs = list.value_offsets().windows(2);
            let run = run(&mut pairs.map(|pair| (pair[0] as usize, pair[1] as usize)))?;
            (list.values(), run)
        }
        _ => {
            let list = column.as_list::<i64>();
            let pairs = list.value_offsets().windows(2);
            let run = run(&mut pairs.map(|pair| (pair[0] as usize, pair[1] as usize)))?;
            (list.values(), run)
        }
    };
    if values.null_count() > 0 {
        if let Some(null) = run.clone().position(|at| values.is_null(at)) {
            let at = row + null / dim.max(1);
            return Err(wrong(format!("a null inside the list of row {at}")));
        }
    }
    macro_rules! run_of {
        ($kind:ty) => {
            &values.as_primitive::<$kind>().values()[run]
        };
    }
    Ok(match values.data_type() {
        DataType::Float32 => Numbers::F32(Cow::Borrowed(run_of!(Float32Type))),
        DataType::Int8 => Numbers::I8(run_of!(Int8Type)),
        DataType::Float16 => {
            let halves = run_of!(Float16Type).iter();
            Numbers::F32(halves.map(|v| f32::from(*v)).collect())
        }
        // A double beyond f32 becomes infinite here and is refused with its row by the space.
        _ => {
            let doubles = run_of!(Float64Type).iter();
            Numbers::F32(doubles.map(|v| *v as f32).collect())
        }
    })
}
