//! Filters: what a caller gives as one, and what it keeps of a catalog.
//!
//! Everything is looked up in the version of the catalog that the search holds, so that both see one state.
//! What Python evaluates (an expression of pyarrow's) is asked for then, with the GIL.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::PyReadonlyArray1;
use perso_core::column::Column;
use perso_core::error::Error;
use perso_core::filter::{Columns, Expr, Filter as Core, Kept, Outside};
use perso_core::ids::{IdMap, Ids};
use perso_core::select::{select, Where};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::columns;
use crate::convert;
use crate::error::Outcome;
use crate::index::Index;
use crate::ranking::Items;

/// A filter, of no catalog in particular.
#[pyclass(frozen, module = "perso_core._core")]
pub struct Filter {
    core: Arc<Core>,
}

#[pymethods]
impl Filter {
    #[new]
    fn new(json: &str) -> Outcome<Self> {
        Ok(Filter {
            core: Arc::new(Core::of(Expr::parse("where", json)?)),
        })
    }

    /// What Python evaluates: from a pyarrow record batch of some attributes to two bool arrays, whether it is
    /// true and whether it is not false. `key` stands for it.
    #[staticmethod]
    fn outside(key: String, attributes: Vec<String>, evaluate: Py<PyAny>) -> Self {
        let outside = Evaluated {
            attributes,
            evaluate,
        };
        Filter {
            core: Arc::new(Core::Outside(Arc::new(outside), key.into())),
        }
    }

    /// Its JSON; None of what Python evaluates.
    #[getter]
    fn json(&self) -> Option<&str> {
        match &*self.core {
            Core::Expr(_, json) => Some(json),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Evaluated {
    attributes: Vec<String>,
    evaluate: Py<PyAny>,
}

impl Outside for Evaluated {
    fn evaluate<'c>(
        &self,
        ids: &IdMap,
        column: &dyn Fn(&str) -> Option<&'c Column>,
    ) -> Result<Vec<Option<bool>>, Error> {
        let batch = columns::batch(ids, &self.attributes, column)?;
        type Flags<'py> = PyReadonlyArray1<'py, bool>;
        Python::attach(|py| -> PyResult<Vec<Option<bool>>> {
            let batch = Bound::new(py, batch)?;
            let answers = self.evaluate.bind(py).call1((batch,))?;
            let (yes, maybe): (Flags<'_>, Flags<'_>) = answers.extract()?;
            let (yes, maybe) = (yes.as_array(), maybe.as_array());
            let truth = |(&yes, &maybe): (&bool, &bool)| (yes == maybe).then_some(yes);
            Ok(yes.iter().zip(maybe).map(truth).collect())
        })
        .map_err(|raised| Error::Outside(Box::new(raised)))
        .and_then(|truths| {
            if truths.len() == ids.len() {
                return Ok(truths);
            }
            let expected = format!("an expression with {} values, one an item", ids.len());
            Err(Error::invalid("where", expected, truths.len()))
        })
    }
}

/// What can be filtered.
#[derive(FromPyObject)]
enum Filtered<'py> {
    Index(PyRef<'py, Index>),
    Items(Items<'py>),
}

impl Filtered<'_> {
    /// What tells it from others.
    fn place(&self) -> usize {
        match self {
            Filtered::Index(index) => index.place(),
            Filtered::Items(items) => items.place(),
        }
    }

    /// Calls `f` with it as it is now, without the GIL.
    fn look<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&dyn Columns) -> Outcome<T> + Send,
    ) -> Outcome<T> {
        match self {
            Filtered::Index(index) => {
                let index: &Index = index;
                py.detach(|| f(&*index.read()))
            }
            Filtered::Items(items) => {
                let held = items.hold();
                py.detach(|| held.with(|source, _| f(&source)))
            }
        }
    }
}

/// What a filter keeps of a catalog, of candidates, or of an index.
#[pyclass(frozen, module = "perso_core._core")]
pub struct Compiled {
    core: Arc<Core>,
    /// Held, so that no other comes to lie where it does.
    owner: Py<PyAny>,
    place: usize,
    kept: Mutex<Arc<Kept>>,
}

impl Compiled {
    /// The rows as they are now: found anew where there was a change since.
    fn now<C: Columns + ?Sized>(&self, source: &C, argument: &str) -> Result<Arc<Kept>, Error> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().clone();
        if kept.is_of(source) {
            return Ok(kept);
        }
        let kept = self.core.compile(source, argument)?;
        *lock() = kept.clone();
        Ok(kept)
    }

    fn look<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&dyn Columns, &Kept) -> T + Send,
    ) -> Outcome<T> {
        let owner: Filtered<'_> = self.owner.bind(py).extract()?;
        owner.look(py, |source| Ok(f(source, &*self.now(source, "where")?)))
    }

    fn with(&self, py: Python<'_>, core: Core) -> Outcome<Compiled> {
        let owner: Filtered<'_> = self.owner.bind(py).extract()?;
        let core = Arc::new(core);
        let kept = owner.look(py, |source| Ok(core.compile(source, "where")?))?;
        Ok(Compiled {
            core,
            owner: self.owner.clone_ref(py),
            place: self.place,
            kept: Mutex::new(kept),
        })
    }

    fn expect_same_owner(&self, other: &Compiled) -> Outcome<()> {
        if self.place == other.place {
            return Ok(());
        }
        let expected = "two filters that were compiled for one catalog or index";
        Err(Error::invalid("filter", expected, "filters of two").into())
    }
}

#[pymethods]
impl Compiled {
    fn both(&self, py: Python<'_>, other: PyRef<'_, Compiled>) -> Outcome<Compiled> {
        self.expect_same_owner(&other)?;
        self.with(py, Core::And(self.core.clone(), other.core.clone()))
    }

    fn either(&self, py: Python<'_>, other: PyRef<'_, Compiled>) -> Outcome<Compiled> {
        self.expect_same_owner(&other)?;
        self.with(py, Core::Or(self.core.clone(), other.core.clone()))
    }

    fn negated(&self, py: Python<'_>) -> Outcome<Compiled> {
        self.with(py, Core::Not(self.core.clone()))
    }

    /// (items kept, items in all, generation, bytes).
    fn sizes(&self, py: Python<'_>) -> Outcome<(usize, usize, u64, usize)> {
        self.look(py, |source, kept| {
            let bytes = source.row_ids().rows_len().div_ceil(64) * 8;
            (kept.rows.len(), kept.live, kept.generation, bytes)
        })
    }

    fn ids<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyAny>> {
        let ids = self.look(py, |source, kept| source.row_ids().ids_of(kept.rows.iter()))?;
        Ok(convert::ids_out(py, ids)?)
    }

    fn __contains__(&self, py: Python<'_>, id: &Bound<'_, PyAny>) -> Outcome<bool> {
        let Some(id) = convert::any_id(id) else {
            return Ok(false);
        };
        self.look(py, |source, kept| {
            let row = source.row_ids().row(&id);
            row.is_some_and(|row| kept.rows.contains(row))
        })
    }
}

/// Compiles a filter of any kind.
#[pyfunction]
#[pyo3(signature = (source, r#where, argument))]
pub fn compile(
    py: Python<'_>,
    source: Bound<'_, PyAny>,
    r#where: &Bound<'_, PyAny>,
    argument: &str,
) -> Outcome<Compiled> {
    let owner: Filtered<'_> = source.extract()?;
    let place = owner.place();
    let given = Given::new(argument, Some(r#where), place)?;
    let (core, kept) = owner.look(py, |source| {
        let core = given.into_core(source, argument)?;
        let kept = core.compile(source, argument)?;
        Ok((core, kept))
    })?;
    Ok(Compiled {
        core,
        owner: source.unbind(),
        place,
        kept: Mutex::new(kept),
    })
}

/// A filter as it came, held for as long as the core looks at it.
pub enum Given {
    All,
    Mask(Vec<bool>),
    Ids(Ids),
    Filter(Arc<Core>),
    Compiled(Py<Compiled>),
}

impl Given {
    /// From None, a bool mask, ids, a `Filter`, or a `Compiled` of what lies at `place`.
    pub fn new(argument: &str, value: Option<&Bound<'_, PyAny>>, place: usize) -> Outcome<Given> {
        let Some(value) = value.filter(|value| !value.is_none()) else {
            return Ok(Given::All);
        };
        if let Ok(filter) = value.cast::<Filter>() {
            return Ok(Given::Filter(filter.get().core.clone()));
        }
        if let Ok(compiled) = value.cast::<Compiled>() {
            if compiled.get().place != place {
                let expected = "a filter that was compiled for this catalog or index";
                return Err(Error::invalid(argument, expected, "one of another").into());
            }
            return Ok(Given::Compiled(compiled.clone().unbind()));
        }
        Given::plain(argument, value)
    }

    fn plain(argument: &str, value: &Bound<'_, PyAny>) -> Outcome<Given> {
        if let Ok(mask) = value.extract::<PyReadonlyArray1<'_, bool>>() {
            return Ok(Given::Mask(mask.as_array().to_vec()));
        }
        Ok(Given::Ids(convert::ids(argument, value)?))
    }

    /// The rows that a filter keeps; `None` where it is none.
    pub fn kept<C: Columns + ?Sized>(
        &self,
        source: &C,
        argument: &str,
    ) -> Result<Option<Arc<Kept>>, Error> {
        match self {
            Given::Filter(filter) => filter.compile(source, argument).map(Some),
            Given::Compiled(compiled) => compiled.get().now(source, argument).map(Some),
            _ => Ok(None),
        }
    }

    /// As the core takes it; `kept` is what [`Given::kept`] found.
    pub fn as_where<'a>(&'a self, kept: Option<&'a Kept>) -> Where<'a> {
        match (self, kept) {
            (Given::Mask(mask), _) => Where::Mask(mask),
            (Given::Ids(ids), _) => Where::Ids(ids),
            (_, Some(kept)) => Where::Rows(&kept.rows),
            _ => Where::All,
        }
    }

    /// As a filter that can be compiled anew when the catalog has changed. A mask and ids name items: those
    /// that are gone by then are passed over.
    fn into_core(self, source: &dyn Columns, argument: &str) -> Result<Arc<Core>, Error> {
        let named = |only: Where<'_>| {
            let rows = select(source.row_ids(), argument, only, None)?.rows;
            let ids = source.row_ids().ids_of(rows.iter());
            Ok(Arc::new(Core::Ids(Arc::new(ids))))
        };
        match self {
            Given::All => named(Where::All),
            Given::Mask(mask) => named(Where::Mask(&mask)),
            Given::Ids(ids) => named(Where::Ids(&ids)),
            Given::Filter(filter) => Ok(filter),
            Given::Compiled(compiled) => Ok(compiled.get().core.clone()),
        }
    }
}

/// One filter for all of some queries, or one for each.
pub struct GivenEach {
    argument: &'static str,
    filters: Vec<Given>,
    each: bool,
}

impl GivenEach {
    /// A tuple has one for each of `count` queries.
    pub fn new(
        argument: &'static str,
        value: Option<&Bound<'_, PyAny>>,
        place: usize,
        count: usize,
    ) -> Outcome<GivenEach> {
        let one =
            |argument: &str, value: Option<&Bound<'_, PyAny>>| Given::new(argument, value, place);
        let Some(each) = value.and_then(|value| value.cast::<PyTuple>().ok()) else {
            return Ok(GivenEach {
                argument,
                filters: vec![one(argument, value)?],
                each: false,
            });
        };
        if each.len() != count {
            let expected = format!("{count} filters, one for each");
            return Err(Error::invalid(argument, expected, each.len()).into());
        }
        let filters = each
            .iter()
            .enumerate()
            .map(|(i, value)| one(&format!("{argument}[{i}]"), Some(&value)))
            .collect::<Outcome<_>>()?;
        Ok(GivenEach {
            argument,
            filters,
            each: true,
        })
    }

    /// Whether there is one for each.
    pub fn is_each(&self) -> bool {
        self.each
    }

    /// What they keep, one after another.
    pub fn kept<C: Columns + ?Sized>(&self, source: &C) -> Result<Vec<Option<Arc<Kept>>>, Error> {
        let one = |(i, filter): (usize, &Given)| {
            let argument = if self.each {
                format!("{}[{i}]", self.argument)
            } else {
                self.argument.to_owned()
            };
            filter.kept(source, &argument)
        };
        self.filters.iter().enumerate().map(one).collect()
    }

    /// The `i`-th as the core takes it; `kept` is what [`GivenEach::kept`] found.
    pub fn as_where<'a>(&'a self, kept: &'a [Option<Arc<Kept>>], i: usize) -> Where<'a> {
        let i = if self.each { i } else { 0 };
        self.filters[i].as_where(kept.get(i).and_then(|kept| kept.as_deref()))
    }

    /// `f` of each.
    pub fn map<T>(
        &self,
        kept: &[Option<Arc<Kept>>],
        f: impl Fn(Where<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        (0..self.filters.len())
            .map(|i| f(self.as_where(kept, i)))
            .collect()
    }
}
