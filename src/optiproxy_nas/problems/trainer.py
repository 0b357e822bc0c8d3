"""A plain trainer of small networks, to start from: copy it, or replace it by a library.

One network, one device, one loss: :func:`fit` seeds, builds, trains with a schedule, scores after
each epoch, keeps the best weights, stops early, writes a checkpoint and goes on from it. Several
devices, mixed precision, logging and callbacks are what Lightning is for.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from optiproxy_nas.core.errors import DataError, ParameterError, one_line, unknown_name

SCHEDULES = ("constant", "cosine", "warmup_cosine")
OPTIMIZERS = ("adamw", "sgd")
# What torch raises of a file that is no checkpoint, is cut off, or is of another network.
_UNREADABLE: tuple[type[Exception], ...] = (OSError, pickle.UnpicklingError, RuntimeError, EOFError)
_UNREADABLE += (LookupError, TypeError, ValueError, AttributeError)


class Loader(Protocol):
    """Batches of (inputs, targets), iterated once an epoch: :class:`Batches`, a ``DataLoader``."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Batches:
    """Batches of data that fit into memory, many times faster than a ``DataLoader``.

    Args:
        inputs: [n, ...].
        targets: [n, ...].
        size: of a batch, the last one may be smaller.
        shuffle: in another order each time, drawn from torch's global generator.
    """

    inputs: Tensor
    targets: Tensor
    size: int = 100
    shuffle: bool = False

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.inputs)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        for rows in torch.split(order.to(self.inputs.device), self.size):
            yield self.inputs[rows], self.targets[rows]

    def __len__(self) -> int:
        return math.ceil(len(self.inputs) / self.size)


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Args:
        epochs: at most.
        rate: the highest learning rate.
        schedule: of the rate, changed after each batch: "constant", "cosine" (down to 0), or
            "warmup_cosine", which rises from 0 in the first quarter.
        optimizer: "adamw" or "sgd" (with Nesterov momentum 0.9).
        weight_decay: of the optimizer.
        clip: norm to which gradients are clipped; None: they are not.
        patience: number of epochs without a better score that end the training; None: never.
        horizon: number of epochs over which the schedule goes, where these are the first ones of
            a longer training (``trial.full_epochs``); None: ``epochs``.

    Raises:
        ParameterError: the horizon is nearer than the last epoch.
        UnknownNameError: there is no such schedule or optimizer.
    """

    epochs: int = 20
    rate: float = 1e-2
    schedule: str = "cosine"
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    clip: float | None = 1.0
    patience: int | None = None
    horizon: int | None = None

    def __post_init__(self) -> None:
        for kind, allowed in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            if (name := getattr(self, kind)) not in allowed:
                raise unknown_name(kind, name, allowed)
        if self.horizon is not None and self.horizon < self.epochs:
            raise ParameterError(f"horizon = {self.horizon} is below epochs = {self.epochs}.")

    def rate_at(self, progress: float) -> float:
        """Return the learning rate after a share (0 to 1) of the whole training."""
        if self.schedule == "constant":
            return self.rate
        rise = 0.25 if self.schedule == "warmup_cosine" else 0.0
        if progress < rise:
            return self.rate * progress / rise
        return self.rate * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2

    def optimizer_of(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return a new optimizer of the network's parameters."""
        settings: dict[str, Any] = {"lr": self.rate, "weight_decay": self.weight_decay}
        if self.optimizer == "adamw":
            return torch.optim.AdamW(model.parameters(), **settings)
        return torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True, **settings)


@dataclass
class Fitted:
    """A trained network: ``model`` has the weights of ``best_epoch``, scored ``score``.

    ``stopped`` says why it ended: "epochs", "patience", "report" or "deadline".
    """

    model: nn.Module
    score: float
    best_epoch: int
    epochs: int
    stopped: str


def accuracy(model: nn.Module, data: Loader, device: str = "cpu") -> float:
    """Return the share of inputs whose largest output is that of their class, in percent."""
    model.eval()
    right = total = 0
    with torch.inference_mode():
        for inputs, targets in data:
            chosen = model(inputs.to(device)).argmax(dim=1)
            right += int((chosen == targets.to(device)).sum())
            total += len(targets)
    return 100 * right / total


def fit(
    build: Callable[[], nn.Module],
    train: Loader,
    validation: Loader,
    training: Training,
    *,
    seed: int = 0,
    device: str = "cpu",
    folder: Path | None = None,
    deadline: float | None = None,
    report: Callable[[int, float], Any] = lambda epoch, score: None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    score: Callable[[nn.Module, Loader, str], float] = accuracy,
) -> Fitted:
    """Build a network and train it; the weights of its best epoch are kept.

    Equal arguments give equal weights on one machine, interrupted or not: each epoch begins with
    a seed of its own. So do 4 epochs and then, from their checkpoint, 12 with ``horizon=12`` in
    both. torch's global generators are as before at the end.

    Args:
        build: makes the network, with initial weights from torch's global generator.
        train: the batches of an epoch, in an order from torch's global generator.
        validation: what ``score`` is taken of after each epoch.
        training: epochs, rate, schedule, ...
        seed: of initial weights, order and dropout.
        device: where it is trained.
        folder: where ``checkpoint.pt`` is written after each epoch, and read from at the start.
        deadline: ``time.time()`` after which no further epoch is begun.
        report: called with each epoch (from 1) and its score, those of the checkpoint too; True
            ends the training.
        loss: of (outputs, targets), to minimize.
        score: of (model, validation, device), to maximize.

    Raises:
        DataError: the checkpoint is damaged, or of another network.
        FloatingPointError: the loss is not finite.
    """
    checkpoint = folder / "checkpoint.pt" if folder is not None else None
    with torch.random.fork_rng([] if device == "cpu" else None):
        torch.manual_seed(seed)
        model = build().to(device)
        optimizer = training.optimizer_of(model)
        scores: list[float] = []
        weights = _copy(model)
        is_told_to_stop = False
        if checkpoint is not None and checkpoint.exists():
            with _loading(checkpoint, device) as saved:
                model.load_state_dict(saved["model"])
                optimizer.load_state_dict(saved["optimizer"])
                scores, weights = list(saved["scores"]), dict(saved["weights"])
            for epoch, reached in enumerate(scores, 1):
                is_told_to_stop = report(epoch, reached) is True
        while not (stopped := _reason(training, scores, is_told_to_stop, deadline)):
            torch.manual_seed(seed + 1_000_003 * (len(scores) + 1))
            _train_epoch(model, optimizer, train, training, len(scores), device, loss)
            scores.append(score(model, validation, device))
            if _best_epoch(scores) == len(scores):
                weights = _copy(model)
            if checkpoint is not None:
                state = {"scores": scores, "weights": weights}
                state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                _save(state, checkpoint)
            is_told_to_stop = report(len(scores), scores[-1]) is True
    model.load_state_dict(weights)
    best_epoch = _best_epoch(scores)
    return Fitted(model, scores[best_epoch - 1], best_epoch, len(scores), stopped)


def load_best(model: nn.Module, folder: Path, device: str = "cpu") -> nn.Module:
    """Give a network the best weights of the checkpoint in a folder.

    Raises:
        DataError: there is none, it is damaged, or it is of another network.
    """
    with _loading(folder / "checkpoint.pt", device) as saved:
        model.load_state_dict(saved["weights"])
    return model.to(device)


@contextmanager
def _loading(path: Path, device: str) -> Iterator[dict[str, Any]]:
    """Give what a checkpoint holds; what goes wrong with it is said in one message.

    Raises:
        DataError: there is none, it is damaged, or it is of another network.
    """
    try:
        yield torch.load(path, map_location=device, weights_only=True)
    except _UNREADABLE as error:
        reason = one_line(error)
        if isinstance(error, pickle.UnpicklingError):  # whose text advises to trust the file
            reason = "it is no checkpoint of weights alone"
        said = f"The checkpoint {str(path)!r} cannot be loaded: {reason}. Was it damaged, remove "
        said += "it: the training then begins anew. Is it of another network, the code has changed."
        if isinstance(error, FileNotFoundError):
            said = f"There is no checkpoint {str(path)!r}. A problem that keeps its weights "
            said += "otherwise than fit does has its own method trained(trial), which reads them."
        raise DataError(said, path=str(path)) from error


def _best_epoch(scores: list[float]) -> int:
    """Return the epoch, from 1, that first reached the best score."""
    return 1 + scores.index(max(scores))


def _reason(
    training: Training, scores: list[float], is_told_to_stop: bool, deadline: float | None
) -> str:
    """Return why no further epoch is begun, "" if one is. One always is."""
    if not scores:
        return ""
    if len(scores) >= training.epochs:
        return "epochs"
    if training.patience is not None and len(scores) - _best_epoch(scores) >= training.patience:
        return "patience"
    if is_told_to_stop:
        return "report"
    return "deadline" if deadline is not None and time.time() > deadline else ""


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Loader,
    training: Training,
    done: int,
    device: str,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    model.train()
    for batch, (inputs, targets) in enumerate(train):
        progress = (done + batch / len(train)) / (training.horizon or training.epochs)
        for group in optimizer.param_groups:
            group["lr"] = training.rate_at(progress)
        value = loss(model(inputs.to(device)), targets.to(device))
        if not torch.isfinite(value):
            raise FloatingPointError(f"The loss is {value.item()} in epoch {done + 1}.")
        optimizer.zero_grad()
        torch.autograd.backward(value)
        if training.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimizer.step()


def _save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    with open(path.with_suffix(".part"), "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
