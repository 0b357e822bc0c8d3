"""Lines of text about a search: what was searched, what was found, how it went."""

from __future__ import annotations

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION, RunParameters
from optiproxy_nas.core.numbers import difference_text, metric_name, value_text
from optiproxy_nas.evaluation.record import SearchRecord


def search_line(parameters: RunParameters) -> str:
    """Return what is searched and how."""
    preset = f" (preset {parameters.preset_name})" if parameters.preset_name else ""
    objective = f", {parameters.objective.label}" if parameters.objective.label else ""
    dataset = "" if parameters.dataset == OWN_EVALUATION else f" {parameters.dataset}"
    what = f"{parameters.space_name}{dataset}" if parameters.problem is None else dataset.strip()
    kept_back = f" ({parameters.kept_back} of them to confirm)" if parameters.confirm else ""
    return (
        f"{what} by {parameters.method}{preset}{objective}, "
        f"seed {parameters.seed}, budget {parameters.budget} {parameters.objective.price.unit}"
        f"{kept_back}"
    )


def answer_line(record: SearchRecord) -> str:
    """Return the value of the best architecture, with its unit, and the regret."""
    if record.archive.empty:
        return "no complete trial"
    compared = record.best_value, record.optimum
    text = f"{metric_name(record.target)} {value_text(record.target, *compared)}"
    if record.regret is not None:
        text += f", regret {difference_text(record.target, record.regret, *compared)}"
    text += record.confirmed_text
    text = ", ".join([text, *record.test_lines])
    return text if record.is_eligible else f"none can be the answer; the nearest has {text}"


def trials_line(record: SearchRecord) -> str:
    """Return how many trials are complete, failed and open, and why the search ended."""
    complete, failed = len(record.archive), len(record.failed)
    stopped = sum(trial.stopped for trial in record.trials)
    of_these = f" ({stopped} of them stopped early)" if stopped else ""
    counts = f"{complete} complete{of_these}, {failed} failed, "
    counts += f"{len(record.trials) - complete - failed} open"
    return f"trials: {counts}; {record.stopped or 'it may go on'}"
