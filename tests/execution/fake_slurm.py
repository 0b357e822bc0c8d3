"""A SLURM of one machine, as far as the executor sees it: small scripts in a folder of their own.

``sbatch`` runs a job as local processes; the class tells what becomes of them.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from waiting import wait_until

COMMANDS = {
    "sbatch": """
echo sbatch >> calls
[ -z "$SLURM_JOB_ID" ] || { echo 'sbatch: error: it is as the job that it is in' >&2; exit 1; }
[ -e refuses ] && { cat refuses >&2; exit 1; }
full=$(cat limit 2> /dev/null || echo 1000)
[ "$(cat jobs/*/state 2> /dev/null | grep -c 'PENDING\\|RUNNING')" -lt "$full" ] || {
  echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; }
id=$((101 + $(ls jobs | wc -l)))
mkdir jobs/$id
cp "$1" jobs/$id/script
echo PENDING > jobs/$id/state
[ -e holds ] || setsid "$bin/start" $id > /dev/null 2>&1 &
[ -e forgets ] && { echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1; }
echo "Submitted batch job $id"
""",
    "start": """
export SLURM_JOB_ID=$1
echo RUNNING > jobs/$1/state
bash jobs/$1/script && state=COMPLETED || state=FAILED
[ "$(cat jobs/$1/state)" = RUNNING ] && echo $state > jobs/$1/state
""",
    "srun": """
[ "$1" = --unbuffered ] && shift
output=$(echo "$2" | sed "s/%j/$SLURM_JOB_ID/; s/%t/0/")
error=$(echo "$4" | sed "s/%j/$SLURM_JOB_ID/; s/%t/0/")
shift 4
echo $$ > jobs/$SLURM_JOB_ID/pid
cd /
exec "$@" >> "$output" 2>> "$error"
""",
    "squeue": """
echo squeue >> calls
[ -e silent ] && exit 1
cd jobs
for id in *; do
  state=$(cat $id/state 2> /dev/null) || continue
  [ -e ../purges ] && case $state in PENDING | RUNNING) ;; *) continue ;; esac
  echo "$id|$state"
done
""",
    "sacct": """
echo sacct >> calls
[ -e unaccounted ] && { echo 'sacct: error: Connection refused' >&2; exit 1; }
cd jobs
for id in *; do state=$(cat $id/state 2> /dev/null) && echo "$id|$state"; done
exit 0
""",
    "scancel": """
echo scancel >> calls
for id; do
  grep -q 'PENDING\\|RUNNING' jobs/$id/state || continue
  echo 'CANCELLED by 1000' > jobs/$id/state
  [ -e jobs/$id/pid ] && kill -TERM $(cat jobs/$id/pid)
done
exit 0
""",
}


class FakeSlurm:
    """The cluster; files in its folder are its switches: ``limit``, ``holds``, ``silent``, ..."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        (folder / "jobs").mkdir()
        for name, text in COMMANDS.items():
            path = self.bin / name
            path.write_text(f"#!/bin/sh\nbin={self.bin}\ncd {folder}\n{text}")
            path.chmod(0o755)

    def switch(self, name: str, value: str | None = "1\n") -> None:
        """Switch on, with a value, or off (None)."""
        if value is None:
            (self.folder / name).unlink(missing_ok=True)
        else:
            (self.folder / name).write_text(value)

    def calls(self, command: str) -> int:
        path = self.folder / "calls"
        return path.read_text().split().count(command) if path.exists() else 0

    def ids(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "jobs").iterdir())

    def state(self, number: str) -> str:
        return (self.folder / "jobs" / number / "state").read_text().strip()

    def script(self, number: str) -> str:
        return (self.folder / "jobs" / number / "script").read_text()

    def end(self, number: str, state: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Have SLURM end a job, or let its node fail."""
        (self.folder / "jobs" / number / "state").write_text(f"{state}\n")
        pid = int((self.folder / "jobs" / number / "pid").read_text())
        with suppress(ProcessLookupError):
            if how == signal.SIGKILL:  # its runner and the training, too
                os.killpg(os.getpgid(pid), how)
            else:
                os.kill(pid, how)

    def lose(self, number: str) -> None:
        """Have SLURM know nothing of a job."""
        (self.folder / "jobs" / number / "state").unlink()


def wait_for(path: Path) -> None:
    """Wait until a file has content."""
    wait_until(lambda: path.exists() and path.stat().st_size)
