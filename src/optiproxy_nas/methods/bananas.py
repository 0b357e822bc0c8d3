"""BANANAS: Thompson sampling over an ensemble of neural predictors on the path encoding."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from optiproxy_nas.core.adam import AdamW
from optiproxy_nas.core.random_streams import numpy_generator, torch_generator
from optiproxy_nas.methods.base import MethodSettings, Proposals
from optiproxy_nas.methods.memory import MemoryMethod
from optiproxy_nas.proxies.base import EnsembleLinear
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.encodings import path_indicators, path_lengths


class BananasSettings(MethodSettings):
    """Settings of :class:`Bananas`."""

    initial_samples: int = Field(default=10, ge=2, description="random")
    batch: int = Field(default=10, ge=1, description="k, queries a round")
    members: int = Field(default=5, ge=1, description="M, networks in the ensemble")
    hidden: int = Field(default=64, ge=1, description="neurons of a layer")
    layers: int = Field(default=3, ge=1, description="hidden layers")
    epochs: int = Field(default=100, ge=1, description="passes over the queries a round")
    minibatch: int | None = Field(
        default=None, ge=1, description="queries in one Adam update; null: all of them"
    )
    lr: float = Field(default=0.01, gt=0, description="learning rate of Adam")
    margin: float = Field(default=0.1, gt=0, description="of the loss's lower bound y_LB")
    parents: int = Field(default=10, ge=1, description="best architectures that are mutated")
    longest: int | None = Field(default=None, ge=1, description="truncation of the path encoding")


class Bananas(MemoryMethod[BananasSettings]):
    """An ensemble a round, fitted anew on all queries; candidates are neighbours of the best.

    A space without a graph has no paths: its ``features`` take their place.

    Loss: the paper's relative error |(f̂ - y_LB) / (y - y_LB) - 1| of the validation error y. Its
    y_LB is a lower bound on the error known beforehand; ours comes from the queries alone, the
    lowest error minus ``margin`` times its distance to the median.

    The paper's networks have 10 layers of 20 neurons and see mini-batches of 32 for 150 epochs
    (``layers=10, hidden=20, minibatch=32, epochs=150``); ours have 3 layers of 64 and see all
    queries at once, all members in one batched product, which is much quicker.

    On NAS-Bench-201 (CIFAR-10) some seeds stay in a region of cells near 91.1 or 90.9 %. On seeds
    1003-1008, neither 150 epochs nor a smaller step, nor 40 parents, nor 100 or 300 random
    candidates led out of it, so the defaults are the simplest.
    """

    Settings = BananasSettings
    reference: ClassVar[str] = (
        "White, Neiswanger & Savani 2021, BANANAS: Bayesian optimization with neural "
        "architectures for neural architecture search"
    )

    def __init__(
        self, space: SearchSpace, settings: BananasSettings, budget: int, seed: int
    ) -> None:
        super().__init__(space, settings, budget, seed)
        self._lengths: tuple[int, ...] | None = None
        if space.num_vertices:
            self._lengths = path_lengths(space, settings.longest)  # refused before any query
        self._seed = seed
        self._random = numpy_generator(seed, 0, "bananas")
        self._features = torch.empty(0)
        self._round = 0

    def propose(self, pending: int) -> Proposals:
        """Return the initial sample, then the batch of each round."""
        settings, answered = self._settings, len(self._memory)
        missing = settings.initial_samples - answered - pending
        if missing > 0 or answered < 2:
            return Proposals(self._memory.random(max(missing, 1)))
        self._round += 1
        pool = self._memory.unseen(self._space.neighbours(self._memory.best(settings.parents)))
        if len(pool) < settings.batch:
            extra = self._memory.unseen(self._memory.random(settings.batch))
            pool = self._memory.unseen(torch.cat([pool, extra]))
        predictions = self._fit(self._encode(pool)).numpy().astype(np.float64)
        mean, deviation = predictions.mean(0), predictions.std(0)
        draws = self._random.normal(mean, deviation)  # independent Thompson sampling
        best = np.argsort(draws, kind="stable")[: settings.batch]
        return Proposals(pool[torch.from_numpy(best.copy())])

    def _encode(self, codes: Tensor) -> Tensor:
        encoding = self._space.encode(codes)
        if self._lengths is None:
            return self._space.features(encoding)
        return path_indicators(self._space.graph(encoding), self._lengths)

    def _fit(self, candidates: Tensor) -> Tensor:
        """Return relative errors [M, n] that fresh networks predict of candidates [n, P]."""
        settings, values = self._settings, self._memory.values
        best, scale = values.max(), values.max() - np.median(values)
        gap = best - values + settings.margin * (scale if scale > 0 else 1.0)  # y - y_LB
        targets = torch.from_numpy(gap / np.median(gap)).float()
        generator = torch_generator(self._seed, self._round, "bananas-weights")
        inputs = self._encode(self._memory.codes).expand(settings.members, -1, -1)
        widths = [inputs.shape[-1]] + [settings.hidden] * settings.layers + [1]
        layers = [EnsembleLinear(settings.members, a, b, generator) for a, b in pairwise(widths)]
        network = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
        parameters = list(network.parameters())
        optimizer = AdamW(parameters, settings.lr)
        size = settings.minibatch or len(targets)
        for _ in range(settings.epochs):
            shuffled = torch.arange(len(targets))
            if size < len(targets):
                shuffled = torch.randperm(len(targets), generator=generator)
            for rows in torch.split(shuffled, size):
                wrong = (network(inputs[:, rows])[..., 0] - targets[rows]).abs() / targets[rows]
                optimizer.step(torch.autograd.grad(wrong.mean(1).sum(), parameters))
        with torch.no_grad():
            predictions: Tensor = network(candidates.expand(settings.members, -1, -1))
        return predictions[..., 0]
