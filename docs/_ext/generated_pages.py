"""Pages that a build of the site writes: the parameters from their models, and the notebooks.

They are written into ``docs/generated``, which git ignores.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.fields import described, fields_of
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.methods import METHODS
from optiproxy_nas.objectives import OBJECTIVES
from optiproxy_nas.pipelines.parameter_fields import BRACKETS, LOOKING, SYMBOLS
from optiproxy_nas.pipelines.run_parameters import ProblemRunSettings
from optiproxy_nas.presets import DEFAULT, load_preset, preset_names

NOTEBOOKS = ("search", "own_problem", "digits_cells", "compare")


def setup(app: Sphinx) -> dict[str, Any]:
    """Let each build begin with these pages."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-skip-member", is_plain_field)
    for part in ("options", "description"):
        app.connect(f"sphinx-click-process-{part}", without_emphasis)
    return {"parallel_read_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write the pages anew; those that are the same keep their time, so that little is rebuilt."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    _write(folder / "parameters.md", parameters_page())
    for name in NOTEBOOKS:
        source = Path(app.srcdir).parent / "notebooks" / f"{name}.ipynb"
        text = source.read_text(encoding="utf-8").replace("](../docs/", "](../")
        _write(folder / f"{name}.ipynb", text)
    shutil.rmtree(folder / ".ipynb_checkpoints", ignore_errors=True)


def is_plain_field(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out a field of a named tuple, which the docstring of the class describes."""
    return True if type(member).__name__ == "_tuplegetter" else None


def without_emphasis(app: Sphinx, context: Any, lines: list[str]) -> None:
    """Keep asterisks in the help of a command, such as that of ``*_methods``."""
    lines[:] = [line.replace("*_", "\\*_") for line in lines]


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def parameters_page() -> str:
    """Return the tables of all parameters: of searches, presets, methods, objectives."""
    objective = fields_of(SearchParameters)
    run = fields_of(ProblemRunSettings)
    own = {name: field for name, field in objective.items() if name not in fields_of(RunParameters)}
    symbols = [[it.text, it.meaning, f"`{it.parameter}`"] for it in SYMBOLS]
    parts = [
        "## Symbols of the paper",
        f"They stand in the tables below. {BRACKETS}",
        _lines(["symbol", "meaning", "parameter"], symbols),
        "## Of every search",
        _table(fields_of(RunParameters)),
        "## Of a run under Kedro",
        "Those of `evaluation`, `workers` and `export` are of trainings, not of tables.",
        _table(run),
        "## Of OptiProxy-NAS, by preset",
        "The value in `default`, and in which other presets it differs.",
        _preset_table(own),
        "## Of the other methods",
        *_each(METHODS, lambda it: fields_of(it.Settings, "settings.") if _has(it) else {}),
        "## Of the objectives",
        *_each(OBJECTIVES, lambda it: fields_of(it, "objective.")),
        "## Of pipelines that look at runs or bring data",
        *(f"### `{name}`\n\n{_table(fields_of(model))}" for name, model in LOOKING.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _has(method: Any) -> bool:
    return getattr(method, "Settings", None) is not None and bool(method.Settings.model_fields)


def _each(registry: Any, fields: Any) -> Iterable[str]:
    for name in registry:
        found = fields(registry.load(name))
        if found:
            yield f"### `{name}`\n\n{_table(found)}"


def _preset_table(fields: Mapping[str, FieldInfo]) -> str:
    presets = {name: flatten(load_preset(name)) for name in preset_names()}
    rows = []
    for name, field in fields.items():
        if name in ("method", "preset"):
            continue
        usual = presets[DEFAULT].get(name, field.get_default() if not field.is_required() else None)
        others: dict[str, list[str]] = {}
        for preset, values in presets.items():
            if preset != DEFAULT and values.get(name, usual) != usual:
                others.setdefault(_text(values[name]), []).append(preset)
        texts = [f"{value} in {', '.join(names)}" for value, names in others.items()]
        rows.append([f"`{name}`", _text(usual), _cell(described(field)), "; ".join(texts)])
    return _lines(["parameter", "default", "what it is", "other presets"], rows)


def _table(fields: Mapping[str, FieldInfo]) -> str:
    rows = [
        [
            f"`{name}`",
            "needed"
            if field.is_required()
            else _text(field.get_default(call_default_factory=True)),
            _cell(described(field)),
        ]
        for name, field in fields.items()
    ]
    return _lines(["parameter", "default", "what it is"], rows)


def _lines(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "null" if value is None else _cell(str(value))


def _cell(text: str) -> str:
    for character in "|<*":
        text = text.replace(character, f"\\{character}")
    return text
