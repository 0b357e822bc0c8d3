"""What a worker process is given once: the training with its data, in files.

The worker is a fresh interpreter that imports what it needs by name. What only this process has,
such as a lambda or a function of a notebook, is refused before anything is trained.

The files are pickles, which no JSON could replace: a user's function and its data. The search
writes them and workers read them, never the other way; who may write there runs code on workers.
"""

from __future__ import annotations

import ast
import os
import pickle
import sys
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.execution import worker
from optiproxy_nas.execution.jobs import Training, reason_of

ADVICE = (
    "Define it at the top level of a module and import it, or train in this process, one trial at "
    'a time: evaluation={"executor": "serial"}, without workers.'
)


def write_payload(folder: Path, training: Training, what: str) -> None:
    """Write the files that :func:`optiproxy_nas.execution.worker.main` reads.

    Args:
        folder: of the files; it exists.
        training: with its data.
        what: the user's name of it, for messages.

    Raises:
        ParameterError: it cannot be pickled, or is defined in a notebook, in an interactive
            interpreter, or in a script whose search is not beneath ``if __name__ == "__main__":``.
    """
    if worker.starting:
        raise ParameterError(
            "This search was begun while a worker process of it imported its script. Put the call "
            'beneath if __name__ == "__main__":, so that an import of the script only defines '
            "its functions."
        )
    if os.name != "posix":
        raise ParameterError(
            'Worker processes need Linux or macOS. Train in this process: evaluation={"executor": '
            '"serial"}.',
            platform=os.name,
        )
    with (folder / worker.TRAINING).open("wb") as file:
        pickler = _Pickler(file, protocol=5)
        try:
            pickler.dump(training)
        except OSError:
            raise
        except Exception as error:
            raise _unpicklable(training, what, error) from error
    preparation: dict[str, Any] = {
        "sys_path": [os.path.abspath(entry) for entry in sys.path],
        "sys_argv": sys.argv,
        "dir": os.getcwd(),
        **(_script(what, pickler.from_script) if pickler.from_script else {}),
    }
    (folder / worker.PREPARATION).write_bytes(pickle.dumps(preparation))


def _unpicklable(training: Training, what: str, error: Exception) -> ParameterError:
    """Return the error for a training that cannot be pickled: where, and what to do instead."""
    place = _place_of_unpicklable(training)
    where = f" at {place}" if "." in place else ""
    return ParameterError(
        f"{what} is pickled for a worker process, with what it holds and its data, and cannot be"
        f"{where}: {reason_of(error)}. {ADVICE} What cannot be pickled at all, such as an open "
        "file, a connection, a lock or a generator, is made where it is used, in the evaluation.",
        place=place,
    )


def _place_of_unpicklable(value: Any, depth: int = 6) -> str:
    """Return the names that lead to what cannot be pickled: ``problem.reader.lock``."""
    inner = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    for name, child in inner.items() if depth else ():
        try:
            pickle.dumps(child)
        except Exception:
            rest = _place_of_unpicklable(child, depth - 1)
            return f"{name}.{rest}".lstrip("_").removesuffix(".")
    return ""


class _Pickler(pickle.Pickler):
    """Notes what it pickles of the script of this process.

    Attributes:
        from_script: names of functions and classes of it.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.from_script: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        """Look at a value, and have it pickled as ever."""
        if getattr(value, "__module__", None) == "__main__":
            name = getattr(value, "__qualname__", type(value).__qualname__)
            self.from_script.add(name.partition(".")[0])
        return NotImplemented


def _script(what: str, names: set[str]) -> dict[str, str]:
    """Return how a worker imports the script of this process, as of ``multiprocessing.spawn``."""
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)  # python -m
    path = getattr(main, "__file__", None)
    if path is None or not os.path.exists(path) or (name or "").endswith("__main__"):
        raise ParameterError(
            f"{what} is defined in a notebook or an interactive session, which a worker process "
            f"cannot import. {ADVICE}"
        )
    guarded = guarded_names(Path(path).read_bytes())
    if guarded is None:
        raise ParameterError(
            f"{what} is defined in the script {os.path.basename(path)}, which each worker process "
            "imports; that would run the whole script again. Put the search beneath "
            'if __name__ == "__main__":, or move the evaluation into a module.',
            script=path,
        )
    if hidden := sorted(names & guarded):
        raise ParameterError(
            f'{what} needs {hidden[0]!r}, which is defined beneath if __name__ == "__main__":, '
            f"where no worker process finds it. {ADVICE}",
            name=hidden[0],
        )
    if name is not None:
        return {"init_main_from_name": name}
    return {"init_main_from_path": os.path.abspath(path)}


def guarded_names(script: bytes) -> set[str] | None:
    """Return the functions and classes of a script that it has only where it is the main one.

    They are defined beneath ``if __name__ == "__main__":``; None where it has no such block.
    """
    body = ast.parse(script).body
    blocks = [node for node in body if isinstance(node, ast.If) and _asks_for_name(node.test)]
    inside = [statement for block in blocks for statement in block.body]
    return _defined(inside) - _defined(body) if blocks else None


def _asks_for_name(test: ast.expr) -> bool:
    names = (node.id for node in ast.walk(test) if isinstance(node, ast.Name))
    return "__name__" in names


def _defined(body: list[ast.stmt]) -> set[str]:
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
