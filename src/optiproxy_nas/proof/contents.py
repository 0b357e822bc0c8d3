"""What a crate is made of: its files, the steps of the run, and what its author states."""

from __future__ import annotations

from typing import NamedTuple

from optiproxy_nas.core.errors import ParameterError

LONGEST = 1000  # letters of what an author states
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

    def check(self) -> None:
        """Refuse what is no line of text.

        Raises:
            ParameterError: which, and what it must be.
        """
        for name, value in zip(self._fields, self, strict=True):
            is_line = isinstance(value, str) and value.isprintable() and 0 < len(value) <= LONGEST
            if value is not None and not is_line:
                raise ParameterError(
                    f"{name} = {value!r:.200}: a line of text is needed, of at most {LONGEST} "
                    "letters, none of which controls or turns what is shown.",
                    name=name,
                )
