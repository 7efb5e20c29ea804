"""A small linear programme: maximise c x with A x = b, x >= 0, by the two-phase tableau simplex.

For problems of a dozen rows and a thousand columns. The entering column is that of the greatest gain, and
Bland's (the first that gains) once pivots stop helping, so it ends. Deterministic: ties go to the lowest
index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SMALL = 1e-10
_PATIENCE = 200

_Floats = NDArray[np.float64]


def maximise(c: _Floats, a: _Floats, b: _Floats) -> tuple[_Floats, float]:
    """A best x, and 0; or, where no x meets A x = b, some x and how far it is from that. b is at least 0."""
    rows, columns = a.shape
    tableau = np.concatenate([a, np.eye(rows), b[:, np.newaxis]], axis=1)
    basis = np.arange(columns, columns + rows)
    # One artificial variable a row: x = 0 with those at b is where it starts.
    phase = np.concatenate([np.zeros(columns), -np.ones(rows)])
    _run(tableau, basis, phase, columns + rows)
    violation = float(tableau[basis >= columns, -1].sum())
    if violation > 1e-9:
        return _solution(tableau, basis, columns), violation
    # An artificial that stayed in the basis is 0: swap it for a column, or leave its row, which says nothing.
    for row in np.flatnonzero(basis >= columns):
        entering = np.flatnonzero(np.abs(tableau[row, :columns]) > 1e-9)
        if len(entering):
            _pivot(tableau, basis, int(row), int(entering[0]))
    kept = basis < columns
    tableau, basis = tableau[kept], basis[kept]
    _run(tableau, basis, np.concatenate([c, np.zeros(rows)]), columns)
    return _solution(tableau, basis, columns), 0.0


def _run(tableau: _Floats, basis: NDArray[np.int64], c: _Floats, columns: int) -> None:
    """Pivots until no column below `columns` gains."""
    idle = 0
    while True:
        gains = c[:columns] - c[basis] @ tableau[:, :columns]
        better = np.flatnonzero(gains > _SMALL)
        if not len(better):
            return
        entering = int(better[0]) if idle > _PATIENCE else int(better[gains[better].argmax()])
        column = tableau[:, entering]
        positive = column > _SMALL
        if not positive.any():
            # Unbounded: cannot be, the variables are probabilities.
            return
        ratios = np.full(len(column), np.inf)
        ratios[positive] = tableau[positive, -1] / column[positive]
        least = ratios.min()
        rows = np.flatnonzero(ratios <= least + 1e-14)
        idle = idle + 1 if least <= 1e-14 else 0
        _pivot(tableau, basis, int(rows[basis[rows].argmin()]), entering)


def _pivot(tableau: _Floats, basis: NDArray[np.int64], row: int, column: int) -> None:
    tableau[row] /= tableau[row, column]
    factors = tableau[:, column].copy()
    factors[row] = 0.0
    tableau -= factors[:, np.newaxis] * tableau[row]
    # Rounding must not push a value below 0.
    np.maximum(tableau[:, -1], 0.0, out=tableau[:, -1])
    basis[row] = column


def _solution(tableau: _Floats, basis: NDArray[np.int64], columns: int) -> _Floats:
    x = np.zeros(columns)
    real = basis < columns
    x[basis[real]] = tableau[real, -1]
    return x
