//! The catalog as ranking sees it.

use std::sync::Arc;

use super::Catalog;
use crate::column::Column;
use crate::eligible::RowSet;
use crate::error::Result;
use crate::filter::Indexed;
use crate::ids::IdMap;
use crate::price::{Outlook, WHOLE};
use crate::rank::{Origin, OriginSpace, Path, Retrieved, Source, SpaceInfo};
use crate::store::{Query, Rounded, VectorStore};
use crate::vectors::{Ask, Found, Vectors};

impl Catalog {
    fn retrieve_by(
        &self,
        space: usize,
        query: &[f32],
        n: usize,
        eligible: &RowSet,
        parts: usize,
    ) -> Retrieved {
        let ask = Ask {
            k: n,
            ef: None,
            // Scanning without a filter walks memory in order.
            eligible: (eligible.len() < self.ids.rows_len()).then_some(eligible),
            exact: false,
        };
        let (hits, found) = match parts {
            WHOLE => self.spaces[space].search(query, ask, &*self.ids),
            _ => self.spaces[space].search_narrowed(query, ask, parts, &*self.ids),
        };
        let path = match found {
            Found::Exact => Path::Exact,
            Found::Filtered => Path::Filtered,
            Found::Graph => Path::Graph,
        };
        Retrieved { hits, path }
    }
}

impl Source for Catalog {
    fn ids(&self) -> &IdMap {
        &self.ids
    }

    fn spaces(&self) -> &[SpaceInfo] {
        &self.infos
    }

    fn retrieve(
        &self,
        space: usize,
        query: &[f32],
        n: usize,
        eligible: &RowSet,
    ) -> Result<Retrieved> {
        Ok(self.retrieve_by(space, query, n, eligible, WHOLE))
    }

    fn retrieve_narrowed(
        &self,
        space: usize,
        query: &[f32],
        n: usize,
        eligible: &RowSet,
        parts: usize,
    ) -> Result<Retrieved> {
        Ok(self.retrieve_by(space, query, n, eligible, parts))
    }

    fn outlook(&self, space: usize, n: usize, eligible: usize, parts: usize) -> Outlook {
        let eligible = match eligible {
            // Every row is: no filter is passed on.
            all if all == self.ids.rows_len() => None,
            some => Some(some),
        };
        self.spaces[space].outlook(n, eligible, parts)
    }

    fn row_bytes(&self, space: usize) -> usize {
        self.spaces[space].store().row_bytes()
    }

    fn similarity(&self, space: usize, query: &[f32], rows: &[u32], out: &mut [f32]) -> Result<()> {
        self.spaces[space].scores(query, rows, out);
        Ok(())
    }

    fn cosine(&self, space: usize, row: u32, rows: &[u32], out: &mut [f32]) {
        let store = self.spaces[space].store();
        store.cosine_to(row, rows, &mut Query::default(), out);
    }

    fn round(&self, space: usize, row: u32, codes: &mut [i8]) -> Option<Rounded> {
        self.spaces[space].store().round(row, codes)
    }

    fn prefetch(&self, space: usize, row: u32, _rounded: bool) {
        self.spaces[space].store().prefetch(row);
    }

    fn unit(&self, space: usize, row: u32, out: &mut [f32]) {
        self.spaces[space].store().unit(row, out);
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(name).map(|column| &**column)
    }

    fn store(&self, space: usize) -> Option<&VectorStore> {
        self.spaces.get(space).map(|vectors| vectors.store())
    }

    fn indexed(&self) -> Option<&Indexed> {
        Some(&self.indexed)
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn origin(&self) -> Option<Origin> {
        let space = |(info, vectors): (&SpaceInfo, &Arc<Vectors>)| {
            let space = OriginSpace {
                dim: info.dim as u64,
                metric: info.metric.as_str().into(),
                dtype: vectors.store().dtype().as_str().into(),
                layout: Some(vectors.layout().as_str().into()),
            };
            (info.name.clone(), space)
        };
        Some(Origin {
            kind: "catalog".into(),
            items: self.ids.len() as u64,
            spaces: self.infos.iter().zip(&self.spaces).map(space).collect(),
            packed: None,
        })
    }

    fn content_hash(&self) -> String {
        Catalog::content_hash(self)
    }

    fn has_content(&self, hash: &str) -> bool {
        self.content_hash() == hash || self.first_content_hash() == hash
    }
}
