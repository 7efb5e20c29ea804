//! Which rows a filter and an exclusion leave: the same for a search and for a ranking.

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::ids::{Id, IdMap, Ids};

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
            ids.live().flagged(flags)
        }
        Where::Ids(wanted) => {
            check_kind(argument, ids, wanted)?;
            let mut rows = RowSet::none(ids.rows_len());
            for i in 0..wanted.len() {
                let row = row_of(ids, wanted, i);
                rows.insert(row.ok_or_else(|| Error::missing("id", wanted.get(i)))?);
            }
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
            .filter_map(|i| row_of(ids, exclude, i))
            .for_each(|row| rows.remove(row));
    }
    Ok(Selection { rows, within })
}

/// The row of the `i`-th of some ids. Integer ids mostly count up with the rows, so the row that this would be is looked at
/// before the map: of 100,000 ids to exclude, which lie anywhere in a map of as many, each takes some 20 ns otherwise.
fn row_of(ids: &IdMap, given: &Ids, i: usize) -> Option<u32> {
    let Ids::Int(numbers) = given else {
        return ids.row_of(given, i);
    };
    if ids.rows_len() == 0 {
        return None;
    }
    let Id::Int(first) = ids.id(0) else {
        return None;
    };
    let row = numbers[i].wrapping_sub(first);
    if (0..ids.rows_len() as i64).contains(&row) {
        let row = row as u32;
        if ids.is_live(row) && ids.id(row) == Id::Int(numbers[i]) {
            return Some(row);
        }
    }
    ids.row_of(given, i)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against looking at one item after the other: ids that count up and others, some of them removed and added again.
        #[test]
        fn what_is_selected(
            first in prop_oneof![Just(0i64), Just(i64::MIN), Just(i64::MAX - 400), any::<i64>()],
            jumps in prop::collection::vec(prop_oneof![8 => Just(1i64), 1 => 1i64..4], 0..150),
            gone in prop::collection::vec(0usize..150, 0..40), again in any::<bool>(),
            asked in prop::collection::vec(0usize..150, 0..60), others in prop::collection::vec(any::<i64>(), 0..5),
            text in any::<bool>(), seed in any::<u64>(),
        ) {
            let mut next = first;
            let mut numbers = Vec::new();
            for jump in jumps {
                numbers.push(next);
                next = next.saturating_add(jump);
            }
            numbers.sort_unstable();
            numbers.dedup();
            let id = |n: i64| if text { Id::Str(n.to_string().into()) } else { Id::Int(n) };
            let column = |all: &[i64]| if text {
                Ids::Str(all.iter().map(|n| n.to_string().into()).collect())
            } else {
                Ids::Int(all.to_vec())
            };
            let mut map = IdMap::new();
            numbers.iter().for_each(|n| { map.push(id(*n)); });
            for &i in &gone {
                if let Some(row) = numbers.get(i).and_then(|n| map.row(&id(*n))) {
                    map.kill(row);
                    if again {
                        map.push(id(numbers[i]));
                    }
                }
            }
            let mut excluded: Vec<i64> = asked.iter().filter_map(|i| numbers.get(*i).copied()).collect();
            excluded.extend(others);
            let flags: Vec<bool> = (0..map.len()).map(|i| seed.rotate_left(i as u32) & 1 == 1).collect();
            let live: Vec<u32> = map.live_rows().collect();
            let kept = |row: &u32| !excluded.iter().any(|n| id(*n) == map.id(*row));
            let expected: Vec<u32> = live.iter().zip(&flags).filter(|(row, f)| **f && kept(row)).map(|(r, _)| *r).collect();
            let exclude = column(&excluded);
            let found = select(&map, "where", Where::Mask(&flags), Some(&exclude)).unwrap();
            prop_assert_eq!(found.within, flags.iter().filter(|f| **f).count());
            prop_assert_eq!(found.rows.iter().collect::<Vec<_>>(), expected);

            let wanted: Vec<i64> = excluded.iter().copied().filter(|n| map.row(&id(*n)).is_some()).collect();
            let found = select(&map, "where", Where::Ids(&column(&wanted)), None).unwrap();
            let mut expected: Vec<u32> = wanted.iter().map(|n| map.row(&id(*n)).unwrap()).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(found.rows.iter().collect::<Vec<_>>(), expected);
            if let Some(n) = excluded.iter().find(|n| map.row(&id(**n)).is_none()) {
                prop_assert!(select(&map, "where", Where::Ids(&column(&[*n])), None).is_err());
            }
        }
    }
}
