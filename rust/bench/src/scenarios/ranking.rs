//! `rank` end to end: a pool of 500, three signals, MMR, a cap, exploration, 200 items seen.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use perso_core::catalog::Catalog;
use perso_core::ids::Ids;
use perso_core::rank::{self, Eligibility, Policy, Request, Signals, UserVectors, Where};

use crate::data::catalog;
use crate::meter::Meter;

const ROWS: usize = 20_000;
const DIM: usize = 128;
const K: usize = 20;

const POLICY: &str = r#"{
    "schema": "perso_core.policy/1",
    "candidates": 500,
    "score": {"signals": [
        {"name": "similarity", "kind": "similarity", "weight": 1.0, "normalize": "minmax"},
        {"name": "popularity", "kind": "value", "weight": 0.2, "normalize": "rank"},
        {"name": "freshness", "kind": "decay", "attribute": "published",
         "half_life_us": 2592000000000, "weight": 0.3, "normalize": "none"}
    ]},
    "diversity": {"kind": "mmr", "diversity": 0.3},
    "caps": {"genre": 3},
    "explore": {"kind": "epsilon_greedy", "epsilon": 0.1}
}"#;

/// A catalog with what every request shares.
pub struct Desk {
    catalog: Catalog,
    queries: Vec<f32>,
    policy: Arc<Policy>,
    seen: Ids,
}

impl Desk {
    pub fn new(folder: &Path) -> Self {
        let (catalog, queries) = catalog(folder, ROWS, DIM);
        Desk {
            catalog,
            queries,
            policy: Arc::new(Policy::parse(POLICY).expect("a valid policy")),
            seen: Ids::Int((0..ROWS as i64).step_by(ROWS / 200).collect()),
        }
    }

    pub fn request(&self, i: usize) -> Request {
        let eligible = Eligibility::new(self.catalog.id_map(), Where::All, Some(&self.seen));
        Request {
            user: Some(vec![(
                "content".into(),
                self.queries[i * DIM..][..DIM].to_vec().into(),
            )]),
            k: K,
            eligible: eligible.expect("ids that are there"),
            signals: Arc::new(Signals::new()),
            at: 0,
            seed: 7,
            request_id: format!("r-{i}"),
            target: None,
            pins: Default::default(),
            allow: None,
            budget_us: None,
            route: None,
        }
    }

    pub fn rank(&self, request: &Request) -> rank::Slate {
        let slate = rank::rank(&self.catalog, &self.policy, request).expect("a valid request");
        assert_eq!(slate.len(), K);
        slate
    }
}

pub fn rank(meter: &mut Meter) {
    let desk = Desk::new(meter.folder());
    meter.count(16, |i| {
        black_box(desk.rank(&desk.request(i)));
    });
}

pub fn rank_record(meter: &mut Meter) {
    let desk = Desk::new(meter.folder());
    meter.count(8, |i| {
        let slate = desk.rank(&desk.request(i));
        let record = rank::record_json(&slate, &desk.catalog, UserVectors::Included);
        assert!(record.expect("a record").len() > 1000);
    });
}

/// No vector: every eligible item is in the pool's reach.
pub fn rank_nobody(meter: &mut Meter) {
    let desk = Desk::new(meter.folder());
    meter.count(4, |i| {
        let request = Request {
            user: None,
            ..desk.request(i)
        };
        black_box(desk.rank(&request));
    });
}
