"""Personalised ranking in one call, in-process: retrieve, filter, score, diversify, explore, explain, replay.

    catalog = pc.Catalog({"content": pc.Space(384, "cosine", "i8")})
    catalog.upsert(ids, vectors, {"genre": genres, "published_at": dates})
    policy = pc.Policy(score=pc.Blend(similarity=1.0, fresh=pc.Decay("published_at", "3d", 0.3)),
                       diversity=pc.MMR(0.3), caps={"genre": 3}, explore=pc.EpsilonGreedy(0.1))
    slate = pc.rank(catalog, user_vector, policy, k=20, exclude=seen_ids)
    slate.ids, slate.scores, slate.propensities, slate.reasons, slate.record()

Start with `help(pc.rank)`, `help(pc.Catalog)` and `help(pc.Policy)`; `pc.Index` is for vectors alone. What a
log of decisions is good for afterwards: `pc.ope`, `pc.interleave`, `pc.drift`, `pc.exposure`, `pc.agreement`,
`pc.counterfactual`. What devices learn together: `pc.federated`.
"""

from typing import TYPE_CHECKING, Any

from . import _core
from ._audit import record_schema, user_hash
from ._core import CapsuleError, FormatError, ReplayError, __version__
from .beside import Shadow
from .blend import Blend, Decay, Listed, Model, Signal
from .calibration import RRF, Linear, Percentiles, Sigmoid
from .candidates import Candidates
from .caps import Soft
from .capsule import Capsule, KeyPair, Provenance, capsule, generate_key
from .catalog import Catalog, Space
from .conditions import Between
from .counterfactual import Counterfactual, counterfactual
from .diversity import DPP, MMR, Calibrated, Spread
from .explore import UCB, EpsilonGreedy, PlackettLuce, Softmax, ThompsonSampling
from .filters import CompiledFilter, Field, Filter, field
from .foreign import Imported
from .index import Index, cpu_features, dot, topk
from .interests import Interests
from .models import OnnxModel
from .policy import Policy
from .profile import Profile, ProfilePlan
from .ranking import rank, replay
from .results import Fitted, Hit, Hits, Slate, SlateBatch, SlateItem, Tuning
from .routing import Route, RoutePlan, calibrate, route
from .rules import AtLeast, Boost, Hide, Pin

if TYPE_CHECKING:
    from . import agreement, drift, exposure, federated, interleave, ope, records

__all__ = [
    "DPP",
    "MMR",
    "RRF",
    "UCB",
    "AtLeast",
    "Between",
    "Blend",
    "Boost",
    "Calibrated",
    "Candidates",
    "Capsule",
    "CapsuleError",
    "Catalog",
    "CompiledFilter",
    "Counterfactual",
    "Decay",
    "EpsilonGreedy",
    "Field",
    "Filter",
    "Fitted",
    "FormatError",
    "Hide",
    "Hit",
    "Hits",
    "Imported",
    "Index",
    "Interests",
    "KeyPair",
    "Linear",
    "Listed",
    "Model",
    "OnnxModel",
    "Percentiles",
    "Pin",
    "PlackettLuce",
    "Policy",
    "Profile",
    "ProfilePlan",
    "Provenance",
    "ReplayError",
    "Route",
    "RoutePlan",
    "Shadow",
    "Sigmoid",
    "Signal",
    "Slate",
    "SlateBatch",
    "SlateItem",
    "Soft",
    "Softmax",
    "Space",
    "Spread",
    "ThompsonSampling",
    "Tuning",
    "__version__",
    "agreement",
    "calibrate",
    "capsule",
    "counterfactual",
    "cpu_features",
    "dot",
    "drift",
    "exposure",
    "federated",
    "field",
    "generate_key",
    "interleave",
    "ope",
    "rank",
    "record_schema",
    "records",
    "replay",
    "route",
    "topk",
    "user_hash",
]

# Loaded when they are first used: who only ranks does not wait for them.
_LATER = frozenset({"agreement", "drift", "exposure", "federated", "interleave", "ope", "records"})


def __getattr__(name: str) -> Any:
    if name in _LATER:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


if _core.debug_build:
    import warnings

    warnings.warn(
        "this is a debug build of perso_core: it is many times slower than a release build "
        "(build one with: maturin build --release)",
        RuntimeWarning,
        stacklevel=2,
    )
