"""The project's config loader, context and session.

The loader resolves parameters: presets, types and run-scoped paths.

``--params`` are flat (``dataset=cifar100,proxy.hidden=128``) and override the section of the
pipeline that runs (conf/base/parameters_<pipeline>.yml), which overrides the preset. Each benchmark
has the pipelines ``<name>_search`` and ``<name>_methods``; what the files leave out of their
sections follows from its constants (``BenchmarkFamily``). What the nodes see is the result, checked
by the pipeline's kind (``KINDS``); catalog paths may hold ``${run:run_id}``, ``${run:benchmark}``
and ``${run:source}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.hooks.markers import hook_spec
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from omegaconf import OmegaConf

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.source_registry import families, get_source
from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.methods import DEFAULT as DEFAULT_METHOD
from optiproxy_nas.methods import method_of
from optiproxy_nas.methods.optiproxy import OptiProxy
from optiproxy_nas.objectives import DEFAULT as DEFAULT_OBJECTIVE
from optiproxy_nas.objectives import name_of
from optiproxy_nas.pipelines import compare, diagnose, ingest, search
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS, resolve_run, split_run
from optiproxy_nas.presets import preset_for
from optiproxy_nas.spaces import SPACES

# Kind of pipeline -> what the nodes get of the values given, checked; completes ``run`` in place.
# A kind whose pipelines are recorded runs sets ``run["run_id"]`` and returns, under "search",
# everything that decides the run.
# The last argument are names that the caller takes too, for messages.
KINDS: Mapping[
    str, Callable[[Mapping[str, Any], dict[str, Any], Iterable[str]], dict[str, Any]]
] = {
    "search": partial(resolve_run, method=OptiProxy),
    "methods": resolve_run,
    "ingest": ingest.resolve,
    "compare": compare.resolve,
    "diagnose": diagnose.resolve,
}
# Pipelines beside those of the benchmarks -> kind; each has a section in the parameter files.
_FURTHER_PIPELINES = {
    "hw_search": "search",
    "lowfi_search": "search",
    "ingest": "ingest",
    "compare": "compare",
    "nb201_diagnose": "diagnose",
}


def pipeline_kinds() -> dict[str, str]:
    """Return pipeline -> kind of all pipelines: two of each registered benchmark, and others."""
    prefixes = [family.prefix for family in families().values()]
    runs = {f"{prefix}_{kind}": kind for kind in ("search", "methods") for prefix in prefixes}
    return {**runs, **_FURTHER_PIPELINES}


def _benchmark_sections() -> dict[str, dict[str, Any]]:
    """Return the parameters of the benchmarks' pipelines as far as no file says otherwise."""
    sections = {}
    for family in families().values():
        try:
            preset = preset_for(family.space, DEFAULT_OBJECTIVE)
        except ParameterError:  # an installed package's space that cannot be imported
            preset = None
        search_section = {
            "space": family.space,
            "benchmark": family.name,
            "source": family.source,
            "dataset": get_source(family.source).datasets[0],
            "preset": preset or "default",
            "seed": 0,
            "budget": family.budget,
        }
        sections[f"{family.prefix}_search"] = search_section
        sections[f"{family.prefix}_methods"] = {**search_section, "method": DEFAULT_METHOD}
    return sections


class SearchConfigLoader(OmegaConfigLoader):
    """OmegaConfigLoader whose ``parameters`` are resolved against presets and types."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        resolvers = {**(kwargs.pop("custom_resolvers", None) or {}), "run": self._run_value}
        super().__init__(*args, custom_resolvers=resolvers, **kwargs)
        self._resolved: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the configuration of a kind; ``parameters`` are resolved and checked once."""
        if key != "parameters":
            # Kedro registers a resolver only if its name is new: without this, a second session in
            # one process would write to the first one's paths.
            OmegaConf.register_new_resolver("run", self._run_value, replace=True)
            return super().__getitem__(key)
        if self._resolved is None:
            self._resolved = resolve_parameters(self.raw_parameters())
        return self._resolved

    def raw_parameters(self) -> dict[str, Any]:
        """Return parameter files and runtime parameters, merged, without presets and checks."""
        files: dict[str, Any] = super().__getitem__("parameters")
        return {**merge(_benchmark_sections(), files), "pipelines": pipeline_kinds()}

    def _run_value(self, name: str) -> Any:
        run: dict[str, Any] = self["parameters"]["run"]
        return run.get(name)


def resolve_parameters(raw: dict[str, Any], also: Iterable[str] = RUN_KEYS) -> dict[str, Any]:
    """Return ``run`` and what the pipeline's kind makes of the raw parameters, checked.

    Args:
        raw: all parameter files and what is given at run time, merged.
        also: names of the run's own that may be given, for messages.

    Raises:
        ParameterError: an unknown pipeline or parameter, or a wrong value.
    """
    kinds = raw["pipelines"]
    sections = {name: value for name, value in raw.items() if name in kinds}
    flat = {k: v for k, v in raw.items() if k not in sections and k != "pipelines"}
    run = split_run(flat)
    if run["pipeline"] not in sections:
        raise unknown_name("pipeline", run["pipeline"], sections)
    run["kind"] = kinds[run["pipeline"]]
    values = merge(_giving_way(sections[run["pipeline"]], flat), flat)
    try:
        return {"run": run, **KINDS[run["kind"]](values, run, also)}
    except ParameterError as error:
        owners = set(error.data.get("owners", {}).values())
        fitting = [n for n, s in sections.items() if name_of(s.get("objective")) in owners]
        if not fitting or run["pipeline"] in fitting:
            raise
        hint = f"Pipeline {', '.join(fitting)} has that objective."
        raise type(error)(f"{error.message} {hint}", **error.data) from None


def _giving_way(section: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a section, without its objective where another one is given.

    Its preset gives way to a method that takes none, and to one that fits a space which is given.
    """
    section, other = dict(section), given.get("objective")
    named = name_of(other) if isinstance(other, Mapping) and "name" in other else None
    if named not in (None, name_of(section.get("objective"))):
        section.pop("objective", None)
    if "preset" in section:
        values = {**section, **given}
        if not method_of(values).takes_preset():
            del section["preset"]
        elif not isinstance(values["space"], str) or values["space"] not in SPACES:
            objective = name_of(values.get("objective"))
            section["preset"] = preset_for(values["space"], objective) or "default"
    return section


class SearchContext(KedroContext):
    """A context that puts the pipeline of its parameters into Kedro's registry.

    A search has as many steps, and figures, as its parameters say. Not in a hook, since Kedro-Viz
    makes a context and runs no hooks.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        parameters = self.config_loader["parameters"]
        run = parameters["run"]
        if run["kind"] == "search":
            pipeline = search.pipeline_of(SearchParameters.model_validate(parameters["search"]))
            pipelines.update({run["pipeline"]: pipeline, "__default__": pipeline})


class SessionSpecs:
    """Hooks of a session beside Kedro's own."""

    @hook_spec
    def on_run_interrupted(self, error: KeyboardInterrupt) -> None:
        """Close what is open; the user pressed Ctrl-C, or a signal did as much.

        Args:
            error: raised again afterwards. A note on it tells the user how to go on.
        """

    @hook_spec
    def tracking_lost(self) -> bool:
        """Return whether the experiment store lacks what the last run had to tell."""
        raise NotImplementedError


class SearchSession(KedroSession):
    """A session that tells its hooks of an interruption, which Kedro's own lets pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hook_manager.add_hookspecs(SessionSpecs)

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline as :meth:`KedroSession.run` does."""
        try:
            outputs: dict[str, Any] = super().run(*args, **kwargs)
        except KeyboardInterrupt as error:
            self._hook_manager.hook.on_run_interrupted(error=error)
            raise
        return outputs

    @property
    def tracking_lost(self) -> bool:
        """Whether the experiment store lacks what the last run had to tell."""
        return any(self._hook_manager.hook.tracking_lost())
