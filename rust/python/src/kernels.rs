//! `cpu_features`, `dot` and `topk` over plain arrays.

use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use perso_core::error::Error;
use perso_core::metric::Metric;
use perso_core::plain::{self, Items};
use perso_kernels::Kernels;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;
use crate::error::Outcome;

#[pyfunction]
fn cpu_features(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("isa", Kernels::get().isa().as_str())?;
    let available: Vec<&str> = Kernels::available()
        .iter()
        .map(|row| row.isa().as_str())
        .collect();
    out.set_item("available", available)?;
    out.set_item("arch", std::env::consts::ARCH)?;
    Ok(out)
}

fn dims(queries: &[usize], items: &[usize]) -> Outcome<(usize, usize, usize)> {
    if queries[1] != items[1] || queries[1] == 0 {
        return Err(Error::invalid(
            "items",
            format!("{} columns, as queries (at least 1)", queries[1]),
            format!("shape ({}, {})", items[0], items[1]),
        )
        .into());
    }
    if queries[1] > perso_core::store::MAX_DIM {
        return Err(Error::invalid(
            "queries",
            format!("at most {} columns", perso_core::store::MAX_DIM),
            queries[1],
        )
        .into());
    }
    Ok((queries[0], items[0], queries[1]))
}

macro_rules! dot {
    ($name:ident, $query:ty, $item:ty, |$queries:ident, $items:ident, $dim:ident, $out:ident| $call:expr) => {
        #[pyfunction]
        fn $name<'py>(
            py: Python<'py>,
            queries: PyReadonlyArray2<'py, $query>,
            items: PyReadonlyArray2<'py, $item>,
        ) -> Outcome<Bound<'py, PyArray2<f32>>> {
            let (q, n, $dim) = dims(queries.shape(), items.shape())?;
            let $queries = convert::contiguous("queries", &queries)?;
            let $items = convert::contiguous("items", &items)?;
            let mut scores = vec![0.0f32; q * n];
            let $out = &mut scores[..];
            py.detach(|| $call);
            Ok(scores.into_pyarray(py).reshape([q, n])?)
        }
    };
}

dot!(dot_f32, f32, f32, |queries, items, dim, out| plain::dot(
    queries,
    Items::F32(items),
    dim,
    out
));
dot!(dot_f16, f32, u16, |queries, items, dim, out| plain::dot(
    queries,
    Items::F16(items),
    dim,
    out
));
dot!(dot_i8, i8, i8, |queries, items, dim, out| plain::dot_i8(
    queries, items, dim, out
));

macro_rules! topk {
    ($name:ident, $item:ty, $items:path) => {
        #[pyfunction]
        fn $name<'py>(
            py: Python<'py>,
            queries: PyReadonlyArray2<'py, f32>,
            items: PyReadonlyArray2<'py, $item>,
            k: usize,
            metric: &str,
            num_threads: i64,
        ) -> Outcome<(Bound<'py, PyAny>, Bound<'py, PyArray2<f32>>)> {
            let (q, n, dim) = dims(queries.shape(), items.shape())?;
            convert::check_table(q, k)?;
            let metric = Metric::parse("metric", metric)?;
            let queries = convert::contiguous("queries", &queries)?;
            let items = convert::contiguous("items", &items)?;
            if n > u32::MAX as usize {
                return Err(Error::invalid("items", "at most 4294967295 rows", n).into());
            }
            let lists =
                py.detach(|| plain::topk(queries, $items(items), dim, k, metric, num_threads))?;
            Ok(convert::Table::new(&lists, k, None).into_py(py)?)
        }
    };
}

topk!(topk_f32, f32, Items::F32);
topk!(topk_f16, u16, Items::F16);

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(cpu_features, module)?)?;
    module.add_function(wrap_pyfunction!(dot_f32, module)?)?;
    module.add_function(wrap_pyfunction!(dot_f16, module)?)?;
    module.add_function(wrap_pyfunction!(dot_i8, module)?)?;
    module.add_function(wrap_pyfunction!(topk_f32, module)?)?;
    module.add_function(wrap_pyfunction!(topk_f16, module)?)
}
