"""What the library should answer, written from its documentation in plain NumPy and Python.

Nothing here calls the library. Scores are worked out in float64 (or, where the answer must be the same
bits, in float32 on numbers that float32 holds exactly), sets are Python sets, and every loop is the naive
one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

# --- vectors ---------------------------------------------------------------------------------------

U = 2.0**-24  # unit roundoff of float32


def scores(metric, queries, items):
    """All scores (q, n) in float64; higher is better, and the cosine of a zero vector is 0."""
    q = np.atleast_2d(np.asarray(queries, np.float64))
    x = np.asarray(items, np.float64)
    if metric == "ip":
        return q @ x.T
    if metric == "l2":
        return -((q[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
    norms = np.sqrt((q**2).sum(1))[:, None] * np.sqrt((x**2).sum(1))[None, :]
    return np.divide(q @ x.T, norms, out=np.zeros(norms.shape), where=norms != 0)


def error_bound(metric, queries, items):
    """How far a float32 score may lie from `scores`, entry by entry.

    A sum of `dim` products in 32 lanes of fused multiply-adds and a tree of 5 additions rounds each product
    at most m = ceil(dim / 32) + 5 times, so its error is at most g = m u / (1 - m u) times the sum of
    magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). On top come, per factor of a
    cosine, a norm (g / 2 + 2 u, inverse included) and its product (u); for l2 the rounding of the
    difference (counted twice, for it is squared) and of a dequantised component.
    """
    q = np.abs(np.atleast_2d(np.asarray(queries, np.float64)))
    x = np.abs(np.asarray(items, np.float64))
    m = math.ceil(q.shape[1] / 32) + 5
    g = m * U / (1 - m * U)
    magnitudes = q @ x.T
    if metric == "ip":
        return (g + 2 * U) * magnitudes
    if metric == "l2":
        squares = -scores("l2", queries, items)
        mixed = (np.abs(np.atleast_2d(queries)[:, None, :] - np.asarray(items)[None]) * x[None]).sum(2)
        return (g + 4 * U) * squares + 3 * U * mixed
    norms = np.sqrt((q**2).sum(1))[:, None] * np.sqrt((x**2).sum(1))[None, :]
    cosines = np.divide(magnitudes, norms, out=np.zeros(norms.shape), where=norms != 0)
    return (g + 2 * U) * cosines + np.abs(scores("cosine", queries, items)) * (g + 8 * U)


def similarity32(metric, query, items):
    """Scores of one query as the library reports them, bit for bit, if float32 holds every product and
    every sum (whole numbers below 2**12, say); else to a few units in the last place.
    """
    q, x = np.asarray(query, np.float64), np.asarray(items, np.float64)
    if metric == "l2":
        return (0.0 - ((q - x) ** 2).sum(axis=1)).astype(np.float32)
    dots = (x @ q).astype(np.float32)
    if metric == "ip":
        return dots
    norms = np.sqrt((x**2).sum(axis=1).astype(np.float32)) * np.sqrt(np.float32((q**2).sum()))
    return np.divide(dots, norms, out=np.zeros_like(dots), where=norms != 0) + np.float32(0)


def best(row_scores, k, ids=None, eligible=None):
    """Positions of the k best: score descending, then id ascending."""
    ids = range(len(row_scores)) if ids is None else ids
    positions = range(len(row_scores)) if eligible is None else sorted(eligible)
    return sorted(positions, key=lambda i: (-row_scores[i], ids[i]))[:k]


def stored(vectors, dtype):
    """What a store of this type keeps of float32 vectors, as float32."""
    x = np.asarray(vectors, np.float32)
    if dtype == "f32":
        return x.copy()
    if dtype == "f16":
        return x.astype(np.float16).astype(np.float32)
    scale = (np.abs(x).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float32)
    safe = np.where(scale > 0, scale, np.float32(1))
    codes = np.clip(np.rint(x / safe), -127, 127).astype(np.float32)
    return np.where(scale > 0, codes * scale, np.float32(0)).astype(np.float32)


# --- the ranking -----------------------------------------------------------------------------------


@dataclass
class Items:
    """A small catalog: ids, spaces as {name: (metric, stored vectors)}, attributes as {name: list}."""

    ids: list
    spaces: dict
    attributes: dict = field(default_factory=dict)

    def position(self, item):
        return self.ids.index(item)


@dataclass(frozen=True)
class Term:
    """One summand: of kind "similarity" (of=space), "value" (of=attribute), "signal" (of={id: number})
    or "decay" (of=attribute, with a half-life in microseconds); or "boost" (of=function of items and position).
    """

    name: str
    kind: str
    of: object
    weight: float
    normalize: str
    half_life_us: int = 0


@dataclass
class Answer:
    """Slots with what led to each."""

    ids: list
    scores: list
    terms: list
    eligible: list
    greedy: list
    pool: list
    margin: float


def normaliser(kind, values):
    """A function fitted to the values that are there (None is missing, and contributes 0)."""
    there = [v for v in values if v is not None]
    if kind == "none":
        return lambda v: v
    if not there or min(there) == max(there):
        return lambda v: 0.0
    if kind == "minmax":
        low, high = min(there), max(there)
        return lambda v: (v - low) / (high - low)
    if kind == "zscore":
        mean = 0.0
        for v in there:
            mean += v
        mean /= len(there)
        square = 0.0
        for v in there:
            square += (v - mean) * (v - mean)
        deviation = math.sqrt(square / len(there))
        return lambda v: (v - mean) / deviation
    assert kind == "rank"

    def rank(v):
        below = sum(w < v for w in there)
        equal = sum(w == v for w in there)
        return min(max(below + (equal - 1) / 2, 0.0), len(there) - 1) / (len(there) - 1)

    return rank


def settled(terms):
    """Terms on the grid on which their sums are exact: with M < 2**E the largest magnitude of m terms,
    multiples of 2**(E + ceil(log2 m) - 53). One term stays as it is.
    """
    if len(terms) < 2 or not any(terms):
        return terms
    exponent = math.frexp(max(map(abs, terms)))[1] + math.ceil(math.log2(len(terms))) - 53
    return [math.ldexp(round(math.ldexp(term, -exponent)), exponent) for term in terms]


class _Blend:
    def __init__(self, items, terms, user, at):
        self.items, self.at, self.user = items, at, user or {}
        # Without a user the similarities are left out.
        self.terms = [t for t in terms if t.kind != "similarity" or t.of in self.user]
        self.fitted = None

    def value(self, term, i):
        if term.kind == "similarity":
            metric, vectors = self.items.spaces[term.of]
            return float(similarity32(metric, self.user[term.of], vectors[i : i + 1])[0])
        if term.kind == "signal":
            return term.of.get(self.items.ids[i])
        if term.kind == "boost":
            return 1.0 if term.of(self.items, i) else None
        value = self.items.attributes[term.of][i]
        if value is None:
            return None
        if term.kind == "value":
            return float(value)
        return 2.0 ** (-max(self.at - value, 0) / term.half_life_us)

    def rows(self, positions):
        """Terms of some items, in order of ids; the first call fits the normalisers."""
        columns = [[self.value(term, i) for i in positions] for term in self.terms]
        if self.fitted is None:
            self.fitted = [normaliser(t.normalize, c) for t, c in zip(self.terms, columns, strict=True)]
        return [
            settled(
                [
                    0.0 if column[j] is None else term.weight * fit(column[j])
                    for term, fit, column in zip(self.terms, self.fitted, columns, strict=True)
                ]
            )
            for j in range(len(positions))
        ]


def _retrieve(items, blend, terms, user, want, among):
    """Positions of a pool: round-robin over the lists of each similarity, or the best by blend."""
    lists = []
    for term in terms:
        if term.kind == "similarity" and term.weight > 0 and term.of in (user or {}):
            metric, vectors = items.spaces[term.of]
            sims = similarity32(metric, user[term.of], vectors)
            lists.append(best(sims, want, items.ids, among))
    if not lists:
        everything = sorted(among, key=lambda i: items.ids[i])
        totals = {i: math.fsum(row) for i, row in zip(everything, blend.rows(everything), strict=True)}
        return sorted(everything, key=lambda i: (-totals[i], items.ids[i]))[:want]
    merged = []
    for i in range(max(map(len, lists))):
        for found in lists:
            if i < len(found) and found[i] not in merged and len(merged) < want:
                merged.append(found[i])
    return merged


def rank(
    items,
    terms,
    *,
    user,
    k,
    candidates,
    eligible=None,
    mmr=None,
    variety=None,
    caps=None,
    soft=None,
    at=0,
    chosen=None,
):
    """The slate. `mmr` is (diversity, space), `variety` one of `oracle_diversity` in its place. `chosen` are
    ids to follow in place of the first greedy choices: the slots of an explored slate, whose eligible sets
    and greedy choices are then reported. `soft` has (limit, penalty) by attribute.
    """
    caps, soft = caps or {}, soft or {}
    among = set(range(len(items.ids))) if eligible is None else set(eligible)
    fresh = _Blend(items, terms, user, at)
    first = _retrieve(items, fresh, terms, user, candidates, among)
    # Whatever retrieval fitted was fitted to all eligible items; the slate's terms are fitted to the pool.
    blend = _Blend(items, terms, user, at)
    pool, totals, rows = [], {}, {}

    def take_in(positions):
        positions = sorted(positions, key=lambda i: items.ids[i])
        for i, row in zip(positions, blend.rows(positions), strict=True):
            rows[i], totals[i] = row, math.fsum(row)
        pool.extend(positions)

    take_in(first)
    low = min(totals.values(), default=0.0)
    span = max(totals.values(), default=0.0) - low
    counts = {name: {} for name in [*caps, *soft]}

    def keys(name, i):
        value = items.attributes[name][i]
        return set() if value is None else set(value) if isinstance(value, list) else {value}

    def admitted(i):
        return all(counts[n].get(key, 0) < limit for n, limit in caps.items() for key in keys(n, i))

    def cost(i):
        return sum(
            penalty * sum(max(counts[n].get(key, 0) + 1 - limit, 0) for key in keys(n, i))
            for n, (limit, penalty) in sorted(soft.items())
        )

    out = Answer([], [], [], [], [], pool, math.inf)
    picked = []
    while len(picked) < k:
        open_ = [i for i in pool if i not in picked and admitted(i)]
        if not open_:
            rest = {i for i in among if i not in totals and admitted(i)}
            if not rest:
                break
            more = _Blend(items, terms, user, at)
            if not any(t.kind == "similarity" for t in more.terms):
                # The preferences of a cold start were fitted once, to everything eligible.
                more.rows(sorted(among, key=lambda i: items.ids[i]))
            take_in(_retrieve(items, more, terms, user, max(len(pool), 1), rest))
            continue
        open_.sort(key=lambda i: (-totals[i], items.ids[i]))
        if variety is not None:
            scaled = [(totals[i] - low) / span if span else 0.0 for i in open_]
            values = [variety(r, i, picked, first) for r, i in zip(scaled, open_, strict=True)]
        elif mmr is None or mmr[0] == 0:
            values = [totals[i] for i in open_]
        else:
            values = [
                _mmr_value(items, mmr, (totals[i] - low) / span if span else 0.0, i, picked) for i in open_
            ]
        values = [value - cost(i) for value, i in zip(values, open_, strict=True)]
        greedy = max(range(len(open_)), key=lambda p: (values[p], -p))
        rivals = [v for p, v in enumerate(values) if p != greedy]
        out.margin = min([out.margin, *(values[greedy] - v for v in rivals if v != values[greedy])])
        out.eligible.append([items.ids[i] for i in open_])
        out.greedy.append(items.ids[open_[greedy]])
        followed = chosen is not None and len(picked) < len(chosen)
        pick = items.position(chosen[len(picked)]) if followed else open_[greedy]
        assert pick in open_, f"{items.ids[pick]} may not be in slot {len(picked)}"
        picked.append(pick)
        for name in counts:
            for key in keys(name, pick):
                counts[name][key] = counts[name].get(key, 0) + 1
    out.ids = [items.ids[i] for i in picked]
    out.scores = [totals[i] for i in picked]
    out.terms = [rows[i] for i in picked]
    out.pool = sorted(items.ids[i] for i in pool)
    return out


def _mmr_value(items, mmr, relevance, i, picked):
    diversity, space = mmr
    vectors = items.spaces[space][1]
    similarity = 0.0
    if picked:
        similarity = max(float(similarity32("cosine", vectors[p], vectors[i : i + 1])[0]) for p in picked)
    return (1.0 - diversity) * relevance - diversity * similarity


def epsilon_greedy(epsilon, eligible, greedy):
    """The probability of each member of an eligible set."""
    n = len(eligible)
    return {i: (1.0 - epsilon if i == greedy else 0.0) + epsilon / n for i in eligible}
