"""Personalised ranking in one call, in-process: retrieve, filter, score, diversify, explore, explain, replay.

    catalog = pc.Catalog({"content": pc.Space(384, "cosine", "i8")})
    catalog.upsert(ids, vectors, {"genre": genres, "published_at": dates})
    policy = pc.Policy(score=pc.Blend(similarity=1.0, fresh=pc.Decay("published_at", "3d", 0.3)),
                       diversity=pc.MMR(0.3), caps={"genre": 3}, explore=pc.EpsilonGreedy(0.1))
    slate = pc.rank(catalog, user_vector, policy, k=20, exclude=seen_ids)
    slate.ids, slate.scores, slate.propensities, slate.reasons, slate.record()

Start with `help(pc.rank)`, `help(pc.Catalog)` and `help(pc.Policy)`; `pc.Index` is for vectors alone.
"""

from . import _core
from ._core import FormatError, ReplayError, __version__
from .blend import Blend, Decay, Signal
from .candidates import Candidates
from .catalog import Catalog, Space
from .explore import UCB, EpsilonGreedy, PlackettLuce, Softmax, ThompsonSampling
from .index import Index, cpu_features, dot, topk
from .policy import MMR, Policy
from .ranking import rank, replay
from .results import Hit, Hits, Slate, SlateBatch, SlateItem, Tuning

__all__ = [
    "MMR",
    "UCB",
    "Blend",
    "Candidates",
    "Catalog",
    "Decay",
    "EpsilonGreedy",
    "FormatError",
    "Hit",
    "Hits",
    "Index",
    "PlackettLuce",
    "Policy",
    "ReplayError",
    "Signal",
    "Slate",
    "SlateBatch",
    "SlateItem",
    "Softmax",
    "Space",
    "ThompsonSampling",
    "Tuning",
    "__version__",
    "cpu_features",
    "dot",
    "rank",
    "replay",
    "topk",
]

if _core.debug_build:
    import warnings

    warnings.warn(
        "this is a debug build of perso_core: it is many times slower than a release build "
        "(build one with: maturin build --release)",
        RuntimeWarning,
        stacklevel=2,
    )
