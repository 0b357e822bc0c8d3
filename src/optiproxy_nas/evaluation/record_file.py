"""The file of a search's record: a zip archive of JSON, parquet and safetensors; no pickle."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired

import pandas as pd
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from typing_extensions import TypedDict  # pydantic's need before Python 3.12

from optiproxy_nas.algorithm.archive import check_archive
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.bounded_files import read_parquet, refuse_endless
from optiproxy_nas.core.errors import DataError, OptiProxyError, first_line
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.evaluation.trials import Asked, Event, Trial
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.spaces import get_space

FORMAT = 1  # of saved files
_TABLES = ("archive", "proposals", "diagnostics")
_CONFIRMATIONS = "confirmations"  # a table that is there only where it has rows
_OF_CONFIRMATIONS = (
    "number",
    "attempt",
    "architecture",
    "seed",
    "repeat",
    "folder",
    "error",
    "value",
)
_TENSORS = ("weights", "logits")
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,  # of zip files that are encrypted, or of another version; recursion
    zlib.error,
    zipfile.BadZipFile,
    SafetensorError,
)
# Texts that name no module, or one that is not imported in reading them.
_HARMLESS = re.compile(
    r"(benchmark|dataset|problem|space\.name|space\.choices)(\.| = )|space\.constraint = local:"
)


class _Wanted(TypedDict):
    """The method was asked for so many proposals."""

    wanted: int


class _Saved(TypedDict):
    """What ``record.json`` of a saved record holds, beside its format."""

    parameters: dict[str, Any]
    target: str
    caution: str
    optimum: float | None
    stopped: str
    trials: tuple[Trial, ...]
    events: NotRequired[tuple[int | _Wanted | None, ...]]  # None: as many as the method likes
    test: NotRequired[dict[str, float]]


_SAVED = TypeAdapter(_Saved)


def write_record(path: Path, fields: Mapping[str, Any]) -> Path:
    """Write the fields of a record to one file; it replaces another of its name, whole or not.

    Raises:
        DataError: it cannot be written there.
    """
    facts = {
        "format": FORMAT,
        "parameters": fields["parameters"].model_dump(mode="json"),
        "target": fields["target"],
        "caution": fields["caution"],
        "optimum": fields["optimum"],
        "stopped": fields["stopped"],
        "trials": [asdict(trial) for trial in fields["trials"]],
        "events": [
            event if isinstance(event, int) else event._asdict() if event.wanted else None
            for event in fields["events"]
        ],
        "test": dict(fields["test"]),
    }
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        partial = Path(name)
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("record.json", json.dumps(facts, indent=1))
            confirmed = not fields[_CONFIRMATIONS].empty
            for name in (*_TABLES, *[_CONFIRMATIONS] * confirmed):
                archive.writestr(f"{name}.parquet", fields[name].to_parquet())
            archive.writestr("tensors.safetensors", save_tensors(dict(_tensors(fields))))
        os.replace(partial, path)
    except (OSError, ValueError) as error:  # ValueError: no path, as with a NUL in it
        raise DataError(
            f"The result cannot be saved as {str(path)!r:.200}: {first_line(error)}.",
            path=str(path),
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return path


def read_record(path: Path, trusted: bool | Collection[str] = False) -> dict[str, Any]:
    """Return the fields of the record in a file.

    Args:
        path: of the file.
        trusted: whether plug-ins that it names as ``package.module:Class`` may be imported; or
            which.

    Raises:
        DataError: it is no such file, or is damaged; or it names plug-ins, and is not trusted.
    """
    try:
        refuse_endless(path)
        if path.is_file() and not zipfile.is_zipfile(path):
            raise DataError(
                f"{str(path)!r} is not the saved result of a search, as result.save(path) writes "
                f"it, or is {'damaged' if path.stat().st_size else 'empty'}. Trials for initial "
                "and prior are read from such a result, from a journal, and from tables that end "
                "in .csv, .json or .parquet.",
                path=str(path),
            )
        with zipfile.ZipFile(path) as archive:
            _refuse_compressed(archive)
            facts = json.loads(archive.read("record.json"))
            there = f"{_CONFIRMATIONS}.parquet" in archive.namelist()
            tables: dict[str, Any] = {
                name: read_parquet(archive.read(f"{name}.parquet"))
                for name in (*_TABLES, *[_CONFIRMATIONS] * there)
            }
            tensors = load_tensors(archive.read("tensors.safetensors"))
        if facts["format"] != FORMAT:
            raise DataError(f"{str(path)!r} is of format {facts['format']}, not {FORMAT}.")
        if trusted is not True:
            _refuse_plug_ins(path, facts["parameters"], trusted or ())
        saved = _SAVED.validate_python(facts)
        parameters = parameters_of(saved["parameters"])
        check_archive(get_space(parameters.space), tables["archive"], parameters.objective)
        if there and (lacking := set(_OF_CONFIRMATIONS) - set(tables[_CONFIRMATIONS])):
            raise ValueError(f"its confirmations lack {', '.join(sorted(lacking))}")
        events = tuple(
            event if isinstance(event, int) else Asked(event["wanted"] if event else 0)
            for event in saved.get("events", ())
        )
        _check_trials(saved["trials"], tables["archive"], events)
        return {
            **saved,
            "events": events,
            "parameters": parameters,
            **tables,
            **_nested(tensors),
        }
    except _UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
    except OptiProxyError as error:
        if isinstance(error, DataError):
            raise
        reason = error.message
    raise DataError(
        f"{str(path)!r} is not the saved result of a search, or is damaged: {reason}",
        path=str(path),
    )


def _tensors(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the tensors of a record by their place in the file."""
    for name in _TENSORS:
        for key, tensor in fields[name].items():
            yield f"{name}/{key}", tensor.contiguous()
    for step, trace in fields["traces"].items():
        for key, tensor in trace.items():
            yield f"traces/{step}/{key}", tensor.contiguous()


def _nested(tensors: Tensors) -> dict[str, Any]:
    """Return the tensors of a saved record by field."""
    found: dict[str, Any] = {name: {} for name in (*_TENSORS, "traces")}
    for path, tensor in tensors.items():
        name, _, key = path.partition("/")
        if name == "traces":
            step, _, key = key.partition("/")
            found["traces"].setdefault(int(step), {})[key] = tensor
        else:
            found[name][key] = tensor
    return found


def _refuse_compressed(archive: zipfile.ZipFile) -> None:
    """Refuse files whose parts are larger than the file, as :meth:`SearchRecord.save` makes none.

    Raises:
        BadZipFile: a part is compressed: a small file could fill the memory.
    """
    for part in archive.infolist():
        if part.compress_type != zipfile.ZIP_STORED or part.file_size > part.compress_size:
            raise zipfile.BadZipFile(f"its part {part.filename!r} is compressed")


def _check_trials(trials: Sequence[Trial], archive: pd.DataFrame, events: Sequence[Event]) -> None:
    """Check that the complete trials are the rows of an archive, and that the events are of trials.

    Raises:
        ValueError: they are not.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    rows = sorted((trial.order, trial.text, trial.value) for trial in complete)
    archived = zip(range(len(archive)), archive["architecture"], archive["value"], strict=True)
    if rows != list(archived) or [trial.number for trial in trials] != list(range(len(trials))):
        raise ValueError("its trials are not those of its archive")
    over = [event for event in events if isinstance(event, int)]
    charged = {t.number for t in trials if t.charged and t.state in ("complete", "failed")}
    if over and (len(over) != len(charged) or set(over) != charged):
        raise ValueError("its events are not those of its trials")


def plug_ins_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what parameters name that reading them imports, by the parameter's name.

    A problem is not among it: it is not imported to read its record. Whatever stands before a colon
    is imported, so what stands behind it does not matter.
    """
    return {
        name: value
        for name, value in flatten(parameters).items()
        if isinstance(value, str) and ":" in value and not _HARMLESS.match(f"{name} = {value}")
    }


def _refuse_plug_ins(path: Path, parameters: Mapping[str, Any], trusted: Collection[str]) -> None:
    """Refuse parameters that name modules: reading them would import these."""
    found = plug_ins_of(parameters).items()
    if named := [f"{name} = {value}" for name, value in found if value not in trusted]:
        raise DataError(
            f"{str(path)!r} names plug-ins, which would be imported ({'; '.join(named)}). If you "
            "trust the file, load(path, trusted=True).",
            plug_ins=named,
        )
