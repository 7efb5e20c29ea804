//! Filters over attributes: a tree of predicates, compiled to the rows that it keeps.
//!
//! `expr` is the tree and its JSON, `bind` checks it against columns and adds it up, `index` and `indexed`
//! know where values are, `bits` is what is added up. The conditions of a policy's rules are evaluated by
//! the same code (`rank/predicate`).

mod bind;
mod bits;
mod compiled;
mod expr;
mod index;
mod indexed;
#[cfg(test)]
mod tests;

pub use compiled::{Filter, Kept, Outside};
pub use expr::{Ends, Expr, Literal, Moment};
pub use indexed::{Indexed, Stamp};

pub(crate) use bind::{Bound, Leaf};

use crate::column::Column;
use crate::ids::IdMap;

/// Whatever has rows with attributes.
pub trait Columns {
    /// Ids by row.
    fn row_ids(&self) -> &IdMap;

    /// An attribute's column, as long as there are rows.
    fn attribute(&self, name: &str) -> Option<&Column>;

    /// What is known of the columns' values; `None` where they are scanned.
    fn indexed(&self) -> Option<&Indexed>;

    /// Grows with every change; 0 of what counts none.
    fn at_generation(&self) -> u64;
}

/// So that what is known as something else can be handed on as this.
impl<C: Columns + ?Sized> Columns for &C {
    fn row_ids(&self) -> &IdMap {
        (**self).row_ids()
    }

    fn attribute(&self, name: &str) -> Option<&Column> {
        (**self).attribute(name)
    }

    fn indexed(&self) -> Option<&Indexed> {
        (**self).indexed()
    }

    fn at_generation(&self) -> u64 {
        (**self).at_generation()
    }
}
