//! The crash tests, and what they share: a script of changes and a catalog that never crashes.

mod crash;
mod damage;
mod faults;
mod follow;
mod threads;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faults::{Dice, Faulty};

use super::recover::state_of;
use super::*;
use crate::catalog::{Catalog, Upsert};
use crate::column::{ColumnType, Value};
use crate::ids::Ids;
use crate::live::Live;
use crate::metric::{Dtype, Metric};
use crate::rank::Source;
use crate::select::Where;
use crate::vectors::{Ask, Spec};

fn go(_: usize, _: usize) -> bool {
    true
}

fn spaces() -> Vec<(String, Spec)> {
    vec![
        ("a".into(), Spec::new(3, Metric::Cosine, Dtype::I8)),
        ("b".into(), Spec::new(2, Metric::Ip, Dtype::F32)),
    ]
}

fn options(sync: Sync) -> Options {
    Options {
        sync,
        // A checkpoint every dozen changes or so.
        log_limit: Some(3000),
        num_threads: 1,
        ..Options::default()
    }
}

/// A folder in memory, where there is such a thing: the tests sync a lot.
fn folder() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    let root = if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(root).unwrap()
}

fn value(dice: &mut Dice, kind: ColumnType) -> Value {
    let texts = [
        "",
        "noir",
        "käse",
        "a text that is a little longer than the others",
    ];
    if dice.below(5) == 0 {
        return Value::Null;
    }
    match kind {
        ColumnType::Bool => Value::Bool(dice.below(2) == 1),
        ColumnType::Int => Value::Int(dice.below(1 << 40) as i64 - (1 << 39)),
        ColumnType::Float => Value::Float(dice.below(1000) as f64 / 7.0 - 20.0),
        ColumnType::Time => Value::Time(dice.below(1 << 50) as i64),
        ColumnType::Str => Value::Str(texts[dice.below(4)].into()),
        ColumnType::StrList => {
            let len = dice.below(4);
            Value::StrList((0..len).map(|_| texts[dice.below(4)].into()).collect())
        }
    }
}

/// One change of a catalog: new items, changed ones, attributes alone, removals; now and then one that
/// is refused or does nothing.
fn change(dice: &mut Dice, catalog: &Catalog) -> Change {
    let live = catalog.id_map().live_ids();
    let pick = |dice: &mut Dice, most: usize| -> Vec<i64> {
        let Ids::Int(live) = &live else {
            unreachable!("the ids of the script are integers")
        };
        let mut ids: Vec<i64> = (0..=dice.below(most))
            .filter_map(|_| live.get(dice.below(live.len())).copied())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let columns = [
        ("flag", ColumnType::Bool),
        ("count", ColumnType::Int),
        ("price", ColumnType::Float),
        ("at", ColumnType::Time),
        ("genre", ColumnType::Str),
        ("tags", ColumnType::StrList),
    ];
    let attributes = |dice: &mut Dice, count: usize| {
        let mut out = Vec::new();
        for (name, kind) in columns {
            if dice.below(3) == 0 {
                let values = (0..count).map(|_| value(dice, kind)).collect();
                out.push((name.to_owned(), kind, values));
            }
        }
        out
    };
    let numbers = |dice: &mut Dice, count: usize| -> Vec<f32> {
        (0..count)
            .map(|_| dice.below(2001) as f32 / 100.0 - 10.0)
            .collect()
    };
    let choice = dice.below(20);
    if choice < 4 && catalog.len() > 12 {
        return Change::Remove(Ids::Int(pick(dice, 3)));
    }
    if choice < 8 && !catalog.is_empty() {
        let ids = pick(dice, 4);
        let attributes = attributes(dice, ids.len());
        return Change::Upsert(Upsert {
            ids: Ids::Int(ids),
            vectors: Vec::new(),
            attributes,
        });
    }
    if choice == 8 {
        // Refused: nobody has this id.
        return Change::Remove(Ids::Int(vec![-1]));
    }
    if choice == 9 {
        return match dice.below(3) {
            0 => Change::Remove(Ids::Int(Vec::new())),
            _ => Change::Compact,
        };
    }
    let mut ids: Vec<i64> = (0..=dice.below(4)).map(|_| dice.below(60) as i64).collect();
    ids.sort_unstable();
    ids.dedup();
    let attributes = attributes(dice, ids.len());
    Change::Upsert(Upsert {
        vectors: vec![
            ("b".into(), numbers(dice, 2 * ids.len())),
            ("a".into(), numbers(dice, 3 * ids.len())),
        ],
        ids: Ids::Int(ids),
        attributes,
    })
}

/// The script: changes that were accepted or not, and a catalog after each, the empty one first.
fn script(count: usize, seed: u64) -> (Vec<Change>, Vec<Catalog>) {
    let mut dice = Dice(seed);
    let mut catalogs = vec![Catalog::new(spaces()).unwrap()];
    let changes = (0..count)
        .map(|_| {
            let mut next = catalogs[catalogs.len() - 1].clone();
            let change = change(&mut dice, &next);
            let _ = change.clone().apply(&mut next, 1, &go);
            catalogs.push(next);
            change
        })
        .collect();
    (changes, catalogs)
}

/// Opened for writing, and where its readers look.
struct Opened {
    durable: Durable,
    live: Live<Catalog>,
}

impl Opened {
    fn new(storage: Arc<dyn Storage>, path: &Path, sync: Sync) -> Result<Self> {
        let (durable, catalog) =
            Durable::open_in(storage, path, Some(spaces()), options(sync), &go)?;
        let live = Live::new(catalog);
        Ok(Opened { durable, live })
    }

    fn apply(&self, change: Change) -> Result<()> {
        self.durable.apply(&self.live, change, 1, &go)?;
        if self.durable.is_due() {
            // Its failure is not the change's.
            let _ = self.durable.checkpoint(&self.live, &go);
        }
        Ok(())
    }

    fn state(&self) -> (u64, [u8; 32]) {
        state_of(&self.live.read())
    }
}

/// The same items under the same rows, found by the same searches.
fn same(found: &Catalog, expected: &Catalog) {
    assert_eq!(state_of(found), state_of(expected));
    assert_eq!(found.id_map().rows_len(), expected.id_map().rows_len());
    assert_eq!(found.id_map().live_ids(), expected.id_map().live_ids());
    let answers = |catalog: &Catalog| {
        let eligible = catalog.eligible(Where::All, None).unwrap();
        let ask = Ask {
            k: 5,
            ef: None,
            eligible: eligible.as_ref(),
            exact: false,
        };
        let queries = [1.0, -0.5, 0.25, -3.0, 0.0, 1.0];
        format!("{:?}", catalog.search(0, &queries, ask, 1).unwrap())
    };
    assert_eq!(answers(found), answers(expected));
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("items.perso")
}
