//! A capsule as ranking sees it.

use perso_kernels::Rows;

use super::Capsule;
use crate::column::Column;
use crate::eligible::RowSet;
use crate::error::Result;
use crate::ids::IdMap;
use crate::rank::{retrieve_given, Origin, OriginSpace, Packed, Retrieved, Source, SpaceInfo};
use crate::store::{Rounded, VectorStore};

impl Source for Capsule {
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
        self.stores[space].round(row, codes)
    }

    fn prefetch(&self, space: usize, row: u32, _rounded: bool) {
        self.stores[space].prefetch(row);
    }

    fn row_bytes(&self, space: usize) -> usize {
        self.stores[space].row_bytes()
    }

    fn unit(&self, space: usize, row: u32, out: &mut [f32]) {
        self.stores[space].unit(row, out);
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.attributes.get(name)
    }

    fn packed_signal(&self, name: &str) -> Option<&Column> {
        self.signals.get(name)
    }

    fn store(&self, space: usize) -> Option<&VectorStore> {
        self.stores.get(space)
    }

    fn check_moment(&self, at: i64) -> Result<()> {
        Capsule::check_moment(self, at)
    }

    /// Of the catalog that it was packed from.
    fn generation(&self) -> u64 {
        self.provenance.generation
    }

    fn content_hash(&self) -> String {
        self.hash.clone()
    }

    fn origin(&self) -> Option<Origin> {
        let space = |(info, store): (&SpaceInfo, &VectorStore)| {
            let space = OriginSpace {
                dim: info.dim as u64,
                metric: info.metric.as_str().into(),
                dtype: store.dtype().as_str().into(),
                layout: None,
            };
            (info.name.clone(), space)
        };
        Some(Origin {
            kind: "capsule".into(),
            items: self.len() as u64,
            spaces: self.spaces.iter().zip(&self.stores).map(space).collect(),
            packed: Some(Packed {
                generation: self.provenance.generation,
                content_hash: self.provenance.content_hash.clone(),
                made_at: self.provenance.made_at,
                expires_at: self.provenance.expires_at,
                key_id: self.provenance.key_id.clone(),
            }),
        })
    }

    fn given_scores(&self) -> Option<&[f64]> {
        self.scores.as_deref()
    }
}
