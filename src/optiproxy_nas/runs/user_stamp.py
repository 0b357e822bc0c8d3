"""Whether a manifest's places of training were set by this user, or came with a stranger's run.

Where an asynchronous run goes on, and where trials are trained again, a manifest says on which
scheduler, and after which lines of shell. A stamp in it, made with a secret of the user's cache
folder, tells what this user set; no one else can make it.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pooch

PLACES = ("executor", "scheduler", "slurm")  # entries of an evaluation: where trials are trained
STAMP = "evaluation_stamp"  # entry of a manifest


def stamp_of(run_id: str, evaluation: Mapping[str, Any]) -> str:
    """Return the stamp of a run that this user begins; "" where no secret can be kept."""
    secret = _secret()
    if not secret:
        return ""
    places = json.dumps([run_id, *(evaluation.get(name) for name in PLACES)], sort_keys=True)
    return hmac.new(secret, places.encode(), "sha256").hexdigest()


def is_of_this_user(manifest: Mapping[str, Any]) -> bool:
    """Return whether trials are trained where this user set it, or in processes of this machine."""
    evaluation = manifest.get("evaluation") or {}
    if not (evaluation.get("scheduler") or evaluation.get("slurm")):
        return True
    stamp = stamp_of(manifest["run_id"], evaluation)
    return bool(stamp) and hmac.compare_digest(stamp, str(manifest.get(STAMP)))


def _secret() -> bytes:
    """Return the user's secret, which is made when it is needed first; b"" where it cannot be."""
    path = Path(pooch.os_cache("optiproxy_nas")) / "stamp.key"
    with suppress(OSError):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):
                os.link(fresh, path)  # of two processes, the first
            fresh.unlink()
        return path.read_bytes()
    return b""
