"""Sources like registered ones, with some facts of the tests' own."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from optiproxy_nas.benchmarks import Source


def changed(source: Source, **values: Any) -> Source:
    """Return the source with other fields: its own, or of its family, publication or contents."""
    for part in ("family", "publication", "contents"):
        inner = getattr(source, part)
        theirs = {f.name: values.pop(f.name) for f in fields(inner) if f.name in values}
        if theirs:
            source = replace(source, **{part: replace(inner, **theirs)})
    return replace(source, **values)
