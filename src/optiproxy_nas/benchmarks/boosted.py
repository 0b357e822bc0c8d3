"""A surrogate of boosted trees (LightGBM): fitting, validation and prediction.

Ten members, each fitted without one tenth of the data, so that the errors on the tenths left out
are the ten-fold cross-validation of what is used; the prediction is the members' mean. A member
learns normal scores (the quantile of a value among its data, by the normal distribution), because
the values have a long tail of failures, and translates back by interpolation between the values
that it has seen: no prediction lies outside the data.

The standard deviation has two parts. How large errors are in such a place is learnt from the
cross-validation's errors, and scaled so that 68 % of them are smaller: this local scale is what is
validated, and the coverages among the facts are of split-conformal intervals with it alone (Lei et
al. 2018). An answer adds in quadrature how much the members disagree, which a value left out by one
member only cannot show; with it, intervals are wider than those that were validated.

Single-threaded and seeded: the same data give the same bytes with the same release of LightGBM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.benchmarks.boosted_validation import (
    Neighbours,
    Values,
    agreement,
    best_half_spearman,
    coverage,
    coverage_by_third,
    error_by_third,
)
from optiproxy_nas.benchmarks.surrogate_file import damaged, pack, unpack
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError

FOLDS = 10
_TREES, _ERROR_TREES = 400, 80
_COMMON = {
    "objective": "regression",
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
_MEMBER = {**_COMMON, "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 5}
_ERROR = {**_COMMON, "learning_rate": 0.05, "num_leaves": 7, "min_data_in_leaf": 20}
_LEAST_ERROR = 1e-3  # errors below are alike; nats


def lightgbm() -> Any:
    """Import the package, only where it is needed.

    Raises:
        DataError: it is not installed.
    """
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: a system library of it is missing
        raise DataError(
            f"This source's surrogate needs LightGBM, which cannot be imported ({error}). Install "
            'it: pip install "optiproxy-nas[surrogates]".',
            package="lightgbm",
        ) from error
    return lightgbm


def fit_boosted(
    names: Sequence[str],
    features: Values,
    values: Values,
    seed: int = 0,
    base: Values | float = 0.0,
) -> bytes:
    """Fit and validate a surrogate.

    Args:
        names: of the features [f].
        features: [n, f].
        values: [n], what is predicted.
        seed: of the folds and of the trees.
        base: [n], what a caller adds to the predictions; the facts are of the sums.

    Returns:
        A zip file with members, error model, scaled data and facts; no pickle.

    Raises:
        DataError: LightGBM is not installed, or there are too few values for ten folds.
    """
    if len(values) < 5 * FOLDS:
        raise DataError(
            f"A surrogate needs at least {5 * FOLDS} different architectures, got {len(values)}."
        )
    varies = features.std(0) > 0
    kept = [name for name, used in zip(names, varies, strict=True) if used]
    features = features[:, varies].astype(np.float32)
    fold = np.random.default_rng(seed).permutation(len(values)) % FOLDS
    members, held_out = [], np.empty(len(values))
    for k in range(FOLDS):
        inside = fold != k
        ordered = np.sort(values[inside])
        member = _train(
            _MEMBER, features[inside], _scores(values[inside], ordered), _TREES, seed + k
        )
        held_out[~inside] = _values(member.predict(features[~inside], num_threads=1), ordered)
        members.append((member, ordered))
    errors = np.abs(values - held_out)
    seen = np.column_stack([features, held_out]).astype(np.float32)
    target = np.log(np.maximum(errors, _LEAST_ERROR))
    expected = np.empty(len(values))
    for k in range(FOLDS):
        inside = fold != k
        model = _train(_ERROR, seen[inside], target[inside], _ERROR_TREES, seed + k)
        expected[~inside] = np.exp(model.predict(seen[~inside], num_threads=1))
    ratio = errors / expected
    space = Neighbours.fit(features)
    nearest = space.to_others()
    arrays = {
        "centre": space.centre,
        "spread": space.spread,
        "data": features,
        "unit": np.array(np.median(nearest)),
        "scale": np.array(np.quantile(ratio, 0.68)),
        **{f"known_{k}": ordered for k, (_, ordered) in enumerate(members)},
    }
    error_model = _train(_ERROR, seen, target, _ERROR_TREES, seed)
    facts = {
        "method": f"LightGBM {lightgbm().__version__}, {FOLDS} members, {_TREES} trees each",
        "architectures": len(values),
        "features": len(kept),
        "cross_validation": {
            "folds": FOLDS,
            **agreement(base + held_out, base + values),
            "best_half_spearman": best_half_spearman(base + held_out, base + values),
            "coverage": coverage(ratio, fold),
            "coverage_by_third_of_prediction": coverage_by_third(held_out, ratio),
            "error_by_third_of_distance": error_by_third(nearest, errors),
        },
    }
    texts = {f"member_{k}": _text(member) for k, (member, _) in enumerate(members)}
    return pack({"names": kept, "facts": facts}, arrays, {**texts, "error": _text(error_model)})


class Boosted:
    """A fitted surrogate; picklable.

    Args:
        model: what ``fit_boosted`` gave.

    Raises:
        DataError: it is damaged, or LightGBM is not installed.
    """

    def __init__(self, model: bytes) -> None:
        self._model = model
        head, arrays, texts = unpack(model)
        self.names: list[str] = head["names"]
        self.facts: dict[str, Any] = head["facts"]
        self._unit, self._scale = float(arrays["unit"]), float(arrays["scale"])
        self._space = Neighbours(arrays["data"], arrays["centre"], arrays["spread"])
        load = lightgbm().Booster
        try:
            self._members = [
                (load(model_str=texts[f"member_{k}"]), arrays[f"known_{k}"]) for k in range(FOLDS)
            ]
            self._error = load(model_str=texts["error"])
        except Exception as error:  # LightGBM's own errors derive from Exception only
            raise damaged(error) from error

    def __reduce__(self) -> tuple[type[Boosted], tuple[bytes]]:
        return type(self), (self._model,)

    def answer(self, metric: str, names: Sequence[str], features: Values) -> Floats:
        """Return a source's metric of architectures: [n].

        Args:
            metric: ``surrogate_sd``, perhaps with a unit: the deviation; ``distance_to_data``: the
                distance; any other: the prediction.
            names: of the features; those that it was fitted on are taken of them.
            features: [n, f].
        """
        taken = self.select(names, features)
        if metric.startswith("surrogate_sd"):
            return self.deviation(taken)
        return self.distance(taken) if metric == "distance_to_data" else self.predict(taken)

    def select(self, names: Sequence[str], features: Values) -> NDArray[np.float32]:
        """Return the features that it was fitted on [n, f], out of a table with those names."""
        place = {name: i for i, name in enumerate(names)}
        return np.asarray(features[:, [place[name] for name in self.names]], dtype=np.float32)

    def predict(self, features: NDArray[np.float32]) -> Floats:
        """Return the members' mean [n], between the least and the largest value of the data."""
        return np.asarray(self._each(features).mean(0))

    def deviation(self, features: NDArray[np.float32]) -> Floats:
        """Return the standard deviation [n] of what the true value may be.

        The local scale, whose coverage was validated, and the members' spread in quadrature: with
        it, wider than what the facts' coverages are of.
        """
        each = self._each(features)
        seen = np.column_stack([features, each.mean(0)]).astype(np.float32)
        local = self._scale * np.exp(self._error.predict(seen, num_threads=1))
        return np.asarray(np.hypot(local, each.std(0)))

    def distance(self, features: NDArray[np.float32]) -> Floats:
        """Return how far the nearest architecture of the data is [n].

        1: as far as the data's architectures typically (in the median) are from the next one.
        """
        return np.asarray(self._space.to_nearest(features) / self._unit)

    def _each(self, features: NDArray[np.float32]) -> Floats:
        return np.stack(
            [_values(m.predict(features, num_threads=1), ordered) for m, ordered in self._members]
        )


@dataclass(frozen=True)
class TreePredictor:
    """Answers for a source whose model has boosted trees; picklable.

    Attributes:
        trees: the fitted surrogate.
        features: codes [n, L] -> names [f] and features [n, f] that the trees were fitted on.
        exact: metrics that need no trees: name -> (codes [n, L] -> [n]).
        base: metrics to which the trees' answer is added, likewise.
    """

    trees: Boosted
    features: Callable[[Tensor], tuple[Sequence[str], Values]]
    exact: Mapping[str, Callable[[Tensor], Floats]]
    base: Mapping[str, Callable[[Tensor], Floats]] = field(default_factory=dict)

    def __call__(self, codes: Tensor, metric: str, epochs: int) -> Floats:
        """Return a metric of each of codes [n, L]: [n]; there is one number of epochs only."""
        if metric in self.exact:
            return self.exact[metric](codes)
        answer = self.trees.answer(metric, *self.features(codes))
        return self.base[metric](codes) + answer if metric in self.base else answer


def _train(
    settings: dict[str, Any], features: Values, target: Values, trees: int, seed: int
) -> Any:
    package = lightgbm()
    data = package.Dataset(features, target, params={"max_bin": settings["max_bin"]})
    return package.train({**settings, "seed": seed}, data, trees)


def _scores(values: Values, ordered: Values) -> Floats:
    """Return normal scores of values among sorted ones; equal values have equal scores."""
    place = (np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right")) / 2
    return np.asarray(scipy.stats.norm.ppf(place / len(ordered)))


def _values(scores: Values, ordered: Values) -> Floats:
    """Return the values of scores, by interpolation between the sorted ones."""
    distinct = np.unique(ordered)
    return np.interp(scores, _scores(distinct, ordered), distinct)


def _text(model: Any) -> str:
    text: str = model.model_to_string()
    return text
