"""What a person sees of a run: a bar of what was spent, and the summary at its end."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.numbers import value_text
from optiproxy_nas.presets import misfit
from optiproxy_nas.report.run_report import terminal_summary


class RunProgress:
    """A bar on standard error; what there is to say at the end goes to standard output.

    Args:
        parameters: of the run.
        target: the metric that it maximises.
        quiet: show and say nothing.
    """

    def __init__(self, parameters: RunParameters, target: str, quiet: bool) -> None:
        self._objective = parameters.objective
        self._target = target
        self._quiet = quiet
        self._bar = tqdm(
            total=parameters.budget, desc=self._objective.price.unit, file=sys.stderr, disable=quiet
        )

    def update(self, archive: pd.DataFrame) -> None:
        """Show what the archive cost, and its best value so far."""
        best = float(archive["best"].iloc[-1])
        text = "-" if math.isnan(best) else value_text(self._target, best)
        self._bar.set_postfix_str(f"best {text}", refresh=False)
        self._bar.update(int(self._objective.price.costs(archive).sum()) - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def say_end(self, summary: Mapping[str, Any] | None, folder: Path, **facts: Any) -> None:
        """Print what the run found and where its files lie.

        Args:
            summary: of the search; None where it did not come to its end.
            folder: of the run's reports.
            **facts: more for the summary, ``wall_seconds`` and ``mlflow_store``.
        """
        if summary is None or self._quiet:
            return
        if (store := facts.pop("mlflow_store", None)) is not None:
            store = store.replace(f"{Path.cwd()}/", "")
            facts["mlflow_command"] = f"mlflow ui --backend-store-uri {store}"
        facts["artifacts"] = os.path.relpath(folder)
        if (page := folder / "report.html").exists():
            facts["page"] = os.path.relpath(page)
        print(terminal_summary({**summary, **facts}), flush=True)


def say_misfit(parameters: RunParameters, quiet: bool) -> None:
    """Print a note where another preset was made for the run's objective or space."""
    if (note := misfit(parameters)) and not quiet:
        print(f"Note: {note}", file=sys.stderr, flush=True)
