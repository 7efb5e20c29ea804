//! Which rows a filter and an exclusion leave: the same for a search and for a ranking.

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::ids::{IdMap, Ids};

/// What `where=` (of a ranking) or `filter=` (of a search) may be.
#[derive(Clone, Copy, Debug)]
pub enum Where<'a> {
    /// No filter.
    All,
    /// One flag per live item, in row order: aligned with the ids that the user sees.
    Mask(&'a [bool]),
    /// These ids only; each must be there.
    Ids(&'a Ids),
    /// What a filter keeps of the rows as they are now.
    Rows(&'a RowSet),
}

/// The rows that were selected.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Live rows within the filter that are not excluded.
    pub rows: RowSet,
    /// How many live rows the filter let through, excluded ones among them.
    pub within: usize,
}

/// The live rows within `filter`, less `exclude`. `argument` is what the caller calls the filter.
///
/// An id of `exclude` that is not there is fine (a seen item that was removed since); an id of the
/// filter that is not there is [`Error::Missing`].
pub fn select(
    ids: &IdMap,
    argument: &str,
    filter: Where<'_>,
    exclude: Option<&Ids>,
) -> Result<Selection> {
    let mut rows = match filter {
        Where::All => ids.live().clone(),
        Where::Mask(flags) => {
            if flags.len() != ids.len() {
                return Err(Error::invalid(
                    argument,
                    format!("{0} flags, one for each of the {0} items", ids.len()),
                    format!("{} flags", flags.len()),
                ));
            }
            let mut rows = RowSet::none(ids.rows_len());
            ids.live_rows()
                .zip(flags)
                .filter(|(_, &keep)| keep)
                .for_each(|(row, _)| rows.insert(row));
            rows
        }
        Where::Ids(wanted) => {
            check_kind(argument, ids, wanted)?;
            let mut rows = RowSet::none(ids.rows_len());
            ids.require_all(wanted)?
                .into_iter()
                .for_each(|row| rows.insert(row));
            rows
        }
        Where::Rows(kept) => {
            let mut rows = kept.clone();
            rows.intersect(ids.live());
            rows
        }
    };
    let within = rows.len();
    if let Some(exclude) = exclude {
        check_kind("exclude", ids, exclude)?;
        (0..exclude.len())
            .filter_map(|i| ids.row_of(exclude, i))
            .for_each(|row| rows.remove(row));
    }
    Ok(Selection { rows, within })
}

/// The same for a search, which walks memory in order when every row is selected: then `None`.
pub fn select_some(
    ids: &IdMap,
    argument: &str,
    filter: Where<'_>,
    exclude: Option<&Ids>,
) -> Result<Option<RowSet>> {
    let unrestricted = matches!(filter, Where::All) && exclude.is_none();
    if unrestricted && ids.len() == ids.rows_len() {
        return Ok(None);
    }
    Ok(Some(select(ids, argument, filter, exclude)?.rows))
}

/// Refuses ids of the other kind than the items have.
pub fn check_kind(argument: &str, ids: &IdMap, given: &Ids) -> Result<()> {
    // Without ids there is no kind yet, and an empty list has none that means anything.
    if ids.rows_len() == 0 || given.is_empty() || ids.by_row().kind() == given.kind() {
        return Ok(());
    }
    Err(Error::wrong_type(
        argument,
        format!("{} ids, as the items have", ids.by_row().kind()),
        format!("{} ids", given.kind()),
    ))
}
