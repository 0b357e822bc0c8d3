"""The project's config loader, context and session.

The loader resolves parameters: presets, types and run-scoped paths.

``--params`` are flat (``dataset=cifar100,proxy.hidden=128``) and override the section of the
pipeline that runs (conf/base/parameters_<pipeline>.yml), which overrides the preset. What the files
leave out of a section follows from the pipeline (``ProjectPipeline.section``). What the nodes see
is the result, checked by the pipeline's kind (``KINDS``); catalog paths may hold ``${run:run_id}``,
``${run:benchmark}`` and ``${run:source}``.

In a project of a user the files of our ``conf/base``, which come with the package, apply unless the
project has one of the same name. They, and all that is done here, are for the pipelines of this
package; those of the user get their parameters and their catalog as Kedro alone gives them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework import project
from kedro.framework.context import KedroContext
from kedro.framework.hooks.markers import hook_spec
from kedro.framework.project import configure_logging, pipelines
from kedro.framework.session import KedroSession
from kedro.utils import find_config_file
from omegaconf import OmegaConf
from pluggy import PluginManager

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.evaluation.interrupts import interrupts_held
from optiproxy_nas.execution.registry import with_short_forms
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.methods.optiproxy import OptiProxy
from optiproxy_nas.objectives import name_of
from optiproxy_nas.pipelines import asynchronous, compare, diagnose, ingest, methods, search
from optiproxy_nas.pipelines.own_problem import catalog_names
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline, check_hooks, registered
from optiproxy_nas.pipelines.run_parameters import (
    GIVEN,
    ProblemRunSettings,
    giving_way,
    named_problem,
    resolve_run,
    split_run,
)
from optiproxy_nas.runs.run_names import CONF

DRAWN_STEPS = 2  # of a search in Kedro-Viz: the loop is seen, and legible
PACKAGE = Path(__file__).parents[1]
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


class SearchConfigLoader(OmegaConfigLoader):
    """OmegaConfigLoader whose ``parameters`` are resolved against presets and types."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        resolvers = {**(kwargs.pop("custom_resolvers", None) or {}), "run": self._run_value}
        super().__init__(*args, custom_resolvers=resolvers, **kwargs)
        self._resolved: dict[str, Any] | None = None
        self._run: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the configuration of a kind; ``parameters`` are resolved and checked once."""
        if key == "parameters":
            if self._resolved is None:
                self._resolved = self._resolve()
            return self._resolved
        # Kedro registers a resolver only if its name is new: without this, a second session in
        # one process would write to the first one's paths.
        OmegaConf.register_new_resolver("run", self._run_value, replace=True)
        if key == "catalog" and self.run is not None:
            return {**self._files(key), **self._files_of_package(key)}
        return super().__getitem__(key)

    @property
    def run(self) -> dict[str, Any] | None:
        """Parameters of the run itself; None where a pipeline of the user's is run."""
        self["parameters"]
        return self._run

    def raw_parameters(self) -> dict[str, Any]:
        """Return parameter files and runtime parameters, merged, without presets and checks."""
        found, files = registered(), self._files("parameters")
        if not _is_ours():  # the user may mean other things by our names
            given = self.runtime_params or {}
            files = {k: v for k, v in files.items() if k in found} | given
        sections: dict[str, Any] = {name: pipeline.section for name, pipeline in found.items()}
        of_package = self._files_of_package("parameters")
        # A section of ours names our example; a user's pipeline may name another problem.
        fitting = {n: s for n, s in of_package.items() if "problem" not in sections.get(n, {})}
        sections = merge(sections, {k: v for k, v in fitting.items() if k in found})
        kinds = {name: pipeline.kind for name, pipeline in found.items()}
        return {**merge(sections, files), "pipelines": kinds}

    def _resolve(self) -> dict[str, Any]:
        raw = self.raw_parameters()
        name = raw.get("pipeline")
        if name not in raw["pipelines"] and (name is None or name in pipelines):
            return self._files_of_user()
        resolved = resolve_parameters(raw)
        self._run = resolved["run"]
        return resolved if _is_ours() else {**self._files_of_user(), **resolved}

    def _files_of_user(self) -> dict[str, Any]:
        """Return the parameters as Kedro alone reads them: a name in conf/local replaces another.

        (In sections of ours it changes what it names, by the merge strategy of the settings.)
        """
        if _is_ours():
            return self._files("parameters")
        strategy, self.merge_strategy = self.merge_strategy, {}
        try:
            return self._files("parameters")
        finally:
            self.merge_strategy = strategy

    def _files(self, key: str) -> dict[str, Any]:
        """Return what the files of the project hold, and the runtime parameters."""
        try:
            files: dict[str, Any] = super().__getitem__(key)
        except MissingConfigException:
            return dict(self.runtime_params or {}) if key == "parameters" else {}
        return files

    def _files_of_package(self, key: str) -> dict[str, Any]:
        """Return what the files of the package hold that the project has none of the name of."""
        folder = Path(self.conf_source) / self.base_env
        paths = [path for path in CONF.glob(f"{key}_*.yml") if not (folder / path.name).exists()]
        if not paths:
            return {}
        merged = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, paths)), resolve=True)
        assert isinstance(merged, dict)
        return {str(k): v for k, v in merged.items() if not str(k).startswith("_")}

    def _run_value(self, name: str) -> Any:
        return (self.run or {}).get(name)


def run_of(context: KedroContext) -> dict[str, Any] | None:
    """Return the parameters of the run itself; None where a pipeline of the user's is run."""
    assert isinstance(context.config_loader, SearchConfigLoader)
    return context.config_loader.run


def _is_ours() -> bool:
    """Return whether the project is our own repository, all of whose parameters are ours."""
    return project.PACKAGE_NAME == PACKAGE.name  # noqa: SIM300


def resolve_parameters(raw: dict[str, Any], also: Iterable[str] = GIVEN) -> dict[str, Any]:
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
    if flat.get("pipeline") not in kinds:
        raise unknown_name("pipeline", flat.get("pipeline"), kinds)
    section = with_short_forms(sections[flat["pipeline"]], of_files=True)
    flat = with_short_forms(flat)
    of_run = {key: section.pop(key) for key in ProblemRunSettings.model_fields if key in section}
    run = split_run(flat := merge(of_run, flat))
    run["kind"] = kinds[run["pipeline"]]
    if isinstance(flat.get("problem"), Mapping) and "name" not in flat["problem"]:
        flat["problem"] = {**named_problem(section.get("problem")), **flat["problem"]}
    values = merge(giving_way(section, flat), flat)
    try:
        return {"run": run, **KINDS[run["kind"]](values, run, also)}
    except ParameterError as error:
        owners = set(error.data.get("owners", {}).values())
        fitting = [n for n, s in sections.items() if name_of(s.get("objective")) in owners]
        if not fitting or run["pipeline"] in fitting:
            raise
        hint = f"Pipeline {', '.join(fitting)} has that objective."
        raise type(error)(f"{error.message} {hint}", **error.data) from None


class SearchContext(KedroContext):
    """A context that puts the pipeline of its parameters into Kedro's registry.

    A search has as many steps, and figures, as its parameters say. Not in a hook, since Kedro-Viz
    makes a context and runs no hooks; what it draws has few steps, unless it is told to include
    hooks (``kedro viz run --include-hooks``): it refuses to draw a hundred.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        parameters, run = self.config_loader["parameters"], run_of(self)
        if run is None or run["kind"] not in ("search", "methods"):
            return
        typed, datasets = parameters_of(parameters["search"]), None
        has_prior = isinstance(typed, SearchParameters) and bool(typed.prior)
        if typed.problem is not None:
            datasets = catalog_names(typed.problem, self.config_loader["catalog"])
        if run["kind"] == "search":
            assert isinstance(typed, SearchParameters)
            export = bool(run["export"])
            if datasets is not None and run["evaluation"]["asynchronous"]:
                pipeline = asynchronous.pipeline_of(typed, datasets, export)
            else:
                steps = None if self._has_plugins else DRAWN_STEPS
                pipeline = search.pipeline_of(typed, datasets, export, steps)
        elif datasets is not None or has_prior:
            export, confirms = bool(run["export"]), bool(typed.confirm)
            pipeline = methods.create_pipeline(datasets, export, confirms, has_prior)
        else:
            return
        pipeline = pipeline.with_section(pipelines[run["pipeline"]].section)
        pipelines[run["pipeline"]] = pipeline
        if isinstance(pipelines.get("__default__"), ProjectPipeline):
            pipelines["__default__"] = pipeline

    @property
    def _has_plugins(self) -> bool:
        """Whether hooks can be called, as of any context that runs something."""
        return isinstance(self._hook_manager, PluginManager)


def _log_as_in(project: Path) -> None:
    """Configure logging by a project's file where Kedro, run in a folder of it, has seen none."""
    if os.environ.get("KEDRO_LOGGING_CONFIG") or find_config_file("conf/logging") is not None:
        return
    if (path := find_config_file(str(project / "conf" / "logging"))) is not None:
        configure_logging(yaml.safe_load(path.read_text(encoding="utf-8")))


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
        _log_as_in(Path(self._project_path))

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline as :meth:`KedroSession.run` does.

        Its name is among the runtime parameters, so that the parameters are those of it.
        """
        names = kwargs.get("pipeline_names") or []
        check_hooks(self._hook_manager.hook.tracking_lost.get_hookimpls())
        if len(names) == 1 and names[0] in registered():
            # Kedro would register anew, and ``find_pipelines`` refuses a name that is no module.
            pipelines._requested_pipelines = list(names)
            given = self._store.get("runtime_params") or {}
            self._store["runtime_params"] = {"pipeline": names[0], **given}
        try:
            outputs: dict[str, Any] = super().run(*args, **kwargs)
        except KeyboardInterrupt as error:
            with interrupts_held():
                self._hook_manager.hook.on_run_interrupted(error=error)
            raise
        return outputs

    @property
    def tracking_lost(self) -> bool:
        """Whether the experiment store lacks what the last run had to tell."""
        return any(self._hook_manager.hook.tracking_lost())
