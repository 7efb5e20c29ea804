//! The pinned baseline: plain loops that do what ours does in the way one would write it first.
//!
//! **Frozen.** Nothing here is ever made faster, slower or tidier: the recorded ratios are against this code, and a
//! change to it moves all of them. (It moves with the compiler too, which is why a record names its compiler.) It
//! calls nothing of the core, so no change there can reach it.
//!
//! Each baseline reads the memory that its partner reads, in the same order of magnitude, so that a machine whose
//! memory is slow for an hour is slow for both.

/// Integer dot product.
#[inline(never)]
pub fn dot_i8(q: &[i8], x: &[i8]) -> i32 {
    q.iter()
        .zip(x)
        .map(|(q, x)| i32::from(*q) * i32::from(*x))
        .sum()
}

/// Dot product in 16 sums, as compilers vectorise it.
#[inline(never)]
pub fn dot_f32(q: &[f32], x: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (q, x) = (q.chunks_exact(16), x.chunks_exact(16));
    let rest: f32 = q
        .remainder()
        .iter()
        .zip(x.remainder())
        .map(|(q, x)| q * x)
        .sum();
    for (q, x) in q.zip(x) {
        for i in 0..16 {
            sums[i] += q[i] * x[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The best ten rows, best first: a sorted list that each better row is inserted into.
#[inline(never)]
pub fn top_ten(rows: usize, score: impl Fn(usize) -> f32) -> Vec<(f32, u32)> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(11);
    for row in 0..rows {
        let score = score(row);
        if best.len() < 10 || score > best[9].0 {
            let at = best.partition_point(|(other, _)| *other >= score);
            best.insert(at, (score, row as u32));
            best.truncate(10);
        }
    }
    best
}

/// Dot products of listed rows, list after list, as a walk over a graph reads them; the sum of each list's best.
#[inline(never)]
pub fn walk(q: &[i8], codes: &[i8], ids: &[u32]) -> i64 {
    let dim = q.len();
    ids.chunks(32)
        .map(|list| {
            let scores = list
                .iter()
                .map(|&row| dot_i8(q, &codes[row as usize * dim..][..dim]));
            i64::from(scores.max().unwrap_or(0))
        })
        .sum()
}

/// Greedy choice of `k` of some rows: highest score less the largest similarity to those chosen before.
#[inline(never)]
pub fn diversify(codes: &[i8], dim: usize, pool: &[u32], k: usize) -> Vec<u32> {
    let row = |row: u32| &codes[row as usize * dim..][..dim];
    let mut similar = vec![0i32; pool.len()];
    let mut chosen: Vec<u32> = Vec::new();
    while chosen.len() < k {
        let best = (0..pool.len())
            .filter(|&i| !chosen.contains(&pool[i]))
            .max_by_key(|&i| (-similar[i] - i as i32, pool[i]));
        let Some(best) = best else { break };
        chosen.push(pool[best]);
        for (i, similar) in similar.iter_mut().enumerate() {
            *similar = (*similar).max(dot_i8(row(pool[best]), row(pool[i])));
        }
    }
    chosen
}
