"""The effects of choices on what a proxy predicts, against functions whose effects are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from optiproxy_nas import Choice, Space
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy
from optiproxy_nas.report import RunData
from optiproxy_nas.report.choice_effects import choice_effects
from optiproxy_nas.report.importance_figures import IMPORTANCE, TITLE

SPACE = Space(
    {
        "much": Choice([1, 2, 3, 4]),
        "little": Choice([1, 2, 3, 4]),
        "nothing": Choice([1, 2, 3, 4]),
        "second": Choice(["a", "b"], when={"much": [3, 4]}),
    },
    name="effects",
)


def parameters_of(**changes: Any) -> Any:
    return resolve_method(
        {
            "method": "optiproxy",
            "preset": "default",
            "space": SPACE.parameter(),
            "source": "own",
            "benchmark": "effects",
            "seed": 0,
            "budget": 60,
            "objective": None,
            "direction": None,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def fitted() -> Any:
    """A Gaussian process on 60 values of 3 much + little, whose variances are 9 to 1."""
    parameters = parameters_of()
    generator = torch.Generator().manual_seed(1)
    codes = SPACE.random(60, generator)
    tables = [SPACE.architecture(text) for text in SPACE.to_string(codes)]
    values = torch.tensor([[3.0 * table["much"] + table["little"] for table in tables]])
    proxy = GaussianProcessProxy(SPACE, parameters.proxy, generator, 1)
    proxy.fit(codes, (values - values.mean()) / values.std())
    return parameters, proxy.state_dict()


@pytest.mark.heavy
def test_effects_are_the_shares_of_the_variance(fitted: Any) -> None:
    parameters, weights = fitted
    effects = choice_effects(SPACE, parameters, weights, sample=1500)
    mean = dict(zip(effects.choices, effects.shares.mean(0), strict=True))
    random = SPACE.random(20_000, torch.Generator().manual_seed(3))
    tables = [SPACE.architecture(text) for text in SPACE.to_string(random)]
    much, little = (np.array([t[name] for t in tables]) for name in ("much", "little"))
    whole = np.var(3.0 * much + little)
    assert mean["much"] == pytest.approx(9 * np.var(much) / whole, abs=0.05)
    assert mean["little"] == pytest.approx(np.var(little) / whole, abs=0.05)
    assert mean["nothing"] < 0.02
    assert mean["second"] < 0.02  # where it exists, it changes nothing
    assert dict(zip(effects.choices, effects.best, strict=True))["much"] == "4"


def test_draws_of_a_posterior_that_saw_little_differ_more(fitted: Any) -> None:
    parameters, weights = fitted
    few = GaussianProcessProxy(SPACE, parameters.proxy, torch.Generator(), 1)
    few.fit(weights["codes"][:6], weights["targets"][:, :6])
    wide, narrow = (
        choice_effects(SPACE, parameters, of).shares.std(0).max()
        for of in (few.state_dict(), weights)
    )
    assert wide > 2 * narrow


def test_an_ensemble_has_the_effects_of_its_members() -> None:
    parameters = parameters_of(proxy={"name": "mlp", "members": 3})
    from optiproxy_nas.proxies import build_proxy

    proxy = build_proxy(SPACE, parameters.proxy, torch.Generator().manual_seed(0), 1)
    effects = choice_effects(SPACE, parameters, proxy.state_dict())
    assert effects.shares.shape == (3, 4)
    assert ((effects.shares >= 0) & (effects.shares <= 1)).all()


def test_equal_proxies_give_equal_effects_and_a_figure(fitted: Any, run: dict[str, Any]) -> None:
    first, second = (choice_effects(SPACE, *fitted) for _ in range(2))
    assert (first.shares == second.shares).all()
    data = RunData(**run, effects=first)
    figure = IMPORTANCE.draw(data)
    assert figure.axes[0].get_yticklabels()[0].get_text() == "much"
    assert "interactions" in IMPORTANCE.caption_for(data)
    assert TITLE in IMPORTANCE.draw(RunData(**run)).axes[0].get_title(loc="left")
