"""How a manifest is laid out: a file that others may have written is read only where it is so.

Entries may be missing, as in manifests of earlier versions, but for those that all have.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import PureWindowsPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _inside(path: str) -> str:
    """Return a path that stays in the folder that it begins in, on any operating system."""
    pure = PureWindowsPath(path)
    if not pure.parts or pure.anchor or ".." in pure.parts or not path.isprintable():
        raise ValueError("it leaves its folder, or cannot be printed")
    return path


def _name(text: str) -> str:
    """Return a text that can name one folder."""
    if PureWindowsPath(_inside(text)).name != text:
        raise ValueError("it is more than a name")
    return text


def _time(text: str) -> str:
    """Return a time that says of which zone it is."""
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it has no zone")
    return text


class _Artifact(BaseModel):
    path: Annotated[str, AfterValidator(_inside)]
    sha256: _Sha256


class _Code(BaseModel):
    modules: dict[str, str] | None = None
    plugins: dict[str, str] | None = None


class _Layout(BaseModel):
    """The entries of a manifest that others read; see ``manifest.new_manifest``."""

    model_config = ConfigDict(extra="allow")

    run_id: Annotated[str, AfterValidator(_name)]
    pipeline: str
    status: str
    parameters: dict[str, Any]
    artifacts: dict[str, _Artifact]
    data: dict[str, Any]
    created: Annotated[str, AfterValidator(_time)] | None = None
    closed: Annotated[str, AfterValidator(_time)] | None = None
    result: dict[str, Any] | None = None
    tracking: bool = False
    mlflow_run_id: Annotated[str, AfterValidator(_name)] | None = None
    mlflow_owed: bool = False
    code: _Code = _Code()
    libraries: dict[str, str | None] = {}
    git: dict[str, Any] | None = None
    environment: dict[str, Any] = {}
    evaluation: dict[str, Any] | None = None
    seconds: dict[str, _Seconds] = {}
    node_seconds: dict[str, _Seconds] = {}
    node_cpu_seconds: dict[str, _Seconds] = {}
    wall_seconds: _Seconds = 0.0


def wrong_entries(manifest: Any) -> list[str]:
    """Return the names of entries that are not as a run writes them; [] where all are.

    Args:
        manifest: a value of JSON, which may be of any kind.
    """
    try:
        _Layout.model_validate(manifest, strict=True)
    except ValidationError as error:
        return sorted({str(it["loc"][0]) if it["loc"] else "all of it" for it in error.errors()})
    return []
