"""What an objective makes of an archive: what is good, what is learnt, what is chosen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.targets import TARGETS
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.testing.determinism import generator, logits_of, plain, pure


def check_goodness(archive: pd.DataFrame, built: Objective) -> None:
    """Fitness, eligible, best and incumbent, by brute force; also where nothing is eligible."""
    fitness = pure("fitness", built.fitness, archive)
    eligible = pure("eligible", built.eligible, archive)
    assert fitness.shape == eligible.shape == (len(archive),), "fitness, eligible: not one a row"
    assert eligible.dtype == np.bool_, f"eligible: {eligible.dtype}, not bool"
    assert not np.isnan(fitness).any(), "fitness: NaN"
    value = archive["value"].to_numpy()
    if eligible.any() and not eligible.all():
        assert fitness[eligible].min() > fitness[~eligible].max(), (
            "fitness: a row that is not eligible is as good as one that is"
        )
    order = np.lexsort((value[eligible], fitness[eligible]))
    assert (np.diff(value[eligible][order]) >= 0).all(), "fitness: not in the order of the values"
    parts = {
        "all rows": archive,
        "every other row": archive.iloc[1::2],
        "what is eligible": archive[eligible],
        "what is not": archive[~eligible],
    }
    for name, part in parts.items():
        table = part.reset_index(drop=True)
        if not len(table):
            continue
        good, values = built.eligible(table), table["value"].to_numpy()
        assert (good == eligible[part.index]).all(), "eligible: depends on the rest of the table"
        assert (built.fitness(table) == fitness[part.index]).all(), (
            "fitness: depends on the rest of the table"
        )
        best = pure("best", built.best, table)
        expected = np.array(
            [max(values[: row + 1][good[: row + 1]], default=np.nan) for row in range(len(table))]
        )
        assert np.array_equal(best, expected, equal_nan=True), (
            f"best: not the best eligible value so far ({name})"
        )
        for count in range(1, len(table) + 1):
            row = built.incumbent(table.iloc[:count])
            first = int(np.argmax(built.fitness(table.iloc[:count])))
            assert row == first, f"incumbent: row {row}, the fittest is {first}"
            if good[:count].any():
                assert values[row] == expected[count - 1], "incumbent, best: do not agree"
                assert good[row], "incumbent: not eligible, though another is"


def check_targets(archive: pd.DataFrame, built: Objective) -> None:
    """What the proxy learns: of the archive's rows alone."""
    for name in TARGETS:
        targets = pure("targets", partial(built.targets, name=name), archive)
        shape, expected = tuple(targets.shape), (built.heads, len(archive))
        assert shape == expected, f"targets: shape {shape}, not [H, n] = {expected}"
        assert targets.dtype == torch.float32, f"targets: {targets.dtype}, not float32"
        assert not torch.isinf(targets).any(), "targets: infinite"
        assert not torch.isnan(targets).all(), "targets: nothing observed"
        moved = archive.set_index(np.arange(len(archive)) + 100).assign(note="whatever")
        told = built.targets(moved, name)
        assert plain(told) == plain(targets), "targets: depend on more than the archive"


def check_score(
    space: SearchSpace, archive: pd.DataFrame, built: Objective, parameters: SearchParameters
) -> None:
    """What is maximised: one number an architecture, and its gradient."""
    stream = generator(1)
    for members in (1, parameters.proxy.members):
        random = torch.randn(members, built.heads, 6, generator=stream).double().requires_grad_()
        for known in (archive.iloc[: parameters.initial_samples], archive):
            score = built.score(known, parameters)
            result = pure("score", partial(_scores, built, parameters, random), known)
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
    proxy = build_proxy(space, parameters.proxy, generator(2), built.heads)
    soft = space.relax(logits_of(space, 4, 0), 0.7, generator(3), "logistic")
    encoding = Encoding(soft.operations.detach().requires_grad_(), soft.edges.detach())
    value = built.score(archive, parameters)(proxy.requires_grad_(False)(encoding))
    (slope,) = torch.autograd.grad(value.sum(), encoding.operations)
    assert torch.isfinite(value).all(), "score: not finite on relaxed encodings"
    assert torch.isfinite(slope).all(), "score: gradient not finite on relaxed encodings"
    assert (slope != 0).any(), "score: no gradient on relaxed encodings"


def _scores(
    built: Objective, parameters: SearchParameters, predictions: Tensor, archive: pd.DataFrame
) -> Tensor:
    return built.score(archive, parameters)(predictions).detach()


def check_select(
    space: SearchSpace, archive: pd.DataFrame, built: Objective, parameters: SearchParameters
) -> None:
    """What a step queries: new, each once, within its allowance."""
    proxy = build_proxy(space, parameters.proxy, generator(2), built.heads).requires_grad_(False)
    step = int(archive["step"].max()) + 1
    paid = set(built.identities(space, archive, codes_of(space, archive)))
    known = set(space.identify(codes_of(space, archive)))
    drawn = torch.unique(space.random(400, generator(4)), dim=0)
    new = [row for row, name in enumerate(space.identify(drawn)) if name not in known]
    pool = Pool(drawn[new], torch.zeros(len(new), dtype=torch.int64), 0, 0, 1)
    for may_spend in {
        built.initial_cost(1),
        built.step_cost(parameters.selection.batch),
        2 * built.price,
    }:

        def select(table: pd.DataFrame, may_spend: int = may_spend) -> pd.DataFrame:
            return built.select(
                space,
                pool,
                lambda codes: proxy(space.encode(codes)),
                table,
                parameters,
                may_spend,
                step,
                generator(5),
            )

        batch = pure("select", select, archive)
        assert len(batch) > 0, f"select: nothing for {may_spend} {built.unit}"
        spent = int(built.costs(batch).sum())
        assert spent <= may_spend, f"select: {spent} {built.unit} spent, {may_spend} allowed"
        chosen = built.identities(space, batch, codes_of(space, batch))
        assert len(set(chosen)) == len(chosen), "select: a query twice"
        assert not set(chosen) & paid, "select: a query that is paid for already"
        assert (batch["step"] == step).all(), "select: another step"
        assert space.to_string(codes_of(space, batch)) == batch["architecture"].tolist(), (
            "select: codes and strings disagree"
        )
        assert "value" not in batch, "select: tells values"
        assert torch.equal(pool.codes, drawn[new]), "select: changes the pool"
