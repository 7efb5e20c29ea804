//! Candidates that the caller brings (from a search engine or a vector database), as a [`Source`].

use std::collections::BTreeMap;

use perso_kernels::Rows;
use sha2::{Digest, Sha256};

use crate::column::Column;
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::exact;
use crate::ids::{IdMap, Ids};
use crate::metric::{Dtype, Metric};
use crate::scored::{Scored, TieBreak};
use crate::store::{Rounded, RoundedRows, VectorStore};

use super::origin::{Origin, OriginSpace};
use super::policy::hex;
use super::source::{Path, Retrieved, Source, SpaceInfo};

/// A fixed list of items with vectors, scores and attributes, each of which may be absent.
#[derive(Debug)]
pub struct Candidates {
    ids: IdMap,
    spaces: Vec<SpaceInfo>,
    stores: Vec<VectorStore>,
    /// For the choice of diverse items: rounding costs little now, while a vector is at hand, and as much as the
    /// choice itself later.
    rounded: Vec<RoundedRows>,
    scores: Option<Vec<f64>>,
    columns: BTreeMap<String, Column>,
}

impl Candidates {
    /// Takes row-aligned ids, vectors (`(space, dim, metric, rows x dim numbers)`), scores and
    /// columns.
    pub fn new(
        ids: Ids,
        spaces: Vec<(SpaceInfo, Vec<f32>)>,
        scores: Option<Vec<f64>>,
        columns: Vec<(String, Column)>,
    ) -> Result<Self> {
        let rows = ids.len();
        let mut map = IdMap::new();
        map.check_batch("ids", &ids)?;
        for i in 0..rows {
            map.push(ids.get(i));
        }
        let mut infos: Vec<SpaceInfo> = Vec::new();
        let mut stores = Vec::new();
        let mut rounded = Vec::new();
        for (info, vectors) in spaces {
            let argument = format!("vectors[{:?}]", info.name);
            if infos.iter().any(|other| other.name == info.name) {
                return Err(Error::invalid(
                    "vectors",
                    "each space once",
                    format!("{:?} twice", info.name),
                ));
            }
            let mut store = VectorStore::new(info.dim, info.metric, Dtype::F32)?;
            if rows.checked_mul(info.dim) != Some(vectors.len()) {
                return Err(Error::invalid(
                    argument,
                    format!("{rows} rows of {} components, one per id", info.dim),
                    format!("{} numbers", vectors.len()),
                ));
            }
            store.check(&argument, &vectors)?;
            store.push(&vectors);
            infos.push(info);
            rounded.push(RoundedRows::new(&store));
            stores.push(store);
        }
        if let Some(scores) = &scores {
            if scores.len() != rows {
                return Err(Error::invalid(
                    "scores",
                    format!("{rows} numbers, one per id"),
                    scores.len(),
                ));
            }
            if let Some(bad) = scores.iter().find(|score| !score.is_finite()) {
                return Err(Error::invalid("scores", "finite numbers", bad));
            }
        }
        // -0.0 becomes 0.0, so that bit order and numeric order agree.
        let scores = scores.map(|scores| scores.into_iter().map(|score| score + 0.0).collect());
        let mut by_name = BTreeMap::new();
        for (name, column) in columns {
            if column.len() != rows {
                return Err(Error::invalid(
                    format!("attributes[{name:?}]"),
                    format!("{rows} values, one per id"),
                    column.len(),
                ));
            }
            if let Some(_twice) = by_name.insert(name.clone(), column) {
                return Err(Error::invalid(
                    "attributes",
                    "each name once",
                    format!("{name:?} twice"),
                ));
            }
        }
        Ok(Candidates {
            ids: map,
            spaces: infos,
            stores,
            rounded,
            scores,
            columns: by_name,
        })
    }

    /// How many candidates.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True without candidates.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Source for Candidates {
    fn ids(&self) -> &IdMap {
        &self.ids
    }

    fn spaces(&self) -> &[SpaceInfo] {
        &self.spaces
    }

    fn retrieve(
        &self,
        space: usize,
        query: &[f32],
        n: usize,
        eligible: &RowSet,
    ) -> Result<Retrieved> {
        Ok(retrieve_given(
            self,
            &self.stores,
            space,
            query,
            n,
            eligible,
        ))
    }

    fn similarity(&self, space: usize, query: &[f32], rows: &[u32], out: &mut [f32]) -> Result<()> {
        let store = &self.stores[space];
        store.fine(&store.query(query), Rows::Ids(rows), out);
        Ok(())
    }

    fn cosine(&self, space: usize, row: u32, rows: &[u32], out: &mut [f32]) {
        self.stores[space].cosine_to(row, rows, &mut Default::default(), out);
    }

    fn round(&self, space: usize, row: u32, codes: &mut [i8]) -> Option<Rounded> {
        self.rounded[space].get(row, codes)
    }

    fn prefetch(&self, space: usize, row: u32, rounded: bool) {
        if rounded {
            self.rounded[space].prefetch(row);
        } else {
            self.stores[space].prefetch(row);
        }
    }

    fn unit(&self, space: usize, row: u32, out: &mut [f32]) {
        self.stores[space].unit(row, out);
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(name)
    }

    fn store(&self, space: usize) -> Option<&VectorStore> {
        self.stores.get(space)
    }

    fn generation(&self) -> u64 {
        0
    }

    /// SHA-256 over everything, items in the order of their ids: the same candidates in another order
    /// are the same content.
    fn content_hash(&self) -> String {
        fn text(hash: &mut Sha256, text: &str) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let mut hash = Sha256::new();
        hash.update(b"perso_core.candidates/1\0");
        hash.update((self.len() as u64).to_le_bytes());
        hash.update((self.spaces.len() as u64).to_le_bytes());
        for space in &self.spaces {
            text(&mut hash, &space.name);
            text(&mut hash, space.metric.as_str());
            hash.update((space.dim as u64).to_le_bytes());
        }
        hash.update([u8::from(self.scores.is_some())]);
        hash.update((self.columns.len() as u64).to_le_bytes());
        for (name, column) in &self.columns {
            text(&mut hash, name);
            text(&mut hash, column.kind().as_str());
        }
        let mut rows: Vec<u32> = self.ids.live_rows().collect();
        rows.sort_unstable_by(|&a, &b| self.ids.tie(a, b));
        let mut bytes = Vec::new();
        for row in rows {
            bytes.clear();
            self.ids.id(row).canonical_bytes(&mut bytes);
            for store in &self.stores {
                store.row_bytes_into(row, &mut bytes);
            }
            if let Some(scores) = &self.scores {
                bytes.extend(scores[row as usize].to_bits().to_le_bytes());
            }
            for column in self.columns.values() {
                column.row_bytes(row, &mut bytes);
            }
            hash.update(&bytes);
        }
        hex(&hash.finalize())
    }

    fn origin(&self) -> Option<Origin> {
        let space = |info: &SpaceInfo| OriginSpace {
            dim: info.dim as u64,
            metric: info.metric.as_str().into(),
            dtype: Dtype::F32.as_str().into(),
            layout: None,
        };
        let spaces = self.spaces.iter();
        Some(Origin {
            kind: "candidates".into(),
            items: self.len() as u64,
            spaces: spaces
                .map(|info| (info.name.clone(), space(info)))
                .collect(),
            packed: None,
        })
    }

    fn given_scores(&self) -> Option<&[f64]> {
        self.scores.as_deref()
    }
}

/// What retrieval is where nothing is searched: the best `n` of a few rows, by the scores that came with them, or by those with
/// the query. `stores` are the source's, by space: with scores there may be none.
pub(crate) fn retrieve_given(
    source: &dyn Source,
    stores: &[VectorStore],
    space: usize,
    query: &[f32],
    n: usize,
    eligible: &RowSet,
) -> Retrieved {
    let hits = match source.given_scores() {
        Some(scores) => best_given(scores, n, eligible, source.ids()),
        None => {
            let store = &stores[space];
            exact::scan(store, &store.query(query), n, Some(eligible), source.ids())
        }
    };
    Retrieved {
        hits,
        path: Path::Given,
    }
}

/// The best `n` eligible rows by scores that came with them, ordered as doubles: two scores may well be one float.
fn best_given(scores: &[f64], n: usize, eligible: &RowSet, ids: &IdMap) -> Vec<Scored> {
    let mut rows: Vec<u32> = eligible.iter().collect();
    rows.sort_unstable_by(|&a, &b| {
        scores[b as usize]
            .total_cmp(&scores[a as usize])
            .then_with(|| ids.tie(a, b))
    });
    rows.truncate(n);
    let scored = |row: u32| Scored {
        score: scores[row as usize] as f32,
        row,
    };
    rows.into_iter().map(scored).collect()
}

/// A space of candidates; what callers without a name for it use.
pub fn unnamed_space(dim: usize, metric: Metric) -> SpaceInfo {
    SpaceInfo {
        name: "vectors".into(),
        dim,
        metric,
    }
}
