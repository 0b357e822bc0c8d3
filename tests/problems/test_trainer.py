"""The trainer: equal seeds give equal weights, interrupted or not; schedules, stops, deadlines."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from optiproxy_nas.core.errors import DataError, ParameterError, UnknownNameError
from optiproxy_nas.problems.trainer import Batches, Fitted, Training, accuracy, fit, load_best

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(60, 4, generator=GENERATOR)
TARGETS = (INPUTS[:, 0] > 0).long()
TRAIN = Batches(INPUTS, TARGETS, size=16, shuffle=True)
VALIDATION = Batches(INPUTS, TARGETS, size=25)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


def test_equal_seeds_give_equal_weights_and_touch_no_global_generator() -> None:
    state = torch.get_rng_state()
    first, second, third = (
        fit(network, TRAIN, VALIDATION, Training(epochs=2), seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(weights(first.model), weights(second.model))
    assert not torch.equal(weights(first.model), weights(third.model))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_training_that_was_killed_ends_as_one_that_was_not(
    optimizer: str, tmp_path: Path
) -> None:
    training = Training(epochs=5, optimizer=optimizer, schedule="warmup_cosine")

    def kill(epoch: int, score: float) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    whole = fit(network, TRAIN, VALIDATION, training)
    with pytest.raises(KeyboardInterrupt):
        fit(network, TRAIN, VALIDATION, training, folder=tmp_path, report=kill)
    reported: list[int] = []
    resumed = fit(
        network,
        TRAIN,
        VALIDATION,
        training,
        folder=tmp_path,
        report=lambda epoch, score: reported.append(epoch),
    )
    assert reported == [1, 2, 3, 4, 5]
    assert torch.equal(weights(resumed.model), weights(whole.model))
    assert (resumed.score, resumed.best_epoch) == (whole.score, whole.best_epoch)
    assert torch.equal(weights(load_best(network(), tmp_path)), weights(whole.model))
    again = fit(network, TRAIN, VALIDATION, training, folder=tmp_path)
    assert torch.equal(weights(again.model), weights(whole.model))  # nothing is left to train


@pytest.mark.parametrize("schedule", ["cosine", "warmup_cosine"])
def test_a_training_by_rungs_ends_as_one_in_one_go(schedule: str, tmp_path: Path) -> None:
    def trained(epochs: int, folder: Path | None, patience: int | None = None) -> Fitted:
        training = Training(epochs, horizon=6, schedule=schedule, patience=patience)
        return fit(network, TRAIN, VALIDATION, training, seed=3, folder=folder)

    for patience in (None, 2):
        folder = tmp_path / f"patience {patience}"
        folder.mkdir()
        rungs = [trained(epochs, folder, patience) for epochs in (1, 3, 6)]
        whole = trained(6, None, patience)
        assert torch.equal(weights(rungs[-1].model), weights(whole.model))
        assert (rungs[-1].score, rungs[-1].stopped) == (whole.score, whole.stopped)
        assert rungs[-1].epochs == whole.epochs
    assert not torch.equal(
        weights(trained(1, None).model), weights(fit(network, TRAIN, VALIDATION, Training(1)).model)
    )
    with pytest.raises(ParameterError):
        Training(6, horizon=3)


def test_a_report_may_end_a_training_which_then_ends_there_again(tmp_path: Path) -> None:
    training = Training(epochs=5)

    def fitted(folder: Path | None) -> Fitted:
        return fit(network, TRAIN, VALIDATION, training, folder=folder, report=lambda e, s: e == 3)

    stopped = fitted(tmp_path)
    assert (stopped.stopped, stopped.epochs) == ("report", 3)
    again = fitted(tmp_path)  # as where it was killed before its answer was kept
    assert (again.stopped, again.epochs, again.score) == ("report", 3, stopped.score)


def other_network() -> nn.Module:
    return nn.Linear(4, 2)


@pytest.mark.parametrize("spoil", ["truncated", "no checkpoint", "of another network"])
def test_a_checkpoint_that_does_not_load_is_named(spoil: str, tmp_path: Path) -> None:
    fit(network, TRAIN, VALIDATION, Training(epochs=1), folder=tmp_path)
    path = tmp_path / "checkpoint.pt"
    if spoil == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif spoil == "no checkpoint":
        path.write_bytes(b"nothing")
    build = other_network if spoil == "of another network" else network
    with pytest.raises(DataError) as caught:
        fit(build, TRAIN, VALIDATION, Training(epochs=2), folder=tmp_path)
    assert caught.value.data["path"] == str(path)
    assert "\n" not in caught.value.message
    with pytest.raises(DataError):
        load_best(build(), tmp_path)


def test_one_step_of_sgd_is_the_gradient_times_the_rate() -> None:
    """Nesterov's first step is (1 + momentum)·rate·gradient; least squares has a closed form."""
    inputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]])

    def line() -> nn.Module:
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        return model

    fitted = fit(
        line,
        Batches(inputs, targets),
        Batches(inputs, targets),
        Training(epochs=1, rate=0.01, optimizer="sgd", schedule="constant", clip=None),
        loss=nn.functional.mse_loss,
        score=lambda model, data, device: 1.0,
    )
    gradient = -2 * (1 * 3 + 2 * 5) / 2
    assert weights(fitted.model).item() == pytest.approx(-1.9 * 0.01 * gradient)


def test_patience_ends_a_training_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    scores = iter([10.0, 30.0, 20.0, 29.0, 28.0])
    seen: list[Tensor] = []

    def score(model: nn.Module, data: object, device: str) -> float:
        seen.append(weights(model))
        return next(scores)

    fitted = fit(
        network, TRAIN, VALIDATION, Training(epochs=9, patience=3), score=score, folder=tmp_path
    )
    assert (fitted.stopped, fitted.epochs, fitted.best_epoch, fitted.score) == (
        "patience",
        5,
        2,
        30.0,
    )
    assert torch.equal(weights(fitted.model), seen[1])
    assert torch.equal(weights(load_best(network(), tmp_path)), seen[1])


def test_no_epoch_is_begun_after_the_deadline() -> None:
    fitted = fit(network, TRAIN, VALIDATION, Training(epochs=9), deadline=time.time() - 1)
    assert (fitted.stopped, fitted.epochs) == ("deadline", 1)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    with pytest.raises(FloatingPointError):
        fit(network, Batches(INPUTS * math.nan, TARGETS), VALIDATION, Training())


def test_the_schedules() -> None:
    rates = [Training(rate=2.0, schedule="cosine").rate_at(share) for share in (0, 0.5, 1)]
    assert rates == pytest.approx([2, 1, 0])
    risen = [Training(rate=2.0, schedule="warmup_cosine").rate_at(s) for s in (0, 0.125, 0.25, 1)]
    assert risen == pytest.approx([0, 1, 2, 0])
    assert Training(rate=2.0, schedule="constant").rate_at(0.9) == 2
    with pytest.raises(UnknownNameError) as caught:
        Training(schedule="cosinus")
    assert caught.value.data["suggestion"] == "cosine"


def test_accuracy_counts_rows_not_batches() -> None:
    inputs = torch.eye(2)[[0, 0, 1, 1, 1]]
    data = Batches(inputs, torch.tensor([0, 1, 1, 1, 0]), size=2)
    assert len(data) == 3
    assert accuracy(nn.Identity(), data) == pytest.approx(60)


def test_a_data_loader_of_torch_can_be_used() -> None:
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(INPUTS, TARGETS), batch_size=16, shuffle=True
    )
    first, second = (fit(network, loader, VALIDATION, Training(epochs=1), seed=3) for _ in "ab")
    assert torch.equal(weights(first.model), weights(second.model))
