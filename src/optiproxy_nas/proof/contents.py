"""What a crate is made of: its files, the steps of the run, and what its author states."""

from __future__ import annotations

from typing import NamedTuple

NO_LICENCE = "No licence is stated; ask the author of the run."


class Step(NamedTuple):
    """A node of the pipeline: the function that it calls, and the names of its datasets."""

    name: str
    tool: str  # module:function
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class CrateFile(NamedTuple):
    """A file of the crate."""

    path: str  # in the crate, with "/"
    sha256: str
    size: int  # bytes
    name: str  # of the artifact, else what it is
    description: str = ""


class Statement(NamedTuple):
    """What the author says of a crate, beside the run itself."""

    license: str = NO_LICENCE
    author: str | None = None
