"""Earlier runs as the mean function of a proxy: f̂(x) = Σ_j w_j m_j(x) + g(x) (ours).

m_j is the posterior mean of a Gaussian process on the archive of earlier run j, and never changes
during a search. g is the proxy that the settings name, fitted on what the weighted means leave of
the targets. So earlier runs guide every proxy, in the gradient search as in lists and climbs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import SamplesFunctions
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy, fitted_rows
from optiproxy_nas.proxies.process_means import ProcessMeans, process_means
from optiproxy_nas.spaces.base import Encoding, SearchSpace

UNKNOWN = -1  # in a code: the earlier space has no such choice, or not this option
LARGEST = 100  # rows of a run that its process is fitted on: ten runs cost what a search's own do
WEIGHTS = "prior/weights"  # w [J, H], among the weights θ* of a step
# Of all rows R: codes [R, L], runs [R], targets [H, R]; of runs: hyper-parameters [J, H, B + 1],
# and which of them [J] are scores without a training.
_STATE = ("prior/codes", "prior/runs", "prior/targets", "prior/hyper", "prior/scores")
_GAUSSIAN = ProxySettings(name="gaussian_process", hidden=1, layers=1, members=2, activation="tanh")


class EarlierTrials(NamedTuple):
    """Complete trials of an earlier run, on the space of this search."""

    codes: Tensor  # [n, L] int64; ``UNKNOWN`` where the run says nothing of a choice
    targets: Tensor  # [H, n] of the run's values, in standard deviations; NaN: not observed


class PriorMeans:
    """The posterior means m_j of J earlier runs.

    :func:`prior_means` returns one for equal tensors, so that what is computed from it can be
    cached.

    Args:
        space: the search space.
        state: tensors of :func:`fit_prior`.
    """

    def __init__(self, space: SearchSpace, state: Tensors) -> None:
        self._space = space
        self.state = {name: state[name] for name in _STATE}
        codes, self._runs, targets, hyper, self.scores = self.state.values()
        self.count = len(hyper)  # J
        processes = []
        for run, of_run in enumerate(hyper):
            rows, process = self._runs == run, _RunProcess(space, len(targets))
            process.take(codes[rows], targets[:, rows], of_run)
            processes.append(process)
        self._process = processes[0]
        self._means = process_means(processes)

    def of(self, encoding: Encoding) -> Tensor:
        """Return m_j of n encodings: [J, H, n], differentiable."""
        return self._means.of(self.features(encoding)).view(self.count, -1, len(encoding[0]))

    def features(self, encoding: Encoding) -> Tensor:
        """Return the features that the means are of: [n, D]."""
        return self._process.features(encoding)

    def weighted(self, weights: Tensor) -> ProcessMeans:
        """Return Σ_j w_j m_j of weights [J, H], for each head, as a function of the features."""
        count, heads = weights.shape
        by_mean = weights.T.unsqueeze(-1) * torch.eye(heads).unsqueeze(1)  # [H, J, H]
        return self._means.weighted(by_mean.reshape(heads, count * heads).numpy())

    def best_codes(self, each: int = 10) -> Tensor:
        """Return the architectures of the best trials of each run that are of the space: [b, L].

        By the means, on head 0.
        """
        codes, found = self.state["prior/codes"], list[int]()
        with torch.no_grad():
            means = self.of(encode_partly(self._space, codes))[:, 0]  # [J, R]
        for run in range(self.count):
            whole = ((self._runs == run) & (codes != UNKNOWN).all(1)).nonzero().flatten()
            ranked = whole[torch.argsort(means[run, whole], descending=True)].tolist()
            found += islice((row for row in ranked if _is_of(self._space, codes[row])), each)
        return codes[found]


class WithPrior(nn.Module):
    """The proxy Σ_j w_j m_j + g.

    Args:
        proxy: g, fitted to the residuals.
        means: m.
        weights: w [J, H] >= 0.
    """

    def __init__(self, proxy: nn.Module, means: PriorMeans, weights: Tensor) -> None:
        super().__init__()
        self.proxy = proxy
        self.means = means
        self.weights = weights.float()
        self._guide = means.weighted(self.weights)

    def forward(self, encoding: Encoding) -> Tensor:
        """Return predictions [E, H, n]."""
        if type(self.proxy) is GaussianProcessProxy:  # g is of the same features
            return self.proxy.predict(self.proxy.features(encoding), self._guide)
        predictions: Tensor = self.proxy(encoding)
        return predictions + self._guide.of(self.means.features(encoding))

    def mean(self, means: Tensor) -> Tensor:
        """Return Σ_j w_j m_j [H, n] of m [J, H, n]."""
        return torch.einsum("jh,jhn->hn", self.weights, means)


class WithPriorAndDraws(WithPrior):
    """The same of a proxy g that has a posterior over functions."""

    def sample_functions(
        self, encoding: Encoding, draws: int, generator: torch.Generator
    ) -> Tensor:
        """Return joint draws of the predictions of n architectures: [draws, H, n]."""
        assert isinstance(self.proxy, SamplesFunctions)
        drawn = self.proxy.sample_functions(encoding, draws, generator)
        with torch.no_grad():
            return drawn + self._guide.of(self.means.features(encoding))


def fit_prior(
    space: SearchSpace, runs: Sequence[EarlierTrials], scores: Sequence[bool] = ()
) -> Tensors:
    """Fit a Gaussian process to each earlier run: return the tensors of ``PriorMeans``.

    Of a run with more trials than ``LARGEST``, it is fitted on the best half of that and the last
    of the others.

    Args:
        space: the search space.
        runs: the earlier runs.
        scores: which of them are scores of random architectures, without a training; default none.
    """
    codes, owner, targets, hyper = [], [], [], []
    for run, trials in enumerate(runs):
        rows = fitted_rows(trials.targets, LARGEST)
        process = _RunProcess(space, len(trials.targets))
        process.fit(trials.codes[rows], trials.targets[:, rows])
        codes.append(process.codes)
        owner.append(torch.full((len(process.codes),), run))
        targets.append(process.targets)
        hyper.append(process.hyper)
    are_scores = torch.tensor([*scores] or [False] * len(runs))
    of_rows = torch.cat(codes), torch.cat(owner), torch.cat(targets, 1)
    return dict(zip(_STATE, (*of_rows, torch.stack(hyper), are_scores), strict=True))


class _RunProcess(GaussianProcessProxy):
    """The Gaussian process of an earlier run, of which some choices may be unknown."""

    def __init__(self, space: SearchSpace, heads: int) -> None:
        super().__init__(space, _GAUSSIAN, torch.Generator(), heads)

    def _encode(self, codes: Tensor) -> Encoding:
        return encode_partly(self.space, codes)


def _is_of(space: SearchSpace, code: Tensor) -> bool:
    """Return whether a code [L] is of a space; a constraint may reject earlier architectures."""
    try:
        space.from_string(space.to_string(code.unsqueeze(0)))
    except InvalidArchitectureError:
        return False
    return True


def encode_partly(space: SearchSpace, codes: Tensor) -> Encoding:
    """Return the encodings of codes [n, L], of an unknown choice all options alike."""
    unknown = codes == UNKNOWN
    if not bool(unknown.any()):
        return space.encode(codes)
    first = space.allowed.int().argmax(1)  # [N]; such codes have one number for each choice
    encoding = space.encode(torch.where(unknown, first, codes))
    alike = space.allowed / space.allowed.sum(1, keepdim=True)  # [N, M]
    operations = torch.where(unknown.unsqueeze(-1), alike, encoding.operations)
    return Encoding(operations, encoding.edges)


def without_prior(weights: Tensors) -> Tensors:
    """Return the weights θ* of the proxy itself."""
    return {name: value for name, value in weights.items() if not name.startswith("prior/")}


def with_prior(space: SearchSpace, proxy: nn.Module, weights: Tensors) -> nn.Module:
    """Return a proxy, with the earlier runs where its weights θ* have any."""
    if WEIGHTS not in weights:
        return proxy
    kind = WithPriorAndDraws if isinstance(proxy, SamplesFunctions) else WithPrior
    return kind(proxy, prior_means(space, weights), weights[WEIGHTS])


def prior_means(space: SearchSpace, state: Mapping[str, Tensor]) -> PriorMeans:
    """Return the means of these tensors; one object for equal ones."""
    return _cached_means(space, _ByValue({name: state[name] for name in _STATE}))


class _ByValue:
    """Tensors that are equal if their values are."""

    def __init__(self, state: Tensors) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByValue) and all(
            it is value or torch.equal(it, value)
            for it, value in zip(self.state.values(), other.state.values(), strict=True)
        )

    def __hash__(self) -> int:
        return hash(self.state["prior/hyper"].numpy().tobytes())


@lru_cache(maxsize=4)
def _cached_means(space: SearchSpace, state: _ByValue) -> PriorMeans:
    return PriorMeans(space, state.state)
