"""Typed settings of the proxy, its fit, the gradient search and the selection.

The names are the paper's (Tables 5 and 6 of the appendix) where it has one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from optiproxy_nas.core.fields import INTEGER, SWITCH, scalar_kind

Direction = Literal["maximize", "minimize"]


class StrictModel(BaseModel):
    """Base of typed parameters: frozen; unknown names, NaN and infinities are refused.

    So is a text in the place of a number, ``True`` in that of 1, and 3.0 in that of 3, also in a
    list: most likely it was meant for another parameter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_no_texts(cls, value: Any, info: ValidationInfo) -> Any:
        is_list = isinstance(value, list | tuple)
        needed = _scalar_kind(cls, info.field_name or "", is_list)
        for item in (value if is_list else [value]) if needed else ():
            is_bool = isinstance(item, bool)
            is_number = isinstance(item, int if needed == INTEGER else int | float) and not is_bool
            fits = is_number if needed != SWITCH else is_bool
            if not fits and isinstance(item, str | bool | int | float):
                raise PydanticCustomError("scalar_type", "{kind} is needed", {"kind": needed})
        return value


class ExtendedModel(StrictModel):
    """Parameters to which ``later`` ones were added: these are dumped only where they are given.

    So the dumps of older runs and presets, and their digests, stay as they were, and a dump that is
    read over a preset that gives them has the same values again.
    """

    later: ClassVar[frozenset[str]]

    @model_serializer(mode="wrap")
    def _without_what_is_not_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        left_out = self.later - self.model_fields_set
        return {name: value for name, value in dump(self).items() if name not in left_out}


@lru_cache(maxsize=1024)  # asked of every value that is validated
def _scalar_kind(model: type[StrictModel], name: str, in_lists: bool) -> str:
    return scalar_kind(model.model_fields[name], in_lists)


MOST_WORKERS = 10_000


class WorkerSettings(StrictModel):
    """Short forms of settings in ``evaluation``, which are given beside it."""

    workers: int | None = Field(
        default=None,
        ge=1,
        le=MOST_WORKERS,
        description="of an asynchronous search: each that is free begins the next trial at once; "
        "null: steps, each of which waits for its batch (evaluation.workers)",
    )
    executor: str | None = Field(
        default=None,
        min_length=1,
        description="short for evaluation.executor: processes, dask, slurm, ...",
    )
    scheduler: str | None = Field(
        default=None, description="short for evaluation.scheduler: tcp://HOST:8786"
    )


class EvaluationSettings(StrictModel):
    """Where and how trials are trained. It decides no proposal, and is no part of a search."""

    executor: str = Field(
        default="serial",
        min_length=1,
        description="serial: in this process; processes: in worker processes; dask; slurm; or "
        "package.module:Class",
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="seconds a trial, its deadline; a worker process is ended then; null: none",
    )
    workers: int = Field(
        default=1, ge=1, le=MOST_WORKERS, description="trials that are trained at the same time"
    )
    asynchronous: bool = Field(
        default=False,
        description="a free worker gets the next proposal at once, and waits for no batch",
    )
    threads: int = Field(default=1, ge=1, description="torch threads of a worker process")
    device: str = Field(
        default="auto", min_length=1, description="cpu, cuda, ...; auto: cuda where there is one"
    )
    keep: Literal["all", "promotable"] | None = Field(
        default=None,
        description="of the folders of a problem's trials: promotable: those that can still be "
        "promoted, be the answer or be confirmed, of others the output; null: all where there are "
        "no rungs, else promotable",
    )
    scheduler: str | None = Field(
        default=None, description="address of a Dask scheduler; null: a cluster of this machine"
    )
    slurm: dict[str, Any] = Field(
        default_factory=dict,
        description="resources of a SLURM job, as submitit names them: partition, time, gpus, ...",
    )
    grace: float = Field(
        default=30.0, ge=0, description="seconds that running trials get after SIGTERM"
    )
    machine: str | None = Field(
        default=None, description="kind of machine that bounds on measured latency hold for"
    )

    @property
    def is_local(self) -> bool:
        """Whether trials are trained on the machine of the search."""
        cluster_of_its_own = self.executor == "dask" and self.scheduler is None
        return self.executor in ("serial", "processes") or cluster_of_its_own


class ProxySettings(StrictModel):
    """The proxy f̂_θ (Table 5)."""

    name: str = Field(description="registered proxy, or package.module:Class")
    hidden: int = Field(ge=1, description="neurons of a layer (gcn_hidden, linear_size)")
    layers: int = Field(ge=1, description="number of layers (gcn_layers)")
    members: int = Field(ge=1, description="independent proxies in the ensemble")
    activation: Literal["gelu", "relu", "silu", "tanh"] = Field(description="of hidden layers")


class FitSettings(ExtendedModel):
    """Fitting θ on the archive (Table 5; Eq. 4 and 5 of A.4)."""

    later = frozenset({"failed"})

    epochs: int = Field(ge=1, description="passes over the archive a step (model_epochs)")
    first_epochs: int = Field(ge=1, description="the same where the weights are fresh")
    batch_size: int = Field(ge=2, description="architectures of the archive in one update")
    batches_per_epoch: int | None = Field(
        ge=1, description="at most so many random batches an epoch; null: the whole archive"
    )
    lr: float = Field(gt=0, description="AdamW learning rate, at its highest in each step")
    lr_schedule: Literal["exponential", "cosine"] = Field(description="decay of lr in a step")
    lr_gamma: float = Field(gt=0, le=1, description="decay rate of the exponential schedule")
    lr_step: int = Field(ge=1, description="epochs between two of its decays")
    weight_decay: float = Field(ge=0, description="of AdamW")
    ranking_coefficient: float = Field(ge=0, description="λ of Eq. 4 (ranking_coe)")
    ranking_margin: float = Field(ge=0, description="m of Eq. 5, in target units")
    ranking_reduction: Literal["sum", "mean"] = Field(description="over the pairs of a batch")
    targets: str = Field(
        description="standardised, rank, log_regret or bounded_log_regret; archive values only"
    )
    bootstrap: bool = Field(description="members weigh the archive by Exponential(1) draws")
    warm_start: bool = Field(description="start from the weights of the step before")
    failed: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="quantile of the archive's targets that is believed of failed architectures; "
        "null: they are left out",
    )


class GradientSettings(ExtendedModel):
    """Gradient search over (α, β) (Algorithm 1, Table 6)."""

    later = frozenset({"lr_gamma", "lr_step", "lhs_beta_lower", "lhs_beta_range"})

    groups: int = Field(ge=1, description="K, groups of (α, β) (parallel_batch)")
    epochs: int = Field(ge=1, description="updates a step (search_epochs)")
    lr_alpha: float = Field(gt=0, description="η1, AdamW")
    lr_beta: float = Field(gt=0, description="η2, AdamW")
    lr_gamma: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="decay rate of η1 and η2 in a step, which begins with them anew; 1: none",
    )
    lr_step: int = Field(
        default=10,
        ge=1,
        description="epochs between two of these decays",
    )
    weight_decay: float = Field(ge=0, description="of AdamW")
    o_epochs: int = Field(ge=1, description="updates of α before it is β's turn")
    t_epochs: int = Field(ge=1, description="updates of β before it is α's turn")
    base_temperature: float = Field(gt=0, description="τ of the first epoch (base_temp)")
    min_temperature: float = Field(gt=0, description="τ of the last epoch (min_temp)")
    noise: Literal["logistic", "gumbel"] = Field(description="of Eq. 10")
    lhs_lower: float = Field(description="lower bound of the Latin hypercube of α")
    lhs_range: float = Field(gt=0, description="its width")
    lhs_beta_lower: float | None = Field(
        default=None, description="lower bound of that of β; null: it lies around 0"
    )
    lhs_beta_range: float | None = Field(
        default=None, gt=0, description="its width; null: lhs_range"
    )
    warm_start: bool = Field(description="start from the (α, β) of the step before")

    @model_validator(mode="after")
    def _temperatures_fall(self) -> GradientSettings:
        if self.min_temperature > self.base_temperature:
            raise ValueError(
                f"min_temperature ({self.min_temperature}) is above base_temperature "
                f"({self.base_temperature}); the temperature decays"
            )
        return self


class EvolutionSettings(StrictModel):
    """Evolution of architectures by the score; no query is spent on it."""

    population: int = Field(
        default=100, ge=2, description="architectures that survive a generation"
    )
    generations: int = Field(default=20, ge=1, description="of as many children each")
    tournament: int = Field(
        default=5, ge=1, description="a parent is the best of so many drawn; 1: any of them"
    )


class SelectionSettings(ExtendedModel):
    """Sampling Q candidates and selecting B of them (Algorithm 1 line 13, Algorithm 2 line 8)."""

    later = frozenset({"weight_noise", "uniform", "listed", "twin_noise"})

    batch: int = Field(ge=1, description="B, queries a step (num_sample)")
    samples: int = Field(ge=1, description="Q, candidates a step: Q/K from each group")
    exploration: float = Field(ge=0, le=1, description="ε, share of uniform choices in a draw")
    weight_noise: float = Field(
        default=0.0,
        ge=0,
        description="w of Cat ∝ softmax(α) + w·U, U ~ Uniform(0, 1) anew for each option of a draw",
    )
    local_moves: int = Field(ge=0, description="best architectures whose neighbours join Q")
    ascent_rounds: int = Field(
        default=0,
        ge=0,
        description="changes by which the best of Q climb the score; none where all are listed",
    )
    uniform: int = Field(default=0, ge=0, description="random architectures that join Q")
    listed: int = Field(
        default=0,
        ge=0,
        description="all architectures of a space that has no more are candidates; 0: of none",
    )
    use_proxy: bool = Field(description="off: B of the Q candidates are drawn at random (ablation)")
    acquisition: Literal["mean", "optimistic"] = Field(
        description="what a candidate is ranked by, over the ensemble"
    )
    optimism: float = Field(ge=0, description="κ of mean + κ · sd over the ensemble")
    skip_twins: bool = Field(
        description="skip architectures that compute the same function as a queried one"
    )
    twin_noise: float = Field(
        default=0.0,
        ge=0,
        description="how far apart training luck alone puts the values of two such architectures, "
        "in standard deviations of all values (learnt from the archive once it has two): skipped "
        "ones like the best are queried when nothing new promises more; 0: never",
    )
    pending: Literal["exclude", "thompson", "believer"] = Field(
        default="exclude",
        exclude_if=lambda value: value == "exclude",
        description="what trials without an answer do to the score, on several workers: nothing; "
        "each proposal follows one member of the ensemble; the proxy's prediction is believed",
    )
    max_draws: int = Field(ge=1, description="bounded retries before SamplingError")


def source_name(text: str) -> str:
    """Return a source as it is named everywhere: without blanks around a "+"."""
    return "+".join(part.strip() for part in text.split("+"))
