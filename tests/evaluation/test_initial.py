"""Going on and starting warm: nothing that was paid for is lost, whatever happened."""

from __future__ import annotations

import json
import os
import random
import signal
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from evaluations import METHODS, OBJECTIVES, QUICK, arguments, failing, fails, worth
from trained_problem import SPACE, Trained, ending_at, error_of

from optiproxy_nas import (
    Search,
    SearchInterrupted,
    SearchResult,
    Space,
    Target,
    batched,
    read_journal,
    search,
)
from optiproxy_nas.api import early_end
from optiproxy_nas.core.errors import (
    BudgetError,
    DataError,
    InvalidArchitectureError,
    ParameterError,
)
from optiproxy_nas.evaluation.trial_rows import batch_of_table
from optiproxy_nas.evaluation.trials import Asked


class Other(Trained):
    """Measures something else."""

    target = Target("width", "minimize")


class InPercent(Trained):
    """Measures the same in another unit."""

    target = Target("error", "minimize", "parts of 1")


CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SPACES = ("nb201", "nb101", "nb301", "nbnlp")


class Stopping:
    """An evaluation that is interrupted at its n-th call, and then goes on."""

    def __init__(self, at: int, how: type[BaseException] = KeyboardInterrupt) -> None:
        self.left, self.how = at, how
        self.asked: list[Any] = []

    def __call__(self, architecture: Any, *epochs: Any) -> Any:
        if self.left == 0:
            self.left = -1
            raise self.how
        self.left -= 1
        self.asked.append(architecture)
        return failing(architecture, *epochs)


EACH = [*((method, "accuracy") for method in METHODS), ("optiproxy", "multi_fidelity")]


@pytest.mark.heavy
@pytest.mark.parametrize(("method", "objective"), EACH)
def test_interrupted_at_every_trial_it_ends_as_if_it_had_not_been(
    method: Any, objective: Any, tmp_path: Path
) -> None:
    asked = arguments(method, objective, budget=30 if objective == "multi_fidelity" else 14)
    whole = search(evaluate=failing, **asked)
    evaluate, found = Stopping(1), None
    initial: Any = None
    while found is None:
        evaluate.left = 1
        try:
            found = search(evaluate=evaluate, initial=initial, **asked)
        except SearchInterrupted as error:
            initial = error.result
        if found is None and len(evaluate.asked) == 5:
            assert len(initial.archive) + len(initial.failed) == 5
            initial = initial.save(tmp_path / "partial.zip")
    pd.testing.assert_frame_equal(found.archive, whole.archive)
    assert len(evaluate.asked) == len(whole.trials)  # none twice


@pytest.mark.heavy
@pytest.mark.parametrize("space", SPACES)
def test_in_every_space(space: str) -> None:
    """With failures, interrupted, and with labelled answers in another order."""
    few = {**QUICK["selection"], "local_moves": 1, "ascent_rounds": 1}  # thousands of neighbours
    asked = arguments("optiproxy", space=space, budget=18, seed=1, selection=few)
    whole = search(evaluate=failing, **asked)
    assert whole.failed
    evaluate, initial = Stopping(9), None
    for left in (9, 2):
        evaluate.left = left
        with pytest.raises(SearchInterrupted) as caught:
            search(evaluate=evaluate, initial=initial, **asked)
        initial = caught.value.result
    resumed = search(evaluate=evaluate, initial=initial, **asked)
    pd.testing.assert_frame_equal(resumed.archive, whole.archive)

    def labelled(names: Any) -> Any:
        values = {name: None if fails(name) else worth(name)["value"] for name in names}
        return pd.Series(values).sample(frac=1, random_state=0)

    found = search(evaluate=batched(labelled), **asked)
    pd.testing.assert_frame_equal(found.archive, whole.archive)


@pytest.mark.parametrize("how", [SystemExit, GeneratorExit])
def test_every_way_out_carries_the_result(how: Any) -> None:
    with pytest.raises(how) as caught:
        search(evaluate=Stopping(4, how), **arguments("random_search"))
    assert len(caught.value.result.archive) + len(caught.value.result.failed) == 4


def _told(opened: Any, trials: Any) -> None:
    for trial in trials:
        try:
            opened.tell(trial, failing(trial.architecture, *filter(None, [trial.epochs])))
        except MemoryError as error:
            opened.tell(trial, failed=str(error))


@pytest.mark.parametrize(("method", "objective"), EACH)
def test_asked_and_told_in_any_order_it_goes_on_without_losing_a_trial(
    method: Any, objective: Any, tmp_path: Path
) -> None:
    asked = arguments(method, objective, budget=30 if objective == "multi_fidelity" else 14)
    opened, order = Search(**asked), random.Random(1)
    running: list[Any] = []
    for _ in range(9):  # four at a time
        running += opened.ask(4 - len(running))
        _told(opened, [running.pop(order.randrange(len(running)))])
    resumed = Search(**asked, initial=opened.result().save(tmp_path / "partial.search"))
    _told(opened, running)
    for search_ in (opened, resumed):
        while trials := search_.ask():
            _told(search_, trials)
    assert resumed.trials == opened.trials
    pd.testing.assert_frame_equal(resumed.archive(), opened.archive())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_goes_on_from_failures_alone(objective: Any) -> None:
    asked = arguments("random_search", objective, budget=30)
    opened = Search(**asked)
    (trial,) = opened.ask(1)
    opened.tell(trial, failed="out of memory")
    for seed in (asked["seed"], 7):
        started = Search(**{**asked, "seed": seed}, initial=opened.result())
        started.ask(1)
        assert [trial.error for trial in started.trials if trial.error] == ["out of memory"]


def test_trials_that_leave_less_of_the_space_than_the_budget_are_refused() -> None:
    asked: dict[str, Any] = {"method": "random_search", "space": "tiny_space:TinySpace"}
    size = Search(**asked, budget=1).space.size
    assert size is not None
    found = search(evaluate=len, budget=size - 3, **asked)
    with pytest.raises(BudgetError) as caught:
        Search(**asked, budget=4, seed=1, initial=found)
    assert caught.value.data["left"] == 3
    assert Search(**asked, budget=3, seed=1, initial=found).ask()


def test_trials_that_another_code_does_not_propose_again_are_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = arguments("local_search")
    opened = Search(**asked)
    _told(opened, opened.ask())
    other = Search(**asked)
    rows, outcomes, _ = batch_of_table(other.space, other.objective, opened.archive().tail(3))
    other.replay(rows, outcomes, [Asked()])
    other.method = Search(**arguments("random_search", seed=5)).method
    other.ask()
    assert "3 trials" in caplog.text


MINIMISED = {"direction": "minimize", "method": "random_search", "budget": 6}


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"evaluate": len, **MINIMISED}, {"evaluate": len, "direction": "maximize"}, "direction"),
        ({"dataset": "cifar10"}, {"dataset": "cifar100"}, "dataset"),
        ({"dataset": "cifar10"}, {"evaluate": len}, "target"),
        ({"dataset": "cifar10"}, {"problem": Trained()}, "target"),
        ({"problem": Trained()}, {"evaluate": len, "space": SPACE, "direction": "minimize"}, "tar"),
        ({"problem": Trained()}, {"problem": Other()}, "target"),
        ({"problem": Trained()}, {"problem": InPercent()}, "unit"),
        ({"evaluate": len, "space": SPACE}, {"evaluate": len}, "space"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_values_of_something_else_start_no_search(
    first: Any, second: Any, name: str, tmp_path: Path
) -> None:
    run: dict[str, Any] = {"method": "random_search", "budget": 6}
    result = search(**{**run, **first}, journal=tmp_path / "a.jsonl")
    saved = result.save(tmp_path / "a.search")
    again = {**run, **second, "seed": 7}
    for initial in (result, saved, tmp_path / "a.jsonl"):
        with pytest.raises(ParameterError) as caught:
            search(**again, initial=initial)
        names = caught.value.data["names"]
        assert any(found.startswith(name) for found in names)
    if "space" not in {found.partition(".")[0] for found in names}:
        assert (
            search(**again, initial=result.trials)
            .archive["value"]
            .isin(result.archive["value"])
            .any()
        )


def test_trials_of_a_function_start_a_problem_and_those_of_a_problem_another() -> None:
    run: dict[str, Any] = {"method": "random_search", "budget": 3}
    first = search(evaluate=error_of, space=SPACE, direction="minimize", **run)
    for before in (first, search(problem=Trained(), **run)):
        warm = search(problem=Trained(), initial=before, seed=7, **run)
        assert [t.metrics["error"] for t in warm.trials[:3]] == before.archive["value"].tolist()


def test_the_table_of_a_journal_starts_a_problem(tmp_path: Path) -> None:
    failing = ending_at(2, "raise")
    run: dict[str, Any] = {"method": "random_search", "budget": 4, "failures": {"retries": 1}}
    search(problem=failing, journal=tmp_path / "a.jsonl", **run)
    table = read_journal(tmp_path / "a.jsonl")
    assert len(table) == 5
    warm = search(problem=Trained(), initial=table, seed=7, **run)
    last = table.drop_duplicates("number", keep="last")["metrics.error"].tolist()
    assert [trial.value for trial in warm.trials[:4]] == last


def test_open_trials_are_none_to_start_from() -> None:
    opened = Search(**arguments("random_search"))
    first, _ = opened.ask(2)
    opened.tell(first, worth(first.architecture))
    for initial in (opened.result(), opened.trials, opened.result().to_frame()):
        started = Search(**arguments("random_search", seed=1), initial=initial)
        assert [trial.architecture for trial in started.trials] == [first.architecture]


@pytest.mark.parametrize("initial", [3, b"x", [1], {CELL: 1.0}, [{"architecture": CELL}], object()])
def test_what_is_no_trial_is_refused(initial: Any) -> None:
    with pytest.raises(ParameterError):
        search(evaluate=worth, initial=initial, **arguments("random_search"))


def test_metrics_called_as_fields_of_a_trial_hide_none(tmp_path: Path) -> None:
    names = ("seed", "epochs", "architecture", "error", "order")
    asked = arguments("random_search", budget=4)
    result = search(evaluate=lambda cell: {"value": 1.0, **dict.fromkeys(names, 5.0)}, **asked)
    table = result.to_frame()
    assert table["architecture"].tolist() == [trial.architecture for trial in result.trials]
    assert table["metrics.seed"].tolist() == [5.0] * 4
    for initial in (result.save(tmp_path / "a.search"), table):
        assert search(evaluate=worth, initial=initial, **asked).archive["value"].iloc[0] == 1.0


def test_a_search_that_has_not_begun_has_an_empty_table() -> None:
    table = Search(**arguments("random_search")).result().to_frame()
    assert table.empty
    assert {"architecture", "state", "value"} <= set(table)


def test_results_are_compared_as_objects(tmp_path: Path) -> None:
    result = search(evaluate=worth, **arguments("random_search", budget=3))
    read = SearchResult.load(result.save(tmp_path / "a.search"))
    assert result != read
    assert len({result, read}) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": None},
        {"optimum": "x"},
        {"trials": []},
        {"trials": [{"number": "x", "architecture": 3}]},
        {"events": [7]},
        {"events": ["x"]},
    ],
)
def test_a_record_that_does_not_fit_together_is_damaged(change: Any, tmp_path: Path) -> None:
    path = search(evaluate=worth, **arguments("random_search", budget=3)).save(tmp_path / "a")
    _rewrite(path, lambda facts: {**facts, **change})
    with pytest.raises(DataError):
        SearchResult.load(path)


def test_records_without_events_are_read(tmp_path: Path) -> None:
    asked = arguments("local_search")
    result = search(evaluate=failing, **asked)
    path = result.save(tmp_path / "a")
    _rewrite(path, lambda facts: {name: facts[name] for name in facts if name != "events"})
    resumed = search(evaluate=failing, initial=path, **asked)
    pd.testing.assert_frame_equal(resumed.archive, result.archive)


def test_a_compressed_record_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = search(evaluate=worth, **arguments("random_search", budget=3)).save(tmp_path / "a")
    _rewrite(path, lambda facts: {**facts, "caution": "a" * 100_000}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="compressed"):
        SearchResult.load(path)


def _rewrite(path: Path, change: Any, compression: Any = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["record.json"] = json.dumps(change(json.loads(parts["record.json"]))).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def test_a_second_interrupt_while_the_result_is_made_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = early_end.result_after

    def interrupted_again(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return made(*arguments)

    monkeypatch.setattr(early_end, "result_after", interrupted_again)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SearchInterrupted) as caught:
        search(evaluate=Stopping(3), **arguments("random_search"))
    assert len(caught.value.result.archive) + len(caught.value.result.failed) == 3
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_finished_search_goes_on_to_a_larger_budget() -> None:
    small = search(evaluate=worth, **arguments("local_search", budget=9))
    large = arguments("local_search", budget=22)
    grown = search(evaluate=worth, initial=small, **large)
    pd.testing.assert_frame_equal(grown.archive, search(evaluate=worth, **large).archive)


@pytest.mark.parametrize("method", METHODS)
def test_it_starts_warm_from_trials_of_any_method(method: Any) -> None:
    before = search(evaluate=failing, **arguments("random_search", seed=9, budget=12))
    evaluate = Stopping(-1)
    warm = search(evaluate=evaluate, initial=before, **arguments(method, budget=8))
    assert len(evaluate.asked) == 8
    assert not {trial.architecture for trial in before.trials} & set(evaluate.asked)
    assert [trial.charged for trial in warm.trials] == [False] * 12 + [True] * 8
    kept = warm.archive.head(len(before.archive))
    assert kept["value"].tolist() == before.archive["value"].tolist()
    again = search(evaluate=failing, initial=before, **arguments(method, budget=8))
    pd.testing.assert_frame_equal(again.archive, warm.archive)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_a_table_made_by_hand(suffix: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"architecture": [CELL], "value": [10.0], "note": ["by hand"]})
    path = tmp_path / f"trials{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        (table.to_json if suffix == ".json" else table.to_parquet)(path)
    for initial in (table, path, str(path)):
        warm = search(evaluate=worth, initial=initial, **arguments("random_search", budget=3))
        assert warm.archive["value"].iloc[0] == 10.0
        assert len(warm.archive) == 4


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"architecture": ["no cell"], "value": [1.0]}, InvalidArchitectureError),
        ({"architecture": [CELL, CELL], "value": [1.0, 2.0]}, DataError),
        ({"architecture": [CELL]}, DataError),
        ({"architecture": [CELL], "value": ["0.5"]}, DataError),
        ({"value": [1.0]}, DataError),
    ],
)
def test_trials_that_cannot_be_used_are_refused_before_any_query(table: Any, error: Any) -> None:
    evaluate = Stopping(-1)
    with pytest.raises(error):
        search(evaluate=evaluate, initial=pd.DataFrame(table), **arguments("random_search"))
    assert not evaluate.asked


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(b"PK\x03\x04 no zip")
    pipes = tmp_path / "pipe", tmp_path / "pipe.csv"  # which would be waited for
    for pipe in pipes:
        os.mkfifo(pipe)
    for path in (damaged, tmp_path / "missing.csv", *pipes):
        with pytest.raises(DataError, match=path.name):
            search(evaluate=worth, initial=path, **arguments("random_search"))


def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    found = search(evaluate=failing, **arguments("optiproxy"))
    read = SearchResult.load(found.save(tmp_path / "found.zip"))
    pd.testing.assert_frame_equal(read.archive, found.archive)
    pd.testing.assert_frame_equal(read.diagnostics, found.diagnostics)
    assert (read.trials, read.parameters, read.stopped) == (
        found.trials,
        found.parameters,
        found.stopped,
    )
    assert read.traces.keys() == found.traces.keys()
    assert all((read.logits[name] == tensor).all() for name, tensor in found.logits.items())
    assert str(read) == str(found)


def test_a_file_that_names_a_module_imports_it_only_where_it_is_trusted(tmp_path: Path) -> None:
    asked = arguments("random_search", space="tiny_space:TinySpace", budget=4)
    path = search(evaluate=worth, **asked).save(tmp_path / "found.zip")
    with pytest.raises(DataError, match="trusted=True"):
        SearchResult.load(path)
    assert len(SearchResult.load(path, trusted=True).archive) == 4
    assert len(search(evaluate=worth, initial=path, **asked).archive) == 4  # it names it itself
    _rewrite(path, lambda facts: json.loads(json.dumps(facts).replace(":Tiny", ":Other")))
    with pytest.raises(DataError, match=r"SearchResult\.load"):
        search(evaluate=worth, initial=path, **asked)


@pytest.mark.parametrize("path", ["foreign:f", "foreign:Class.method", "foreign:"])
def test_no_spelling_of_a_constraint_imports_its_module(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreign.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    space = Space({"a": [1, 2, 3], "b": ["x:y", "z"]}, name="digits: small")
    asked: dict[str, Any] = {
        "space": space,
        "evaluate": lambda made: made["a"],
        "method": "random_search",
    }
    saved = search(**asked, budget=3).save(tmp_path / "found.zip")
    assert len(SearchResult.load(saved).archive) == 3
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(parts["record.json"])
    facts["parameters"]["space"]["constraint"] = path
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in (parts | {"record.json": json.dumps(facts)}).items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match="trusted=True"):
        SearchResult.load(saved)


def test_what_it_tells() -> None:
    found = search(evaluate=failing, **arguments("random_search"))
    assert found.best.architecture == found.best_architecture
    assert [trial.value for trial in found.top(3)] == sorted(found.archive["value"])[:-4:-1]
    frame = found.to_frame()
    assert frame["state"].value_counts().to_dict() == {
        "complete": len(found.archive),
        "failed": len(found.failed),
    }
    assert len(repr(found).splitlines()) == 4  # its other metrics are one
    assert "budget of 22" in found.stopped


def test_without_a_complete_trial_there_is_no_answer() -> None:
    with pytest.raises(SearchInterrupted) as caught:
        search(evaluate=Stopping(0), **arguments("random_search"))
    nothing = caught.value.result
    assert nothing.top(3) == []
    assert "complete" in repr(nothing) + str(nothing)
    with pytest.raises(DataError, match="no answer"):
        nothing.best  # noqa: B018


@pytest.mark.parametrize(("name", "content"), [("seen.png", b"\x89PNG"), ("seen.csv", b"")])
def test_a_file_of_another_kind_and_an_empty_table_are_refused(
    name: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    starts: list[dict[str, Any]] = [{"initial": path}, {"prior": path}]
    for start in starts:
        with pytest.raises(DataError) as caught:
            search(evaluate=worth, budget=20, **start)
        assert not isinstance(caught.value.__cause__, zipfile.BadZipFile | KeyError)
        assert ".csv" in caught.value.message
    with pytest.raises(DataError):
        SearchResult.load(path)
