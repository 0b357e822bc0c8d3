"""The project's config loader: presets, typed parameters and run-scoped paths.

``--params`` are flat (``dataset=cifar100,proxy.hidden=128``) and override the section of the
pipeline that runs (conf/base/parameters_<pipeline>.yml), which overrides the preset. What the
nodes see is the result, checked: ``params:search``; catalog paths may hold ``${run:run_id}`` and
``${run:source}``.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from optiproxy_nas import pipeline_registry
from optiproxy_nas.benchmarks.sources import get_source
from optiproxy_nas.errors import ParameterError, unknown_name
from optiproxy_nas.parameters import SearchParameters
from optiproxy_nas.presets import resolve

# Parameters of the run itself: they do not decide the search, so they are not in its digest.
RUN_KEYS = ("pipeline", "run_id", "tracking", "resume", "quiet")
_RUN_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
_SWITCH = {"on": True, "off": False, "true": True, "false": False}


class SearchConfigLoader(OmegaConfigLoader):
    """OmegaConfigLoader whose ``parameters`` are resolved against presets and types."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        resolvers = {**(kwargs.pop("custom_resolvers", None) or {}), "run": self._run_value}
        super().__init__(*args, custom_resolvers=resolvers, **kwargs)
        self._resolved: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> dict[str, Any]:
        """The configuration of a kind; ``parameters`` resolved and checked, once."""
        if key != "parameters":
            # Kedro registers a resolver only if its name is new: without this, a second session in
            # one process would write to the first one's paths.
            OmegaConf.register_new_resolver("run", self._run_value, replace=True)
            return super().__getitem__(key)
        if self._resolved is None:
            self._resolved = self._resolve(super().__getitem__(key))
        return self._resolved

    def _run_value(self, name: str) -> Any:
        run: dict[str, Any] = self["parameters"]["run"]
        return run[name]

    def _resolve(self, raw: dict[str, Any]) -> dict[str, Any]:
        sections = {name: value for name, value in raw.items() if name in raw["pipelines"]}
        flat = {k: v for k, v in raw.items() if k not in sections and k != "pipelines"}
        run = {key: flat.pop(key, None) for key in RUN_KEYS}
        pipeline = run["pipeline"]
        if pipeline not in sections:
            raise unknown_name("pipeline", pipeline, sections)
        values = {**sections[pipeline], **flat}
        for key in ("tracking", "resume", "quiet"):
            run[key] = _switch(key, run[key])
        resolved: dict[str, Any] = {"run": run}
        if raw["pipelines"][pipeline] == "search":
            search = resolve(values, also=("run_id", "tracking"))
            resolved["search"] = search.model_dump()
            # Not in a hook: Kedro-Viz runs none, and is to draw the pipeline of these parameters.
            pipeline_registry.set_steps(search.steps())
            source = search.source
            run["run_id"] = _run_id(run["run_id"], search)
            known = get_source(source)
            datasets = {file.dataset for file in known.files}
            if search.dataset not in datasets:
                raise unknown_name(f"dataset of source {source!r}", search.dataset, datasets)
            if search.benchmark != known.benchmark:
                raise unknown_name(
                    f"benchmark of source {source!r}", search.benchmark, [known.benchmark]
                )
        else:
            source = values.pop("source")
            if values:
                raise unknown_name("parameter", sorted(values)[0], ["source", *RUN_KEYS])
        get_source(source)
        run["source"] = source
        resolved["source"] = source
        return resolved


def _run_id(given: str | None, search: SearchParameters) -> str:
    """The run id: as given, or dataset, preset, seed, time and four random digits."""
    if given is None:
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return f"{search.dataset}-{search.preset}-s{search.seed}-{now}-{secrets.token_hex(2)}"
    if not _RUN_ID.match(str(given)):
        raise ParameterError(
            f"Parameter 'run_id' = {given!r} names folders: letters, digits, '.', '_' and '-', at "
            "most 100, beginning with a letter or digit.",
            run_id=given,
        )
    return str(given)


def _switch(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if str(value).lower() not in _SWITCH:
        raise ParameterError(f"Parameter {name!r} = {value!r}: on or off.", name=name, value=value)
    return _SWITCH[str(value).lower()]
