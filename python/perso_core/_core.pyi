# The extension module. Its public form is the rest of the package; this file is what mypy and stubtest read.
from collections.abc import Callable
from os import PathLike
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Candidates",
    "Capsule",
    "CapsuleError",
    "Catalog",
    "Compiled",
    "Export",
    "Filter",
    "FormatError",
    "Index",
    "Policy",
    "Profile",
    "ProfilePlan",
    "ReplayError",
    "Slate",
    "__version__",
    "calibrate",
    "compile",
    "counterfactual",
    "cpu_features",
    "debug_build",
    "dot_f16",
    "dot_f32",
    "dot_i8",
    "import_faiss",
    "import_hnswlib",
    "pack",
    "public_key",
    "rank",
    "rank_many",
    "replay",
    "route",
    "route_checked",
    "route_plan",
    "topk_f16",
    "topk_f32",
]

__version__: Final[str]
debug_build: Final[bool]

class FormatError(ValueError): ...

class CapsuleError(FormatError):
    reason: str

class ReplayError(ValueError): ...

def cpu_features() -> dict[str, Any]: ...
def dot_f32(queries: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]: ...
def dot_f16(queries: NDArray[np.float32], items: NDArray[np.uint16]) -> NDArray[np.float32]: ...
def dot_i8(queries: NDArray[np.int8], items: NDArray[np.int8]) -> NDArray[np.float32]: ...
def topk_f32(
    queries: NDArray[np.float32], items: NDArray[np.float32], k: int, metric: str, num_threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
def topk_f16(
    queries: NDArray[np.float32], items: NDArray[np.uint16], k: int, metric: str, num_threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...

_Ids = NDArray[np.int64] | list[str]
_Progress = Callable[[int, int], object] | None
_Path = str | PathLike[str]
_Hits = tuple[NDArray[np.int64] | list[list[str | None]], NDArray[np.float32], str]
_Columns = dict[str, tuple[str, list[Any]]]
_Options = tuple[str, str, int, int, str, str | None]
_Space = tuple[str, int, _Options]
_ArrowSpace = tuple[str, str, int | None, _Options]
_Model = Callable[[NDArray[np.float32]], NDArray[np.float64]]
_Interests = tuple[NDArray[np.float32], list[float], NDArray[np.float32], float, str]
_User = dict[str, NDArray[np.float32] | _Interests | list[_Interests]]
_List = tuple[_Ids, NDArray[np.float64] | None]
_Numbers = NDArray[np.float64] | tuple[_Ids, NDArray[np.float64]]

@final
class Index:
    def __new__(
        cls,
        dim: int,
        metric: str,
        dtype: str,
        m: int,
        ef_construction: int,
        seed: int,
        layout: str,
        rescore: str | None,
    ) -> Index: ...
    def add(
        self,
        vectors: NDArray[np.float32],
        ids: _Ids | None,
        num_threads: int,
        progress: _Progress,
        fit_queries: NDArray[np.float32] | None,
    ) -> _Ids: ...
    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        ef: int | None,
        filter: _WhereEach | None,
        exclude: _Ids | None,
        exact: bool,
        num_threads: int,
    ) -> _Hits: ...
    def search_one(
        self, query: object, k: int, ef: int | None
    ) -> tuple[NDArray[np.int64] | list[str | None], NDArray[np.float32], str] | None: ...
    def recall(
        self, queries: NDArray[np.float32], k: int, ef: int | None, num_threads: int, progress: _Progress
    ) -> tuple[float, float, str]: ...
    def tune(
        self, queries: NDArray[np.float32], recall: float, k: int, num_threads: int, progress: _Progress
    ) -> dict[str, Any]: ...
    def fit(self, queries: NDArray[np.float32], num_threads: int, progress: _Progress) -> dict[str, Any]: ...
    def remove(self, ids: _Ids) -> None: ...
    def compact(self) -> None: ...
    def copy(self) -> Index: ...
    def get(self, ids: _Ids) -> NDArray[np.float32]: ...
    def ids(self) -> _Ids: ...
    def __len__(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def M(self) -> int: ...
    @property
    def ef_construction(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def layout(self) -> str: ...
    @property
    def rescore(self) -> str | None: ...
    def stats(self) -> dict[str, Any]: ...
    def save(self, path: _Path, progress: _Progress) -> None: ...
    @staticmethod
    def load(path: _Path, mmap: bool) -> Index: ...

_Form = tuple[str, str, str | None, int, str, int]

def import_hnswlib(
    path: _Path, dim: int, space: str, ids: _Ids | None, form: _Form, progress: _Progress
) -> tuple[Index, str, str | None, int]: ...
def import_faiss(
    path: _Path, metric: str | None, ids: _Ids | None, form: _Form, progress: _Progress
) -> tuple[Index, str, str | None, int]: ...

@final
class Catalog:
    def __new__(cls, spaces: list[_Space], seed: int) -> Catalog: ...
    @staticmethod
    def from_arrow(
        table: object,
        id: str,
        spaces: list[_ArrowSpace],
        attributes: list[str] | None,
        seed: int,
        rows: int | None,
        num_threads: int,
        progress: _Progress,
    ) -> Catalog: ...
    def upsert(
        self,
        ids: _Ids,
        vectors: dict[str, NDArray[np.float32]],
        attributes: _Columns,
        num_threads: int,
        progress: _Progress,
    ) -> None: ...
    def upsert_arrow(
        self,
        table: object,
        id: str,
        spaces: list[tuple[str, str]],
        attributes: list[str] | None,
        rows: int | None,
        rows_per_change: int | None,
        num_threads: int,
        progress: _Progress,
    ) -> None: ...
    def export(
        self,
        id: str,
        spaces: list[tuple[str, str]] | None,
        attributes: list[str] | None,
        ids: _Ids | None,
    ) -> Export: ...
    def remove(self, ids: _Ids) -> None: ...
    def compact(self) -> None: ...
    def copy(self) -> Catalog: ...
    def get(self, ids: _Ids) -> list[dict[str, Any]]: ...
    def ids(self) -> _Ids: ...
    def attributes(self) -> list[tuple[str, str]]: ...
    def spaces(self) -> list[_Space]: ...
    @property
    def generation(self) -> int: ...
    @property
    def content_hash(self) -> str: ...
    def __len__(self) -> int: ...
    def __contains__(self, id: object, /) -> bool: ...
    def stats(self) -> dict[str, Any]: ...
    def search(
        self,
        space: str,
        queries: NDArray[np.float32],
        k: int,
        ef: int | None,
        where: _WhereEach | None,
        exclude: _Ids | None,
        exact: bool,
        num_threads: int,
    ) -> _Hits: ...
    def save(self, path: _Path, progress: _Progress) -> None: ...
    @staticmethod
    def open(path: _Path, mmap: bool, progress: _Progress) -> Catalog: ...
    @staticmethod
    def open_durable(
        path: _Path,
        mmap: bool,
        spaces: list[_Space] | None,
        seed: int,
        sync: str,
        log_limit: int | None,
        progress: _Progress,
    ) -> Catalog: ...
    def checkpoint(self, progress: _Progress) -> None: ...
    def refresh(self, progress: _Progress) -> int: ...
    def close(self) -> None: ...

@final
class Export:
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    @property
    def columns(self) -> list[tuple[str, str]]: ...
    def __len__(self) -> int: ...

@final
class Policy:
    def __new__(cls, json: str) -> Policy: ...
    @property
    def json(self) -> str: ...
    @property
    def reads(self) -> list[str]: ...
    @property
    def hash(self) -> str: ...

@final
class Candidates:
    def __new__(
        cls,
        ids: _Ids,
        vectors: dict[str, NDArray[np.float32]],
        metrics: dict[str, str],
        scores: NDArray[np.float64] | None,
        attributes: _Columns,
    ) -> Candidates: ...
    def __len__(self) -> int: ...

@final
class Filter:
    def __new__(cls, json: str) -> Filter: ...
    @staticmethod
    def outside(
        key: str,
        attributes: list[str],
        evaluate: Callable[[Any], tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    ) -> Filter: ...
    @property
    def json(self) -> str: ...

@final
class Compiled:
    def both(self, other: Compiled) -> Compiled: ...
    def either(self, other: Compiled) -> Compiled: ...
    def negated(self) -> Compiled: ...
    def sizes(self) -> tuple[int, int, int, int]: ...
    def ids(self) -> _Ids: ...
    def __contains__(self, id: object, /) -> bool: ...

_Where = NDArray[np.bool_] | _Ids | Filter | Compiled
_WhereEach = _Where | tuple[_Where | None, ...]

@final
class Capsule:
    @staticmethod
    def open(data: bytes, keys: list[bytes], at_us: int) -> Capsule: ...
    @staticmethod
    def load(path: _Path, keys: list[bytes], at_us: int) -> Capsule: ...
    def save(self, path: _Path) -> None: ...
    def data(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    @property
    def ids(self) -> _Ids: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def plan(self) -> ProfilePlan | None: ...
    @property
    def provenance(self) -> tuple[str, int, str, int, int, str]: ...
    @property
    def hash(self) -> str: ...
    def spaces(self) -> list[tuple[str, int, str, str]]: ...
    def attributes(self) -> list[tuple[str, str]]: ...
    def vector(self, id: int | str, space: str) -> NDArray[np.float32]: ...
    def __len__(self) -> int: ...

def pack(
    source: Catalog | Candidates | Capsule,
    policy: Policy,
    ids: _Ids,
    spaces: list[str] | None,
    dtype: str,
    attributes: list[str],
    signals: dict[str, _Numbers],
    plan: ProfilePlan | None,
    made_at_us: int,
    expires_at_us: int,
    key: bytes,
) -> bytes: ...
def public_key(key: bytes) -> tuple[bytes, str]: ...

_Withheld = tuple[
    _Where | None,
    _Ids | None,
    dict[str, _Numbers],
    dict[str, _Model],
    dict[str, _List],
    dict[str, float] | None,
]

@final
class ProfilePlan:
    def __new__(cls, json: str) -> ProfilePlan: ...
    @property
    def json(self) -> str: ...
    @property
    def hash(self) -> str: ...

@final
class Profile:
    def __new__(
        cls,
        plan: ProfilePlan,
        dim: int,
        base: NDArray[np.float32] | None,
        prior: NDArray[np.float32] | None,
    ) -> Profile: ...
    @staticmethod
    def from_bytes(data: bytes, plan: ProfilePlan) -> Profile: ...
    def to_bytes(self) -> bytes: ...
    def observe(self, item: NDArray[np.float32], kind: str, at_us: int) -> None: ...
    def vector(self, at_us: int) -> NDArray[np.float32] | None: ...
    def negative(self) -> NDArray[np.float32] | None: ...
    def evidence(self, at_us: int) -> tuple[float, float, float]: ...
    def counts(self) -> list[tuple[str, int]]: ...
    def latest_us(self) -> int | None: ...
    @property
    def dim(self) -> int: ...

@final
class Slate:
    @property
    def ids(self) -> _Ids: ...
    @property
    def scores(self) -> NDArray[np.float64]: ...
    @property
    def propensities(self) -> NDArray[np.float64]: ...
    @property
    def log_propensity(self) -> float: ...
    @property
    def propensity_errors(self) -> NDArray[np.float64]: ...
    @property
    def propensity_draws(self) -> NDArray[np.int64]: ...
    @property
    def support(self) -> NDArray[np.int64]: ...
    @property
    def support_warning(self) -> str | None: ...
    @property
    def explored(self) -> NDArray[np.bool_]: ...
    @property
    def eligible_counts(self) -> list[int]: ...
    @property
    def reasons(self) -> list[str]: ...
    @property
    def masked(self) -> list[str]: ...
    @property
    def term_names(self) -> list[str]: ...
    @property
    def terms(self) -> NDArray[np.float64]: ...
    @property
    def timings_us(self) -> dict[str, float]: ...
    @property
    def short_reason(self) -> str | None: ...
    @property
    def given_up(self) -> list[str]: ...
    @property
    def budget_us(self) -> tuple[float, float, float] | None: ...
    @property
    def route(self) -> str | None: ...
    @property
    def unmet(self) -> list[str]: ...
    @property
    def prices(self) -> dict[str, float]: ...
    @property
    def pool_size(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def lists(self) -> dict[str, dict[str, int]]: ...
    @property
    def k(self) -> int: ...
    @property
    def at_us(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def request_id(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def policy_hash(self) -> str: ...
    def __len__(self) -> int: ...
    @property
    def of_capsule(self) -> bool: ...
    def candidates(self, policy: Policy, most: int) -> tuple[_Ids, dict[str, NDArray[np.float64]]]: ...
    def record(self, user: str, user_key_hmac: str | None) -> str: ...

def compile(source: Catalog | Candidates | Capsule | Index, where: _Where, argument: str) -> Compiled: ...
def rank(
    source: Catalog | Candidates | Capsule,
    user: _User | None,
    policy: Policy,
    k: int,
    where: _Where | None,
    exclude: _Ids | None,
    signals: dict[str, _Numbers],
    models: dict[str, _Model],
    lists: dict[str, _List],
    at_us: int,
    seed: int,
    request_id: str,
    target: dict[str, float] | None,
    pins: tuple[list[int], _Ids] | None,
    shadow: Policy | None,
    allow: tuple[bool, bool, bool] | None,
    budget_us: float | None,
    route: str | None,
) -> tuple[Slate, Slate | None]: ...
def rank_many(
    source: Catalog | Candidates | Capsule,
    users: _User | None,
    count: int,
    policy: Policy,
    k: int,
    where: _WhereEach | None,
    exclude: list[_Ids] | None,
    signals: dict[str, _Numbers],
    models: dict[str, _Model],
    lists: list[dict[str, _List]],
    at_us: int,
    seed: int,
    request_ids: list[str],
    num_threads: int,
    targets: list[dict[str, float]] | None,
    pins: list[tuple[list[int], _Ids]] | None,
    shadow: Policy | None,
    allow: tuple[bool, bool, bool] | None,
    budget_us: float | None,
    route: str | None,
) -> list[tuple[Slate, Slate | None]]: ...
def replay(
    record: str, source: Catalog | Candidates | Capsule, user: _User | None, withheld: _Withheld | None
) -> Slate: ...
def counterfactual(
    record: str,
    source: Catalog | Candidates | Capsule,
    user: _User | None,
    mask: list[str],
) -> tuple[Slate, Slate]: ...
def route(situation: str) -> str: ...
def route_checked(document: str) -> str: ...
def route_plan(document: str) -> tuple[str, str]: ...
def calibrate(rounds: int) -> float: ...
