"""What a notebook shows of a result: its figures, and its page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from optiproxy_nas.api.result_lines import answer_line, search_line, trials_line
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.report import RunData, draw_cell, figures_of, png
from optiproxy_nas.report.archive_figures import PREDICTED
from optiproxy_nas.report.html import render
from optiproxy_nas.report.logit_figures import LOGITS, with_logits
from optiproxy_nas.report.run_summary import candidate_facts
from optiproxy_nas.report.summary import bound_sentence
from optiproxy_nas.report.trial_table import candidate_rows
from optiproxy_nas.spaces import SPACES

LONGEST = 300  # letters of an error
RESOLUTION, COLOURS = 96, 64  # of the page's pictures, dots an inch; so that it stays small


@dataclass(frozen=True)
class ResultPlots:
    """The figures of a result, as of a run's report; a notebook shows what they return."""

    result: SearchRecord

    def best_so_far(self) -> Figure:
        """Draw the best value so far against what was spent, with all queries."""
        first, *_ = figures_of(self.result.parameters.objective)
        return first.draw(RunData.of(self.result))

    def predictions(self) -> Figure:
        """Draw what the method expected before each query against what the query gave.

        Raises:
            DataError: the method predicts nothing.
        """
        if not self.result.archive["predicted"].notna().any():
            self._refuse("predictions")
        return PREDICTED.draw(RunData.of(self.result))

    def logits(self) -> Figure:
        """Draw the probabilities of operations, and of edges, over the epochs of the last step.

        Raises:
            DataError: the method has no logits.
        """
        run, result = RunData.of(self.result), self.result
        if not run.traces:
            self._refuse("logits")
        elif result.logits:
            last = max(run.traces)
            trace = with_logits(run.space, dict(run.traces[last]), result.logits)
            run = replace(run, traces={last: trace})
        return LOGITS.draw(run)

    def _refuse(self, what: str) -> None:
        """Refuse a figure of a method that can never have it; others have none yet."""
        parameters = self.result.parameters
        if not parameters.preset_name:
            raise DataError(
                f"There are no {what} to draw: method {parameters.method!r} makes none. "
                "OptiProxy-NAS does, method='optiproxy'.",
                method=parameters.method,
            )


def result_html(result: SearchRecord) -> str:
    """Return a result as a piece of HTML for a notebook, with all that it shows in it."""
    architecture, pictures, drawing, bounds = "", [], "", []
    if len(result.archive):
        run, architecture = RunData.of(result), result.best.text
        pictures.append(("Best so far", _picture(ResultPlots(result).best_so_far())))
        bounds = [bound_sentence(bound) for bound in run.summary.get("constraints") or ()]
        space = run.space
        if space.num_vertices and result.parameters.space_name in SPACES:
            cell = draw_cell(space, architecture, node_labels=space.node_labels)
            pictures.append(("Best architecture", _picture(cell)))
        else:
            drawing = space.draw(architecture)
    return render(
        "result.html.j2",
        title=search_line(result.parameters),
        confirmed=candidate_rows(candidate_facts(result.confirmation), result.target),
        answer=answer_line(result),
        architecture=architecture,
        bounds=bounds,
        caution=result.caution,
        trials=trials_line(result),
        failure=result.failed[-1].error[:LONGEST] if result.failed else "",
        pictures=pictures,
        drawing=drawing,
    )


def _picture(figure: Figure) -> bytes:
    """Return a figure as a PNG of few colours: a fifth of the bytes."""
    return png(figure, RESOLUTION, COLOURS)
