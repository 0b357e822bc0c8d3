"""Bayesian optimisation by a Gaussian process with a categorical kernel, BoTorch's."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from optiproxy_nas.algorithm.listing import list_architectures, may_list
from optiproxy_nas.methods.base import MethodSettings, Proposals, missing_extra
from optiproxy_nas.methods.memory import MemoryMethod
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.spaces.base import SearchSpace

try:
    from botorch.acquisition.analytic import LogExpectedImprovement
    from botorch.exceptions.warnings import OptimizationWarning
    from botorch.models import SingleTaskGP
    from botorch.models.kernels import CategoricalKernel
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch.kernels import ScaleKernel
    from gpytorch.mlls import ExactMarginalLogLikelihood
except ImportError as error:
    raise missing_extra("gaussian_process", error) from error


class GaussianProcessSettings(MethodSettings):
    """Settings of :class:`GaussianProcess`."""

    initial_samples: int = Field(default=10, ge=2, description="random")
    batch: int = Field(default=2, ge=1, description="queries a round: the best of the pool")
    targets: Literal["standardised", "rank", "log_regret"] = Field(
        default="rank", description="of the values, as of proxies.targets"
    )
    length_scales: Literal["one", "each"] = Field(
        default="one", description="for all code positions, or one for each"
    )
    refit: float = Field(
        default=1.2, ge=1, description="hyper-parameters are refitted as the queries grow by this"
    )
    iterations: int = Field(default=30, ge=1, description="of L-BFGS, at most")
    parents: int = Field(default=10, ge=0, description="best ones whose neighbours are candidates")
    random: int = Field(default=200, ge=0, description="random candidates a round")
    listed: int = Field(
        default=0,
        ge=0,
        description="all architectures of a space that has no more are candidates; 0: of none",
    )


class GaussianProcess(MemoryMethod[GaussianProcessSettings]):
    """Expected improvement over the neighbours of the best architectures and random ones.

    With ``listed``, over all architectures of a space that is small enough.

    The kernel exp(-h / (L·l)) falls with the Hamming distance h of two codes [L]. Hyper-parameters
    maximise the marginal likelihood; they are fitted again each time the queries have grown by a
    fifth, which depends on the queries alone, and in between only the posterior follows the data.

    Chosen on seeds 1000-1007 (NAS-Bench-201, v1.0 tables, up to 192 queries): normal scores of the
    ranks rather than standardised log regret (a little ahead up to 100 queries, level after), one
    length scale rather than one a position (which has six to fit on few queries).
    """

    Settings = GaussianProcessSettings
    libraries: ClassVar[tuple[str, ...]] = ("botorch", "gpytorch", "linear-operator")
    reference: ClassVar[str] = (
        "Snoek, Larochelle & Adams 2012, Practical Bayesian optimization of machine learning "
        "algorithms; botorch SingleTaskGP, CategoricalKernel, LogExpectedImprovement"
    )

    def __init__(
        self, space: SearchSpace, settings: GaussianProcessSettings, budget: int, seed: int
    ) -> None:
        super().__init__(space, settings, budget, seed)
        self._hyper: dict[str, Any] | None = None  # state of the last fitted model
        self._fitted = 0  # queries it was fitted on

    def propose(self, pending: int) -> Proposals:
        """Return the initial sample, then the batch of each round."""
        settings, answered = self._settings, len(self._memory)
        missing = settings.initial_samples - answered - pending
        if missing > 0 or answered < 2:
            return Proposals(self._memory.random(max(missing, 1)))
        if may_list(self._space, settings.listed):
            candidates = list_architectures(self._space, functions=False).codes
        else:
            near = self._space.neighbours(self._memory.best(settings.parents))
            far = self._memory.random(max(settings.random, settings.batch))
            candidates = torch.cat([near, far])
        pool = self._memory.unseen(candidates)
        model, best = self._model()
        with torch.no_grad():
            score = LogExpectedImprovement(model, best_f=best)(pool.double().unsqueeze(1))
        return Proposals(pool[score.argsort(descending=True, stable=True)[: settings.batch]])

    def _model(self) -> tuple[SingleTaskGP, Tensor]:
        """Return the posterior given all answers, and the best target."""
        codes = self._memory.codes.double()
        targets = make_targets(self._memory.values, self._settings.targets).double().unsqueeze(-1)
        scales = codes.shape[1] if self._settings.length_scales == "each" else None
        kernel = ScaleKernel(CategoricalKernel(ard_num_dims=scales)).double()
        model = SingleTaskGP(codes, targets, covar_module=kernel, outcome_transform=None)
        if self._hyper is not None:
            model.load_state_dict(self._hyper)
        if len(codes) >= self._settings.refit * self._fitted:
            self._fit(model)
            self._hyper, self._fitted = model.state_dict(), len(codes)
        return model.eval(), targets.max()

    def _fit(self, model: SingleTaskGP) -> None:
        """Maximise the marginal likelihood from the model's present hyper-parameters.

        Not through ``fit_gpytorch_mll``, which starts anew from the global random generator where
        L-BFGS stops early.
        """
        likelihood = ExactMarginalLogLikelihood(model.likelihood, model.train())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizationWarning)  # stopped at ``iterations``
            fit_gpytorch_mll_scipy(likelihood, options={"maxiter": self._settings.iterations})
