"""Outside models as a signal of the score: whatever predicts one number per row of a feature matrix.

The package imports no model library: it takes the objects of LightGBM, XGBoost, scikit-learn and onnxruntime, or
any callable. What a model answered is recorded for each candidate, so a replay needs no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _convert
from .blend import Model

if TYPE_CHECKING:
    from .policy import Policy

__all__ = ["OnnxModel", "bind"]

Predict = Callable[[NDArray[np.float32]], NDArray[np.float64]]

_AUTOMATIC = re.compile(r"Column_\d+")


def bind(policies: Sequence[Policy], models: object) -> dict[str, Predict]:
    """The models of a request by name, each checked against the policies and wrapped in a check of its answers."""
    if models is None:
        models = {}
    if not isinstance(models, Mapping):
        raise _convert.wrong_type("models", "a mapping of names to models", _convert.kind_of(models))
    wanted: dict[str, list[Model]] = {}
    for policy in policies:
        for name, signal in policy.score.signals.items():
            if isinstance(signal, Model):
                wanted.setdefault(name, []).append(signal)
    out: dict[str, Predict] = {}
    for name, model in models.items():
        if name not in wanted:
            expected = "models that the policy's Blend names" + (
                f" ({', '.join(map(repr, wanted))})" if wanted else ", which are none"
            )
            raise _convert.invalid("models", expected, repr(name))
        argument = f"models[{name!r}]"
        predict = getattr(model, "predict", model)
        if not callable(predict):
            raise _convert.wrong_type(
                argument, "an object with predict(features), or a callable", _convert.kind_of(model)
            )
        stated = _stated_names(model)
        for signal in wanted[name]:
            _check_names(argument, tuple(signal.features), stated)
        out[name] = _checked(argument, predict)
    return out


def _stated_names(model: object) -> list[str] | None:
    """The names of its features that a model states; None where it states none, or numbered ones."""
    stated = getattr(model, "feature_names_in_", None)
    if stated is None:
        stated = getattr(model, "feature_name", None)
        if callable(stated):
            stated = stated()
    if stated is None:
        stated = getattr(model, "feature_names", None)
    if stated is None or isinstance(stated, str) or not isinstance(stated, Iterable):
        return None
    names = [str(name) for name in stated]
    if not names or all(_AUTOMATIC.fullmatch(name) for name in names):
        return None
    return names


def _check_names(argument: str, features: tuple[str, ...], stated: list[str] | None) -> None:
    if stated is None or tuple(stated) == features:
        return
    if len(stated) != len(features):
        expected = f"a model of the policy's {len(features)} features"
        raise _convert.invalid(argument, expected, f"one that states {len(stated)}: {stated}")
    at = next(i for i, (a, b) in enumerate(zip(stated, features, strict=True)) if a != b)
    raise _convert.invalid(
        argument,
        f"feature {at} to be {features[at]!r}, as in the policy",
        f"a model that says {stated[at]!r}",
    )


def _checked(argument: str, predict: Callable[[NDArray[np.float32]], object]) -> Predict:
    def ask(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        rows = len(matrix)
        answers = np.asarray(predict(matrix))
        if answers.shape != (rows,):
            hint = " (of probabilities by class, choose one: lambda x: model.predict_proba(x)[:, 1])"
            raise _convert.invalid(
                argument,
                f"an answer of shape ({rows},)" + (hint if answers.ndim == 2 else ""),
                f"shape {answers.shape}",
            )
        if answers.dtype.kind not in "fiub":
            raise _convert.wrong_type(argument, "an answer of numbers", f"{answers.dtype} values")
        numbers = answers.astype(np.float64)
        if not np.isfinite(numbers).all():
            at = int(np.argmin(np.isfinite(numbers)))
            raise _convert.invalid(argument, "finite numbers", f"{numbers[at]} in row {at}")
        return numbers

    return ask


@dataclass(frozen=True)
class OnnxModel:
    """An onnxruntime session as a model for `rank(..., models=)`.

    Args:
        session: an `onnxruntime.InferenceSession`, or what has its get_inputs, get_outputs and run.
        input: the name of the (rows, features) float32 input; None for the only one.
        output: the name of the output; None for the first that is a tensor of floats. An output of shape (rows,) or
            (rows, 1) is the answer; of (rows, 2), the probabilities of a classifier with two classes, it is the
            second column.
        features: the names of the features in order, to be checked against the policy's; None for no check.

    Raises:
        ValueError: an input or output that is not there, or none that fits; while ranking, an answer of another
            shape.
    """

    session: Any
    input: str | None = None
    output: str | None = None
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for method in ("get_inputs", "get_outputs", "run"):
            if not hasattr(self.session, method):
                raise _convert.wrong_type(
                    "session", "an onnxruntime.InferenceSession", _convert.kind_of(self.session)
                )
        inputs = [one.name for one in self.session.get_inputs()]
        if self.input is None and len(inputs) != 1:
            raise _convert.invalid("input", f"one of {inputs}", "None")
        if self.input is not None and self.input not in inputs:
            raise _convert.invalid("input", f"one of {inputs}", repr(self.input))
        outputs = self.session.get_outputs()
        names = [one.name for one in outputs]
        floats = [one.name for one in outputs if one.type in ("tensor(float)", "tensor(double)")]
        if self.output is not None and self.output not in names:
            raise _convert.invalid("output", f"one of {names}", repr(self.output))
        if self.output is None and not floats:
            raise _convert.invalid("output", "a session with a float tensor", f"the outputs {names}")
        object.__setattr__(self, "input", self.input or inputs[0])
        object.__setattr__(self, "output", self.output or floats[0])
        if self.features is not None:
            object.__setattr__(self, "features", tuple(self.features))

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names given as features."""
        return self.features

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[Any]:
        """(rows,) numbers for a (rows, features) float32 matrix."""
        answers = np.asarray(self.session.run([self.output], {self.input: matrix})[0])
        if answers.ndim == 2 and answers.shape[1] in (1, 2):
            return answers[:, -1]
        if answers.ndim == 1:
            return answers
        expected = "shape (rows,), (rows, 1) or (rows, 2)"
        raise _convert.invalid(f"output {self.output!r}", expected, f"shape {answers.shape}")
