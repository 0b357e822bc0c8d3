"""Digests of tables that ingest makes of published files whose own digests are pinned.

A table that was edited together with its card and its digest file is found by them. They follow
from the files and the readers: a test compares them with what ingest makes.
"""

from __future__ import annotations

from pathlib import Path

from optiproxy_nas.benchmarks.loading import load_files, read_rows
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.tidy_table import check_table, table_digest

# Source -> SHA-256 of columns and values (``table_digest``).
SHIPPED = {
    "embedded": "f0e6926efa4ab4591b92ab966ba716b6b46c96bb0d62d95ca11d6c0a13647348",
    "v1_0": "faf03b1b14699ff37131eb749b0fa4a929e70d49681915766b8ce9e19c8cbbf8",
    "hw_nas_bench": "360087299b51080f739db150d097e76d3f79a0401fa6dec30d92c6e9b54a0102",
    "v1_0+hw_nas_bench": "449fda4527a87e18d0be248837cab5f24261ec13456be8cae0a0d1c4b400868a",
    "nb101_table": "8f7390662a50b635716c9b41c3ef7c528f07054fd15c2eb8d6ac9e8f368f8df0",
    "fcnet": "da225320f023e8c837a60dbb1d77208673286c53935820599cf06c7e2d66b4d9",
    "hpobench": "c30784316a75a65dbf8a2f6fdd98687052c683a65e07dc165d88846c04ce7f88",
}


def published_digest(source: str, raw_directory: Path) -> str:
    """Return the digest of a source's table: the shipped one, else by reading its files again.

    Raises:
        DataError: no digest is shipped, and a file is missing or not what it should be.
    """
    if source in SHIPPED:
        return SHIPPED[source]
    found = get_source(source)
    rows = read_rows(load_files(found, None, raw_directory), found)
    return table_digest(check_table(rows, found))
