"""Stop a process at its system calls of writing, and have one of them fail, or be its last.

The process has the kernel stop it at these calls alone (seccomp); its parent (ptrace) counts those
that are of files in a folder. So whatever writes is seen, also SQLite, Parquet and safetensors, and
in all its threads and children. Linux on x86-64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cost.trust.processes import killing_after, start

IS_POSSIBLE = sys.platform == "linux" and platform.machine() == "x86_64"

# System call -> (number, kind, place of the descriptor among its arguments, place of the path).
_CALLS: dict[str, tuple[int, str, int | None, int | None]] = {
    "write": (1, "write", 0, None),
    "pwrite64": (18, "write", 0, None),
    "writev": (20, "write", 0, None),
    "sendfile": (40, "write", 0, None),
    "copy_file_range": (326, "write", 2, None),
    "ftruncate": (77, "truncate", 0, None),
    "open": (2, "open", None, 0),
    "openat": (257, "open", None, 1),
    "rename": (82, "rename", None, 1),
    "renameat": (264, "rename", None, 3),
    "renameat2": (316, "rename", None, 3),
    "fsync": (74, "fsync", 0, None),
    "fdatasync": (75, "fsync", 0, None),
    "syncfs": (306, "fsync", 0, None),
    "mkdir": (83, "mkdir", None, 0),
    "mkdirat": (258, "mkdir", None, 1),
    "link": (86, "link", None, 1),
    "linkat": (265, "link", None, 3),
    "symlink": (88, "link", None, 1),
    "symlinkat": (266, "link", None, 2),
    "unlink": (87, "unlink", None, 0),
    "unlinkat": (263, "unlink", None, 1),
    "rmdir": (84, "unlink", None, 0),
}
_OF_NUMBER = {number: (kind, file, path) for number, kind, file, path in _CALLS.values()}
_CAN_BE_SHORT = (_CALLS["write"][0], _CALLS["pwrite64"][0], _CALLS["sendfile"][0])
_NEED_ROOM = ("write", "open", "mkdir", "link", "rename")  # what a full disk refuses
_OPENS_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# Of <linux/ptrace.h>, <linux/seccomp.h>, <linux/filter.h>.
_TRACEME, _CONT, _GETREGS, _SETREGS, _TO_NEXT_STOP, _SETOPTIONS = 0, 7, 12, 13, 24, 0x4200
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000  # also children; all end with the parent
_EVENT_SECCOMP, _WALL = 7, 0x40000000
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _TRACE = 0x7FFF0000, 0x7FF00000
_LOAD, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_REGISTERS, _RESULT, _CALL = 27, 10, 15
_ARGUMENTS = (14, 13, 12, 7, 9, 8)  # registers rdi, rsi, rdx, r10, r8, r9

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


_Registers = ctypes.Array[ctypes.c_ulonglong]


class Fault(NamedTuple):
    """What happens at which call.

    Attributes:
        kind: of the call, ``write``, ``rename``, ...
        place: which call of that kind, from 0.
        effect: ``killed before``, ``killed after``, ``killed halfway``, ``EIO``, ``ENOSPC``, or
            ``disk full``: that call and all later ones that need room.
    """

    kind: str
    place: int
    effect: str


class Traced(NamedTuple):
    """What became of a process.

    Attributes:
        code: that it ended with; negative: the signal.
        calls: kinds of the calls of writing, in their order.
        struck: the file of the call at which the fault was; "": it was not reached.
    """

    code: int
    calls: list[str]
    struck: str


def traced(
    body: Callable[[], int],
    folder: Path,
    log: Path,
    fault: Fault | None = None,
    seconds: float = 600,
) -> Traced:
    """Call a function in a forked process, with a fault at one of its calls of writing.

    Args:
        body: returns the exit code.
        folder: whose files count.
        log: to which it writes what it says; outside of the folder.
        fault: None: calls are counted only.
        seconds: after which it is killed with its children.
    """
    leader = start(body, log, _be_traced)
    return _Tracer(leader, str(folder), fault).run(seconds)


def _be_traced() -> None:
    """Let the parent trace this process, which stops until it does."""
    _libc.ptrace(_TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    _install_filter()


def _install_filter() -> None:
    """Have the kernel stop this process, and its children, at calls of writing."""
    numbers = [number for number, kind, _, _ in _CALLS.values() if kind != "open"]
    code: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, 0)]  # the number of the call
    for name, offset in (("open", 24), ("openat", 32)):  # of the low half of the flags
        code += [
            (_IF_EQUAL, 0, 4, _CALLS[name][0]),
            (_LOAD, 0, 0, offset),
            (_IF_ANY_BIT, 0, 1, _OPENS_TO_WRITE),
            (_RETURN, 0, 0, _TRACE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    for number in numbers:
        code += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _TRACE)]
    code.append((_RETURN, 0, 0, _ALLOW))
    program = b"".join(struct.pack("HBBI", *line) for line in code)
    kept = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(kept))
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or _libc.prctl(_SECCOMP, _FILTER, head, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of system calls")


class _Tracer:
    """The parent of a process that is stopped at its calls of writing."""

    def __init__(self, leader: int, folder: str, fault: Fault | None) -> None:
        self._leader, self._folder, self._fault = leader, folder, fault
        self._seen = {leader}
        self._calls: list[str] = []
        self._struck, self._count, self._is_full = "", 0, False
        self._at_exit: dict[int, bool] = {}  # process -> it is killed when its call has ended

    def run(self, seconds: float) -> Traced:
        """Let the process run to its end."""
        os.waitpid(self._leader, 0)  # its first stop
        _ptrace(_SETOPTIONS, self._leader, _OPTIONS)
        _ptrace(_CONT, self._leader, 0)
        code: int | None = None
        with killing_after(seconds, self._seen):
            while True:
                try:
                    process, status = os.waitpid(-1, _WALL)
                except ChildProcessError:
                    break
                if os.WIFSTOPPED(status):
                    with suppress(ProcessLookupError):  # it was killed just now
                        self._stopped(process, status)
                    continue
                self._seen.discard(process)
                if process == self._leader:
                    code = os.waitstatus_to_exitcode(status)
                    with suppress(ProcessLookupError):
                        os.killpg(self._leader, signal.SIGKILL)
        assert code is not None
        return Traced(code, self._calls, self._struck)

    def _stopped(self, process: int, status: int) -> None:
        number, event = os.WSTOPSIG(status), status >> 16
        if event == _EVENT_SECCOMP:
            self._calling(process)
            return
        if number == signal.SIGTRAP | 0x80:
            if self._at_exit.pop(process, False):
                os.kill(process, signal.SIGKILL)
                return
            number = 0
        elif event or (process not in self._seen and number == signal.SIGSTOP):
            number = 0
        self._seen.add(process)
        _ptrace(_CONT, process, number)

    def _calling(self, process: int) -> None:
        """A process is about to write: count it, and strike where it is the drawn call."""
        registers = (ctypes.c_ulonglong * _REGISTERS)()
        _ptrace(_GETREGS, process, ctypes.addressof(registers))
        kind, path = self._call(process, registers)
        if path is None:
            _ptrace(_CONT, process, 0)
            return
        self._calls.append(kind)
        effect = ""
        if self._is_full and kind in _NEED_ROOM:
            effect = "ENOSPC"
        elif self._fault is not None and kind == self._fault.kind and not self._struck:
            if self._count == self._fault.place:
                self._struck, effect = path, self._fault.effect
            self._count += 1
        if effect == "disk full":
            self._is_full, effect = True, "ENOSPC"
        if effect == "killed before":
            os.kill(process, signal.SIGKILL)
        elif effect in ("killed after", "killed halfway"):
            if effect == "killed halfway" and registers[_CALL] in _CAN_BE_SHORT:
                length = _ARGUMENTS[3 if registers[_CALL] == _CALLS["sendfile"][0] else 2]
                registers[length] //= 2
                _ptrace(_SETREGS, process, ctypes.addressof(registers))
            self._at_exit[process] = True
            _ptrace(_TO_NEXT_STOP, process, 0)
        else:
            if effect:
                registers[_CALL] = ctypes.c_ulonglong(-1).value
                registers[_RESULT] = ctypes.c_ulonglong(-getattr(errno, effect)).value
                _ptrace(_SETREGS, process, ctypes.addressof(registers))
            _ptrace(_CONT, process, 0)

    def _call(
        self, process: int, registers: ctypes.Array[ctypes.c_ulonglong]
    ) -> tuple[str, str | None]:
        """Return the kind of a call, and the file that it is of; None: it is not in the folder."""
        kind, descriptor, path = _OF_NUMBER[registers[_CALL]]
        try:
            if descriptor is not None:
                number = ctypes.c_int(registers[_ARGUMENTS[descriptor]]).value
                file = os.readlink(f"/proc/{process}/fd/{number}")
            else:
                assert path is not None
                file = _text_at(process, registers[_ARGUMENTS[path]])
                if not file.startswith("/"):
                    file = f"{os.readlink(f'/proc/{process}/cwd')}/{file}"
        except OSError:
            return kind, None
        return kind, file if file.startswith(f"{self._folder}/") else None


def _text_at(process: int, address: int) -> str:
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(4096).partition(b"\0")[0].decode(errors="replace")


def _ptrace(request: int, process: int, data: int) -> None:
    if _libc.ptrace(request, process, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
