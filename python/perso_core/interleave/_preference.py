"""Which ranking the clicks prefer, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrow, _convert, _stats
from .._types import ArrowStream, Path
from ..ope import Bootstrap
from ._lists import Credit

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Preference", "preference"]


@dataclass(frozen=True)
class Preference:
    """The outcome of an interleaving experiment.

    Attributes:
        n: independent outcomes.
        wins_a, wins_b, ties: how many each ranking won, by the larger credit.
        delta: (wins_a + ties / 2) / n - 1/2, from -0.5 to 0.5; above 0 a is preferred (Chapelle et al. 2012,
            *Large-scale validation and analysis of interleaved search evaluation*, ACM TOIS 30).
        p_sign: two-sided exact p-value of the sign test: wins, without ties, as throws of a fair coin.
        mean: of credit a - credit b.
        standard_error: of that mean; NaN for one outcome.
        low, high: its bootstrap interval.
        level: of the interval.
        p_t: two-sided p-value of the t-test that the mean is 0; NaN for one outcome, 1 where all differences
            are 0.
    """

    n: int
    wins_a: int
    wins_b: int
    ties: int
    delta: float
    p_sign: float
    mean: float
    standard_error: float
    low: float
    high: float
    level: float
    p_t: float

    def to_arrow(self) -> pyarrow.Table:
        """A table of one row with the attributes. Needs pyarrow."""
        pa = _arrow.pyarrow("to_arrow")
        return pa.table({name: [getattr(self, name)] for name in self.__dataclass_fields__})


def preference(
    outcomes: Iterable[Credit | tuple[float, float]] | NDArray[Any] | ArrowStream | Path,
    *,
    interval: Bootstrap | None = None,
) -> Preference:
    """Tests whether one ranking is preferred.

    Args:
        outcomes: one an independent unit: `Credit`s, pairs (a, b), an (n, 2) array, or an Arrow table (or a
            path of one) with the columns credit_a and credit_b, a row a unit. Requests of one user are not
            independent: add their credits up to one outcome a user first.
        interval: of the mean difference; `pc.ope.Bootstrap()` by default.

    Raises:
        ValueError, TypeError: an argument that is wrong, named with what was expected and what came.
    """
    if interval is not None and not isinstance(interval, Bootstrap):
        raise _convert.wrong_type("interval", "a Bootstrap, or None", _convert.kind_of(interval))
    how = Bootstrap() if interval is None else interval
    pairs = _pairs(outcomes)
    difference = pairs[:, 0] - pairs[:, 1]
    n = len(difference)
    wins_a, wins_b = int(np.count_nonzero(difference > 0)), int(np.count_nonzero(difference < 0))
    ties = n - wins_a - wins_b
    mean = float(difference.mean())
    error = float(difference.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    if n == 1:
        p_t = float("nan")
    elif error == 0:
        p_t = 1.0 if mean == 0 else 0.0
    else:
        p_t = _stats.student_t(mean / error, n - 1)
    ones = np.ones((n, 1))
    low, high = how.bounds(mean, error, difference[:, np.newaxis], ones)
    return Preference(
        n,
        wins_a,
        wins_b,
        ties,
        (wins_a + ties / 2) / n - 0.5,
        _stats.sign_test(wins_a, wins_b),
        mean,
        error,
        low,
        high,
        how.level,
        p_t,
    )


def _pairs(outcomes: Any) -> NDArray[np.float64]:
    if isinstance(outcomes, np.ndarray):
        pairs = _convert.reals("outcomes", outcomes, 2)
    elif _arrow.is_table(outcomes) or _arrow.is_path(outcomes):
        table = _arrow.as_table("outcomes", outcomes)
        columns = [_arrow.numbers("outcomes", table, name) for name in ("credit_a", "credit_b")]
        pairs = np.stack(columns, axis=1)
    elif isinstance(outcomes, Iterable):
        listed = [one[1:] if isinstance(one, Credit) else one for one in outcomes]
        pairs = _convert.reals("outcomes", listed, 2) if listed else np.empty((0, 2))
    else:
        raise _convert.wrong_type(
            "outcomes", "Credits, pairs, an (n, 2) array or an Arrow table", _convert.kind_of(outcomes)
        )
    if pairs.shape[1] != 2:
        raise _convert.invalid("outcomes", "pairs (credit a, credit b)", f"shape {pairs.shape}")
    if not len(pairs):
        raise _convert.invalid("outcomes", "at least one", "none")
    return pairs
