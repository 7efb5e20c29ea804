use super::*;
use crate::exact;
use crate::metric::{Dtype, Metric};
use crate::scored::ByRow;
use proptest::prelude::*;

/// Numbers in [-1, 1).
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn rows(&mut self, rows: usize, dim: usize, spread: f32) -> Vec<f32> {
        (0..rows)
            .flat_map(|_| {
                let scale = (spread * self.next()).exp2();
                (0..dim).map(|_| scale * self.next()).collect::<Vec<_>>()
            })
            .collect()
    }
}

fn dtypes() -> impl Strategy<Value = Dtype> {
    prop_oneof![Just(Dtype::F32), Just(Dtype::F16), Just(Dtype::I8)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// Whatever the norms, an answer called exact is the one of the full scan.
    #[test]
    fn exact_means_exact(
        seed in any::<u64>(), n in 0usize..4000, k in 1usize..50, spread in 0.0f32..6.0,
        dim in prop_oneof![Just(1usize), Just(8), Just(17), Just(48), Just(67)],
        dtype in dtypes(), filtered in any::<bool>(), budget in 0usize..300_000, batches in 1usize..60,
        odd in 0usize..5,
    ) {
        let mut stream = Stream(seed | 1);
        let mut store = VectorStore::new(dim, Metric::Ip, dtype).unwrap();
        let mut order = NormOrder::default();
        for batch in 0..batches {
            let rows = n * (batch + 1) / batches - n * batch / batches;
            let mut x = stream.rows(rows, dim, spread);
            // Copies, zeros, an outlier, rows whose squares vanish, rows of one component.
            for (i, row) in x.chunks_exact_mut(dim).enumerate() {
                match (odd, i % 7) {
                    (1, 0..3) => row.fill(0.25),
                    (1, 3) => row.fill(0.0),
                    (2, 0) if i == 0 => row.iter_mut().for_each(|v| *v *= 3e4),
                    (3, 0..4) => row.iter_mut().for_each(|v| *v *= 1e-22),
                    (4, 0..5) => row[1..].fill(0.0),
                    _ => {}
                }
            }
            store.push(&x);
            order.extend(&store);
        }
        let query: Vec<f32> = (0..dim).map(|_| stream.next()).collect();
        let query = store.query(&query);
        let mut eligible = RowSet::none(n);
        (0..n as u32).filter(|row| row % 3 != 1).for_each(|row| eligible.insert(row));
        let eligible = filtered.then_some(&eligible);
        match order.search(&store, &query, k, eligible, budget, &ByRow) {
            Outcome::Exact(found) => {
                prop_assert_eq!(found, exact::scan(&store, &query, k, eligible, &ByRow));
            }
            Outcome::Probe(found) => {
                prop_assert!(n * store.row_bytes() * LOOKUP > budget);
                prop_assert!(found.len() <= k);
            }
        }
        prop_assert_eq!(
            match order.search(&store, &query, k, eligible, usize::MAX, &ByRow) {
                Outcome::Exact(found) => found,
                Outcome::Probe(_) => vec![],
            },
            exact::scan(&store, &query, k, eligible, &ByRow)
        );
    }

    /// Each bound against the score that is reported, at sizes from those whose squares vanish to those
    /// whose squares nearly overflow.
    #[test]
    fn bounds_hold(
        seed in any::<u64>(), dim in 1usize..140, dtype in dtypes(), spiky in any::<bool>(),
        of_rows in -80i32..60, of_query in -80i32..60,
    ) {
        let mut stream = Stream(seed | 1);
        let of_rows = if dtype == Dtype::F16 { of_rows.clamp(-20, 12) } else { of_rows };
        let mut store = VectorStore::new(dim, Metric::Ip, dtype).unwrap();
        let mut x = stream.rows(40, dim, 3.0);
        x.iter_mut().for_each(|v| *v *= 2f32.powi(of_rows));
        if spiky {
            x.chunks_exact_mut(dim).for_each(|row| row[1..].iter_mut().for_each(|v| *v *= 1e-3));
        }
        store.push(&x);
        // Largest first: what a chunk's first norm stands for.
        let mut rows: Vec<u32> = (0..40).collect();
        rows.sort_by(|a, b| store.norms()[*b as usize].total_cmp(&store.norms()[*a as usize]));
        let sketch = Sketch::build(&store, &rows);
        let query: Vec<f32> = (0..dim).map(|_| stream.next() * 2f32.powi(of_query)).collect();
        let query = store.query(&query);
        let probe = Probe::new(&query, Kernels::get());
        let slack = 4.0 * (dim / 32 + 16) as f32 * f32::EPSILON;
        let mut bounds = [[0.0; ROWS]; 3];
        let longest = store.norms()[rows[0] as usize];
        sketch.bounds(&probe, Kernels::get(), 0, longest, slack, &mut bounds);
        let mut scores = vec![0.0; 40];
        store.fine(&query, Rows::Ids(&rows), &mut scores);
        for (bound, score) in bounds.as_flattened().iter().zip(&scores) {
            prop_assert!(bound >= score || bound.is_nan(), "{} is no bound on {}", bound, score);
        }
    }
}

/// Bounds that hold but let everything through would cost more than they save: of 20,000 rows of one
/// length, the hard case, at most one in fifty is looked up.
#[test]
fn bounds_are_tight_enough_to_leave_most_rows() {
    let (n, dim) = (20_000, 64);
    let mut stream = Stream(5);
    let mut x = stream.rows(n, dim, 0.0);
    for row in x.chunks_exact_mut(dim) {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
    }
    let mut store = VectorStore::new(dim, Metric::Ip, Dtype::F32).unwrap();
    store.push(&x);
    let rows: Vec<u32> = (0..n as u32).collect();
    let sketch = Sketch::build(&store, &rows);
    let query: Vec<f32> = (0..dim).map(|_| stream.next()).collect();
    let query = store.query(&query);
    let best = exact::scan(&store, &query, 10, None, &ByRow);
    let mut bounds = vec![[0.0; ROWS]; n / ROWS];
    let probe = Probe::new(&query, Kernels::get());
    sketch.bounds(&probe, Kernels::get(), 0, 1.001, 1e-5, &mut bounds);
    let passing = bounds
        .as_flattened()
        .iter()
        .filter(|bound| **bound >= best[9].score);
    let passing = passing.count();
    assert!((10..n / 50).contains(&passing), "{passing} rows pass");
}

/// Beside the row numbers, half of what int8 codes take at most.
#[test]
fn sketches_stay_within_their_share_of_memory() {
    for dim in [1, 8, 15, 16, 33, 64, 128, 384] {
        let n = 5000;
        let mut store = VectorStore::new(dim, Metric::Ip, Dtype::F32).unwrap();
        store.push(&Stream(3).rows(n, dim, 1.0));
        let mut order = NormOrder::default();
        order.extend(&store);
        assert!(
            order.heap_bytes() <= (n * dim / 2).max(4 * n) + 64,
            "{dim} dimensions"
        );
        let most = order.sketch.len() > n * 2 / 3;
        assert_eq!(most, dim >= 64, "{dim} dimensions");
    }
}

/// Rows in another order under ids of their own: the same ids and scores, to the bit.
#[test]
fn insertion_order_does_not_show() {
    let (n, dim) = (6000, 24);
    let x = Stream(9).rows(n, dim, 2.0);
    let mut shuffled: Vec<u32> = (0..n as u32).collect();
    shuffled.sort_by_key(|row| row.wrapping_mul(2654435761));
    for dtype in [Dtype::F32, Dtype::F16, Dtype::I8] {
        let mut one = VectorStore::new(dim, Metric::Ip, dtype).unwrap();
        one.push(&x);
        let mut first = NormOrder::default();
        first.extend(&one);
        let mut two = VectorStore::new(dim, Metric::Ip, dtype).unwrap();
        let mut second = NormOrder::default();
        for rows in shuffled.chunks(50) {
            for row in rows {
                two.push(&x[*row as usize * dim..][..dim]);
            }
            second.extend(&two);
        }
        let mut stream = Stream(11);
        for _ in 0..20 {
            let query: Vec<f32> = (0..dim).map(|_| stream.next()).collect();
            let found = |order: &NormOrder, store: &VectorStore, id: &dyn Fn(u32) -> u32| {
                let query = store.query(&query);
                match order.search(store, &query, 10, None, usize::MAX, &ByRow) {
                    Outcome::Exact(found) => {
                        let ids = found
                            .iter()
                            .map(|entry| (id(entry.row), entry.score.to_bits()));
                        ids.collect::<Vec<_>>()
                    }
                    Outcome::Probe(_) => panic!("no budget is beyond usize::MAX"),
                }
            };
            let straight = found(&first, &one, &|row| row);
            assert_eq!(
                straight,
                found(&second, &two, &|row| shuffled[row as usize])
            );
            assert_eq!(straight.len(), 10);
        }
    }
}

/// Bounds may differ nowhere: not between instruction sets, not with the number of threads.
#[test]
fn sketches_do_not_depend_on_threads_or_instruction_sets() {
    let (n, dim) = (9000, 50);
    let mut store = VectorStore::new(dim, Metric::Ip, Dtype::F16).unwrap();
    store.push(&Stream(7).rows(n, dim, 1.0));
    let rows: Vec<u32> = (0..n as u32).rev().collect();
    let sketch = Sketch::build(&store, &rows);
    let parallel = crate::threads::with_pool(3, || Sketch::build(&store, &rows)).unwrap();
    assert_eq!(format!("{sketch:?}"), format!("{parallel:?}"));
    let query = store.query(&Stream(8).rows(1, dim, 0.0));
    let bounds = |kernels: &Kernels| {
        let mut out = vec![[0.0; ROWS]; n.div_ceil(ROWS)];
        sketch.bounds(
            &Probe::new(&query, kernels),
            kernels,
            0,
            4.0,
            1e-5,
            &mut out,
        );
        out.concat()
            .iter()
            .map(|bound| bound.to_bits())
            .collect::<Vec<_>>()
    };
    let [plain, others @ ..] = &Kernels::available()[..] else {
        panic!("the plain kernels are always there");
    };
    for kernels in others {
        assert_eq!(bounds(plain), bounds(kernels));
    }
}
