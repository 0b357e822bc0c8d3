"""What the parts of an objective must keep to: order of trials, price, proxy's task."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of, make_batch
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.selection import select_queries
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.objectives.base import COLUMNS, Objective, ProxyTask
from optiproxy_nas.objectives.trial_order import fitness_of
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.targets import TARGETS
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.testing.determinism import generator, logits_of, plain, pure

BATCH = 4  # queries of a step


def check_order(archive: pd.DataFrame, built: Objective) -> None:
    """Check the order by brute force; also where nothing is eligible."""
    order = built.order
    keys, ranks = pure("keys", order.keys, archive), pure("ranks", order.ranks, archive)
    eligible = pure("eligible", order.eligible, archive)
    assert eligible.shape == (len(archive),), f"eligible: {eligible.shape}, not one a row"
    assert eligible.dtype == np.bool_, f"eligible: {eligible.dtype}, not bool"
    assert keys.ndim == 2, f"keys: of shape {keys.shape}, not [k, n]"
    assert keys.shape[1] == len(archive), f"keys: of shape {keys.shape}, not one column a row"
    assert not np.isnan(keys).any(), "keys: NaN"
    assert (keys[0] == eligible).all(), "keys: the first is not whether a row is eligible"
    value = order.goodness(archive)
    assert (keys[1, eligible] == value[eligible]).all(), (
        "keys: the second is not the value of what is eligible"
    )
    fitness = fitness_of(keys)
    assert np.array_equal(rankdata(fitness, "dense") - 1, ranks), "ranks: not in the keys' order"
    subsets = {
        "all rows": archive,
        "every other row": archive.iloc[1::2],
        "what is eligible": archive[eligible],
        "what is not": archive[~eligible],
    }
    best_of = max if order.direction == "maximize" else min
    stopped = archive.assign(stopped=True)
    assert not order.eligible(stopped).any(), (
        "eligible: a training that was ended early; override may_answer in its place"
    )
    for name, subset in subsets.items():
        table = subset.reset_index(drop=True)
        if not len(table):
            continue
        good, values = order.eligible(table), table["value"].to_numpy()
        assert (good == eligible[subset.index]).all(), "eligible: depends on the rest of the table"
        assert np.array_equal(order.keys(table), keys[:, subset.index]), (
            "keys: depend on the rest of the table"
        )
        best = pure("best", order.best, table)
        so_far = [values[: row + 1][good[: row + 1]] for row in range(len(table))]
        expected = np.array([best_of(found, default=np.nan) for found in so_far])
        assert np.array_equal(best, expected, equal_nan=True), (
            f"best: not the best eligible value so far ({name})"
        )
        for count in range(1, len(table) + 1):
            row = order.incumbent(table.iloc[:count])
            first = int(ranks[subset.index[:count]].argmax())
            assert row == first, f"incumbent: row {row}, the first of the order is {first}"
            if good[:count].any():
                assert values[row] == expected[count - 1], "incumbent, best: do not agree"
                assert good[row], "incumbent: not eligible, though another is"


def check_price(space: SearchSpace, archive: pd.DataFrame, built: Objective) -> None:
    """Check that columns, costs, identities and prices agree."""
    price = built.price
    costs = pure("costs", price.costs, archive)
    assert costs.shape == (len(archive),), "costs: not one a row"
    assert costs.dtype == np.int64, f"costs: {costs.dtype}, not int64"
    assert (costs > 0).all(), "costs: a query that costs nothing"
    codes = codes_of(space, archive)
    identities = pure("identities", lambda table: price.identities(space, table, codes), archive)
    assert len(identities) == len(archive), "identities: not one a row"
    assert len(set(identities)) == len(archive), "identities: two queries of the archive are one"
    assert identities[3:6] == price.identities(space, archive.iloc[3:6], codes[3:6]), (
        "identities: depend on the rest of the table"
    )
    for count in (1, 5):
        for name, columns, expected in (
            ("initial_columns", price.initial_columns, price.initial_cost(count)),
            ("full_columns", price.full_columns, count * price.full_cost),
        ):
            batch = make_batch(space, codes[:count], 0).assign(**columns(count))
            cost = int(price.costs(batch).sum())
            assert cost == expected, f"{name}: {count} cost {cost} by costs, {expected} by price"
    assert price.step_cost(BATCH) >= 1, "step_cost: a step that may spend nothing"
    assert price.fewest(price.step_cost(BATCH)) >= 1, "fewest: a step without candidates"
    whole = price.capacity(1000)
    assert whole >= 1000 * price.full_cost, "capacity: full trials of all cost more than all"


def check_promotable(archive: pd.DataFrame, built: Objective) -> None:
    """Check that what cannot be raised any more never can be again."""
    last = np.zeros(0, dtype=bool)
    for count in range(len(archive) + 1):
        mask = built.promotable(archive.iloc[:count])
        assert mask.dtype == np.bool_, f"promotable: {mask.dtype}, not bool"
        assert mask.shape == (count,), f"promotable: {mask.shape}, not one a row"
        assert not (mask[: len(last)] & ~last).any(), "promotable: a row came back"
        last = mask


def check_targets(archive: pd.DataFrame, built: Objective) -> None:
    """Check what the proxy learns: of the archive's rows alone."""
    for name in TARGETS:
        targets = pure("targets", partial(built.task.targets, name=name), archive)
        shape, expected = tuple(targets.shape), (built.task.heads, len(archive))
        assert shape == expected, f"targets: shape {shape}, not [H, n] = {expected}"
        assert targets.dtype == torch.float32, f"targets: {targets.dtype}, not float32"
        assert not torch.isinf(targets).any(), "targets: infinite"
        assert not torch.isnan(targets).all(), "targets: nothing observed"
        heads = built.task.heads_of(archive)
        assert heads.shape == expected, f"heads_of: shape {heads.shape}, not [H, n] = {expected}"
        assert torch.isnan(targets[~torch.from_numpy(heads)]).all(), (
            "heads_of: a row has a target of a head that its answer should not have"
        )
        moved = archive.set_index(np.arange(len(archive)) + 100).assign(note="whatever")
        again = built.task.targets(moved, name)
        assert plain(again) == plain(targets), "targets: depend on more than the archive"


def check_score(space: SearchSpace, archive: pd.DataFrame, parameters: SearchParameters) -> None:
    """Check what is maximised: one number an architecture, and its gradient."""
    task, stream, selection = parameters.objective.task, generator(1), parameters.selection
    for members in (1, parameters.proxy.members):
        random = torch.randn(members, task.heads, 6, generator=stream).double().requires_grad_()
        for rows in (archive.iloc[: parameters.initial_samples], archive):
            score = task.score(rows, selection)
            result = pure("score", partial(_scores, task, selection, random), rows)
            assert result.shape == (6,), f"score: shape {tuple(result.shape)}, not [n]"
            assert torch.allclose(score(random[..., 2:4]), result[2:4]), (
                "score: of one architecture depends on the others"
            )
            assert torch.autograd.gradcheck(score, random, atol=1e-4, raise_exception=False), (
                "score: the gradient is not that of finite differences"
            )
            far = (40 * random.detach()).float().requires_grad_()
            (slope,) = torch.autograd.grad(score(far).sum(), far)
            assert torch.isfinite(score(far)).all(), "score: not finite far out"
            assert torch.isfinite(slope).all(), "score: gradient not finite far out"
    proxy = build_proxy(space, parameters.proxy, generator(2), task.heads)
    soft = space.relax(logits_of(space, 4, 0), 0.7, generator(3), "logistic")
    encoding = Encoding(soft.operations.detach().requires_grad_(), soft.edges.detach())
    value = task.score(archive, selection)(proxy.requires_grad_(False)(encoding))
    (slope,) = torch.autograd.grad(value.sum(), encoding.operations)
    assert torch.isfinite(value).all(), "score: not finite on relaxed encodings"
    assert torch.isfinite(slope).all(), "score: gradient not finite on relaxed encodings"
    assert (slope != 0).any(), "score: no gradient on relaxed encodings"


def _scores(
    task: ProxyTask, selection: SelectionSettings, predictions: Tensor, archive: pd.DataFrame
) -> Tensor:
    return task.score(archive, selection)(predictions).detach()


def check_selection(
    space: SearchSpace, archive: pd.DataFrame, parameters: SearchParameters
) -> None:
    """Check promotions and new trials: not charged yet, each once, within the allowance."""
    price = parameters.objective.price
    heads = parameters.objective.task.heads
    proxy = build_proxy(space, parameters.proxy, generator(2), heads).requires_grad_(False)
    paid = set(price.identities(space, archive, codes_of(space, archive)))
    archived = set(space.identify(codes_of(space, archive)))
    drawn = torch.unique(space.random(400, generator(4)), dim=0)
    new = [row for row, name in enumerate(space.identify(drawn)) if name not in archived]
    pool = Pool(drawn[new], torch.zeros(len(new), dtype=torch.int64), 0, 0, 1)
    for may_spend in {price.cheapest, price.step_cost(BATCH), 2 * price.full_cost}:

        def select(table: pd.DataFrame, may_spend: int = may_spend) -> pd.DataFrame:
            return select_queries(
                space, pool, lambda codes: proxy(space.encode(codes)), table, parameters,
                may_spend, int(archive["step"].max()) + 1, generator(5),
            )  # fmt: skip

        batch = pure("promotions", select, archive)
        assert len(batch) > 0, f"promotions: nothing for {may_spend} {price.unit}"
        spent = int(price.costs(batch).sum())
        assert spent <= may_spend, f"promotions: {spent} spent, {may_spend} allowed"
        chosen = price.identities(space, batch, codes_of(space, batch))
        assert len(set(chosen)) == len(chosen), "promotions: a query twice"
        assert not set(chosen) & paid, "promotions: a query that is paid for already"
        further = set(batch) - set(COLUMNS) - {f"code_{i}" for i in range(space.code_length)}
        assert further <= set(parameters.objective.columns), "predicted: a column not declared"
