"""Parameters of a diagnosis: which run, and a few choices of what to measure and to draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.validation import validate
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS
from optiproxy_nas.report.diagnose.settings import DiagnosisSettings


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """``params:diagnose`` of the given values; sets ``${run:diagnosed}``, the run looked at.

    The run's own parameters are not repeated here: they come from its manifest.

    Raises:
        ParameterError: no run is named, or an unknown name, a wrong type or value.
    """
    name = str(values.get("run") or "")
    if not name or PurePath(name).name != name:
        raise ParameterError(
            f"Parameter 'run' = {values.get('run')!r} names no run. Give the id of a finished "
            "search: kedro run --pipeline=nb201_diagnose --params=run=RUN_ID.",
            run=values.get("run"),
        )
    settings = validate(DiagnosisSettings, {**values, "run": name}, also=RUN_KEYS)
    run["diagnosed"] = settings.run
    return {"diagnose": settings.model_dump()}
