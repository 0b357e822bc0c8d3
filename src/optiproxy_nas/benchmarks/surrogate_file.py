"""Storage of a fitted surrogate: one zip file of JSON, arrays and texts; no pickle, no dates."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from optiproxy_nas.core.bounded_files import LIMITS
from optiproxy_nas.core.errors import DataError


def pack(head: dict[str, Any], arrays: dict[str, Any], texts: dict[str, str]) -> bytes:
    """Return a zip file whose bytes depend on the content only."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, data: bytes) -> None:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)

        add("surrogate.json", json.dumps(head, sort_keys=True).encode())
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            add(f"{name}.npy", buffer.getvalue())
        for name, text in texts.items():
            add(f"{name}.txt", text.encode())
    return content.getvalue()


def unpack(model: bytes) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Return head, arrays and texts, as they were packed.

    Raises:
        DataError: the model is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            if sum(part.file_size for part in archive.infolist()) > LIMITS.size:
                raise ValueError(f"it holds more than {LIMITS.size} bytes")
            head = json.loads(archive.read("surrogate.json"))
            arrays, texts = {}, {}
            for name in archive.namelist():
                stem = name.rpartition(".")[0]
                if name.endswith(".npy"):
                    arrays[stem] = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                elif name.endswith(".txt"):
                    texts[stem] = archive.read(name).decode()
    except Exception as error:  # a damaged zip file can raise almost anything
        raise damaged(error) from error
    return head, arrays, texts


def stored_facts(model: bytes) -> dict[str, Any]:
    """Return what was measured of a surrogate when it was fitted, without loading its trees.

    Raises:
        DataError: the model is damaged.
    """
    facts: dict[str, Any] = unpack(model)[0]["facts"]
    return facts


def damaged(error: Exception) -> DataError:
    """Return the error for a model that cannot be read."""
    return DataError(
        f"The surrogate's model is damaged ({type(error).__name__}: {error}). Remove it and "
        "ingest its source again: kedro run --pipeline=ingest --params=source=<source>."
    )
