//! Links to rows that no link leads to: copies among copies, zero vectors under cosine, outliers.

use super::Journal;
use crate::hnsw::{build_metric, search::Collect, Extent, Graph, Scratch, NONE};
use crate::scored::ByRow;
use crate::store::{Query, VectorStore};

/// How often the links are followed to the end: a link that makes room may have been needed itself.
const SWEEPS: usize = 4;
/// Rows near a lost one that are asked for a slot.
const HOSTS: usize = 32;

impl Graph {
    /// Gives rows that cannot be reached from the entry in the bottom layer a link from one that can.
    pub(super) fn reach_all(&mut self, store: &VectorStore, journal: &mut Journal) {
        self.unchecked = 0;
        if self.entry == NONE {
            return;
        }
        let mut scratch = Scratch::default();
        let mut query = Query::default();
        for _ in 0..SWEEPS {
            // Rows that were taken out need not be reached.
            let mut seen: Vec<bool> = (0..self.len() as u32)
                .map(|row| self.gone.contains(row))
                .collect();
            self.follow(self.entry, &mut seen);
            if seen.iter().all(|seen| *seen) {
                return;
            }
            let mut incoming = vec![0u32; self.len()];
            for row in (0..self.len() as u32).filter(|row| !self.gone.contains(*row)) {
                for &id in self.links(row, 0) {
                    incoming[id as usize] = incoming[id as usize].saturating_add(1);
                }
            }
            for row in 0..self.len() as u32 {
                if seen[row as usize] {
                    continue;
                }
                let metric = build_metric(store);
                store.row_query(row, &mut query);
                self.begin(&mut scratch);
                let all = Collect {
                    want: HOSTS,
                    eligible: None,
                };
                let near = self.search_layer(
                    store,
                    &query,
                    metric,
                    0,
                    Extent::fixed(HOSTS),
                    &[self.entry],
                    all,
                    &ByRow,
                    &mut scratch,
                );
                let room = near.iter().find_map(|host| {
                    if self.gone.contains(host.row) {
                        return None;
                    }
                    let links = self.links(host.row, 0);
                    if links.len() < self.capacity(0) {
                        return Some((host.row, links.len()));
                    }
                    // The last links are those that came in to fill slots.
                    let spare = |id: &u32| incoming[*id as usize] > 1;
                    Some((host.row, links.iter().rposition(spare)?))
                });
                let Some((host, slot)) = room else {
                    continue;
                };
                let mut links = self.links(host, 0).to_vec();
                journal.note(host, 0);
                if slot == links.len() {
                    links.push(row);
                } else {
                    incoming[links[slot] as usize] -= 1;
                    links[slot] = row;
                }
                incoming[row as usize] += 1;
                self.set_links(host, 0, &links);
                self.follow(row, &mut seen);
            }
        }
    }

    fn follow(&self, from: u32, seen: &mut [bool]) {
        let mut open = vec![from];
        seen[from as usize] = true;
        while let Some(row) = open.pop() {
            for &next in self.links(row, 0) {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    open.push(next);
                }
            }
        }
    }
}
