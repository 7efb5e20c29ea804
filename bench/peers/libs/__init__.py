"""The libraries, one adapter each. Importing an adapter does not import its library."""

from __future__ import annotations

from .base import Config, Curve, Engine, Unsupported, label_of
from .faiss import FaissFlat, FaissHnsw
from .hnswlib import Hnswlib
from .numpy import Numpy
from .ours import Ours
from .rabitqlib import Rabitqlib
from .scann import Scann
from .svs import Svs
from .usearch import Usearch

__all__ = ["BY_KEY", "ENGINES", "Config", "Curve", "Engine", "Unsupported", "choose", "label_of"]

ENGINES: tuple[type[Engine], ...] = (
    Ours,
    Hnswlib,
    FaissHnsw,
    FaissFlat,
    Usearch,
    Scann,
    Rabitqlib,
    Svs,
    Numpy,
)

BY_KEY: dict[str, tuple[type[Engine], Config]] = {
    config.key: (engine, config) for engine in ENGINES for config in engine.configs
}


def choose(argument: str, names: list[str] | None, ours: bool, tune: bool = False) -> list[str]:
    """Keys of the configurations that `names` (keys or libraries) stand for; without names, the usual ones.

    Raises:
        ValueError: a name that stands for none.
    """
    mine = {key: pair for key, pair in BY_KEY.items() if (pair[0] is Ours) == ours}
    if names is None:
        return [key for key, (_, c) in mine.items() if not c.named and (tune or not c.tuned)]
    if names == ["none"]:
        return []
    wanted = set()
    for name in names:
        of_library = {
            key for key, (engine, c) in mine.items() if engine.library == name and (tune or not c.tuned)
        }
        found = {name} & mine.keys() or of_library
        if not found:
            known = sorted({engine.library for engine, _ in mine.values()} | mine.keys())
            raise ValueError(f"{argument}: expected none or some of {', '.join(known)}; got {name!r}")
        wanted |= found
    return [key for key in mine if key in wanted]
