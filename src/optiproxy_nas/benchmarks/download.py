"""A downloader for pooch that goes on where an earlier attempt was cut off.

pooch checks the digest and renames the finished file into place; what it does not do is keep the
part that has arrived when a connection breaks. This does, in ``<file>.part``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import requests
import urllib3
from tqdm import tqdm

_TIMEOUT_SECONDS = 10
_CHUNK = 2**16


class ResumingDownloader:
    """A callable for ``pooch.Pooch.fetch(..., downloader=...)``.

    Args:
        part: where the unfinished download is kept between attempts.
    """

    def __init__(self, part: Path) -> None:
        self._part = part

    def __call__(self, url: str, output_file: str | os.PathLike[str], _: Any) -> None:
        """Download ``url`` to ``output_file``, asking only for the bytes that are missing.

        Raises:
            OSError: the server cannot be reached, refuses, or breaks off (requests' errors are
                OSErrors); what has arrived is kept.
        """
        have = self._part.stat().st_size if self._part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self._part.unlink()  # longer than the file: it is of another one
                raise requests.ConnectionError(f"{url} is shorter than the part we had")
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            expected = int(answer.headers.get("Content-Length", 0))
            name = Path(self._part.name).stem
            with (
                self._part.open("ab" if resumed else "wb") as file,
                tqdm(total=expected or None, unit="B", unit_scale=True, desc=name) as bar,
            ):
                try:
                    # read1 hands over what has come; requests' own iterator drops a part chunk.
                    while chunk := answer.raw.read1(_CHUNK):
                        file.write(chunk)
                        bar.update(len(chunk))
                except urllib3.exceptions.HTTPError as error:
                    raise requests.ConnectionError(f"broken off: {error}") from error
                if bar.n < expected:
                    raise requests.ConnectionError(f"broken off after {bar.n} of {expected} bytes")
        os.replace(self._part, output_file)
