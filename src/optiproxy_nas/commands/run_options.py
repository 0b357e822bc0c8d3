"""The options of ``kedro run``: ``--params`` as this project reads it, ``--resume``, the help."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.fields import read_value
from optiproxy_nas.core.mappings import nested
from optiproxy_nas.pipelines.parameter_fields import names_of_texts

# What kedro run --help tells of; kedro parameters lists all.
IMPORTANT = {
    "dataset": "cifar10, cifar100, imagenet16-120; ptb of nlp_*",
    "source": "of the benchmark's values: embedded, v1_0, ...",
    "preset": "what all settings start from: default, paper, large, ...",
    "budget": "queries in all, the random initial sample included",
    "seed": "another one is another search",
    "method": "of the pipelines *_methods: optiproxy, tpe, ...",
    "objective.constraints": "of hw_search, own_search: latency_ms <= 12",
    "problem": "of own_search: mnist1d, digits_cells, or yours: package.module:Class",
    "workers": "of own_search: trials at a time; a free worker begins the next at once",
    "tracking": "on or off: whether MLflow is told of it",
    "run_id": "name of the run and of its folders",
}
COMMAS = (
    "Commas separate parameters; a list is written with semicolons: "
    '--params="objective.constraints=latency_ms <= 12; parameters_millions <= 0.5".'
)


def read_parameters(given: Mapping[str, Any] | Iterable[str]) -> dict[str, Any]:
    """Return the values of ``--params``, nested; those of text parameters stay text.

    Args:
        given: what each ``--params`` says, ``"dataset=cifar100,proxy.hidden=128"``; or the
            mapping that Kedro reads from the file of ``--config``.

    Raises:
        ParameterError: an item is not NAME=VALUE, or a name is given twice.
    """
    if isinstance(given, Mapping):
        return dict(given)
    texts: dict[str, str] = {}
    for item in filter(None, (item.strip() for text in given for item in _items(text))):
        name, equals, text = (part.strip() for part in item.partition("="))
        if not equals or not name or "<" in name or ">" in name:
            raise ParameterError(
                f"{item!r} in --params is not NAME=VALUE: {name!r} is no parameter's name. "
                f"{COMMAS}",
                item=item,
            )
        if name in texts:
            raise ParameterError(
                f"{name!r} is given twice in --params, {texts[name]!r} and {text!r}: give one of "
                f"the two. {COMMAS}",
                name=name,
                values=[texts[name], text],
            )
        texts[name] = text
    are_text = names_of_texts({name: [text] for name, text in texts.items()})
    return nested({name: read_value(text, name in are_text) for name, text in texts.items()})


def _items(text: str) -> list[str]:
    """Return what commas separate, but for those within brackets: ``rungs=[3,9,27]``."""
    return re.split(r",(?![^\[\]]*\])", text)


def read_as_kedro(given: Mapping[str, Any] | Iterable[str]) -> Any:
    """Return the values of ``--params`` for pipelines that are not of this package."""
    if isinstance(given, Mapping):
        return given
    (option,) = (param for param in kedro_run.params if param.name == "params")
    return option.callback(click.get_current_context(), option, ",".join(given))  # type: ignore[misc]


class _Params(click.Option):
    """``--params``, which may be given several times: none of them is dropped."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the texts, or the mapping of a ``--config`` file."""
        return value if isinstance(value, Mapping) else super().type_cast_value(ctx, value)


def run_help() -> str:
    """Return the help of ``kedro run``, with a line on each important parameter."""
    example = "kedro run --pipeline=nb201_search --params=dataset=cifar100,seed=3"
    what = "Parameters are given by --params, and checked before anything runs. The most used ones:"
    lines = "\n".join(f"{name:23}{line}" for name, line in IMPORTANT.items())
    more = (
        "All of a pipeline, with values and defaults:\n"
        "kedro parameters --pipeline=NAME --preset=NAME"
    )
    title = "Run a pipeline: a search and its report, a comparison, an ingest."
    return "\n\n".join([title, f"\b\n{example}", what, f"\b\n{lines}", f"\b\n{more}"])


def run_options() -> list[click.Parameter]:
    """Return Kedro's options with ``--params`` in our way of reading, and those that are ours."""
    params = _Params(
        ["--params"],
        multiple=True,
        metavar="NAME=VALUE,...",
        help="Parameters: dataset=cifar100,proxy.hidden=128.",
    )
    resume = click.Option(
        ["--resume"],
        metavar="RUN_ID",
        help="Go on with an unfinished run, to the same result as an uninterrupted one.",
    )
    quiet = click.Option(
        ["--quiet", "-q"], is_flag=True, help="Show no progress and no summary; errors are shown."
    )
    as_json = click.Option(
        ["--json", "as_json"],
        is_flag=True,
        help="Print the summary as JSON on standard output, and nothing else there.",
    )
    ours = {"params": params, "config": _config()}
    return [*(ours.get(str(p.name), p) for p in kedro_run.params), resume, quiet, as_json]


def _config() -> click.Parameter:
    """Return Kedro's ``--config``, which would wait for a pipe without end."""
    option = copy(next(p for p in kedro_run.params if p.name == "config"))
    option.type = _RegularFile(exists=True, dir_okay=False, resolve_path=True)
    return option


class _RegularFile(click.Path):
    """A file that has an end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of the file."""
        path = super().convert(value, param, ctx)
        if not Path(str(path)).is_file():
            self.fail(f"{str(path)!r} is no regular file.", param, ctx)
        return path
