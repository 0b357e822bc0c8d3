"""Every error the project raises on purpose.

One base class, so that a caller can catch all of them; each message says what was wrong,
where, what is allowed and what to do, and each exception carries the same facts as data
(``error.data``) for programs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from optiproxy_nas.core.secrets import masked


class OptiProxyError(Exception):
    """Base of all errors of the project.

    Args:
        message: one sentence or two for a person.
        advice: what to do about it, to a caller in Python; it ends the message.
        **data: the facts of the message, for a program (``error.data["budget"]``).
    """

    def __init__(self, message: str, *, advice: str = "", **data: Any) -> None:
        self._reason = masked(message)
        self.data: dict[str, Any] = {
            name: masked(it) if type(it) is str else it for name, it in data.items()
        }
        self.advise(advice)

    def advise(self, advice: str) -> None:
        """Take other advice, where the user is not one who calls Python."""
        self._advice = advice
        self.message = f"{self._reason} {masked(advice)}" if advice else self._reason
        self.args = (self.message,)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keeps ``data`` when a worker process hands the exception to its parent.
        return (_rebuild, (type(self), self._reason, self._advice, self.data))


def _rebuild(
    kind: type[OptiProxyError], message: str, advice: str, data: dict[str, Any]
) -> OptiProxyError:
    return kind(message, advice=advice, **data)


class ParameterError(OptiProxyError):
    """A parameter has an unknown name, a wrong type or an impossible value."""


class UnknownNameError(ParameterError):
    """A name (dataset, source, preset, proxy, space, ...) is not one of those registered."""


class InvalidArchitectureError(OptiProxyError):
    """An architecture string or code is not a member of its search space."""


class DataError(OptiProxyError):
    """A data file is missing, truncated, tampered with or not what it claims to be."""


class UnsafePickleError(DataError):
    """A pickle asks for something that plain data never needs, so it was not loaded."""


class UntrustedNameError(DataError):
    """A file names code that would be imported, and nobody has allowed it."""


class MetricUnavailableError(DataError):
    """The source does not hold the metric that was asked for; nothing is substituted."""


class BudgetError(OptiProxyError):
    """The query budget is impossible, or a query would exceed it."""


class ObjectiveError(ParameterError):
    """The objective asks for what the benchmark does not hold, or for what no cell can meet."""


class SamplingError(OptiProxyError):
    """The bounded number of draws did not yield enough architectures outside the archive."""


class EvaluationError(DataError):
    """An evaluation gave what cannot be used, or a batched one raised.

    ``data["archive"]`` holds the complete trials, ``data["trials"]`` all of them.
    """


class FailedTrialsError(EvaluationError):
    """Too many trials failed; ``data["archive"]`` and ``data["trials"]`` hold what was paid for."""


class TrialError(OptiProxyError):
    """A trial was told that is not open, or of which the search knows nothing."""


class MethodError(OptiProxyError):
    """A search method raised, or gave columns that cannot be used; ``data["archive"]`` holds all
    queries before it."""


class ProxyError(OptiProxyError):
    """The proxy produced values that are not finite."""


class ConversionError(OptiProxyError):
    """A network cannot be written in the format that was asked for."""


class MeasurementError(OptiProxyError):
    """The latency of a network cannot be measured, or not as precisely as was asked for."""


class ArtifactError(OptiProxyError):
    """A stored artifact does not match the digest recorded when it was written."""


class JournalError(ArtifactError):
    """A journal cannot be read or written, was edited, or is of another search."""


class ResumeError(OptiProxyError):
    """A run cannot go on: other parameters, code or data, or it does not exist."""


class TrackingError(OptiProxyError):
    """The MLflow store cannot be reached, or does not know the run."""


class RunLockedError(OptiProxyError):
    """Another process works on the same run or file."""


class SearchInterrupted(KeyboardInterrupt):
    """A search was interrupted by Ctrl-C; ``result`` has everything that was paid for."""

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.message = message
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        # As of OptiProxyError.
        return type(self), (self.message, self.result)


def unknown_name(
    kind: str, name: Any, allowed: Iterable[str], other: str = "", where: str = ""
) -> UnknownNameError:
    """Build the error for an unregistered name: the list, and the nearest member of it.

    Args:
        kind: what is named.
        name: as given.
        allowed: the registered names.
        other: in words, what is allowed beside them.
        where: in words, what it belongs to, such as "of source 'embedded'".
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    place = f" {where}" if where else ""
    return UnknownNameError(
        f"Unknown {kind} {name!r}{place}.{hint} Allowed: {', '.join(names)}{other}.",
        kind=kind,
        name=name,
        allowed=names,
        suggestion=near[0] if near else None,
    )


def project_error(error: BaseException) -> OptiProxyError | None:
    """Return the first error of the project in the chain of causes, None if there is none."""
    return next((link for link in _chain(error) if isinstance(link, OptiProxyError)), None)


def message_of(error: BaseException) -> str:
    """Return what to tell a person: the project's own message, else that of the first cause."""
    if (raised_on_purpose := project_error(error)) is not None:
        return raised_on_purpose.message
    first = _chain(error)[-1]
    if isinstance(first, OSError) and str(first) not in str(error):
        return masked(f"{error}\n{first}")
    return masked(str(error))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without a full stop; its type if it has none.

    The errors of MLflow, SQLAlchemy and requests go on for pages. SQLAlchemy's may begin with a
    hint for programmers; what the database said is in their ``orig``.
    """
    of_database = [link.orig for link in _chain(error) if hasattr(link, "orig")]
    error = next((it for it in of_database if isinstance(it, BaseException)), error)
    return masked((str(error) or type(error).__name__).splitlines()[0])[:300].rstrip(".")


def one_line(error: BaseException) -> str:
    """Return an error's message as one line of 200 characters at most; its type if it has none.

    The first line of what ``load_state_dict`` raises does not say what is wrong.
    """
    return shortened(str(error), 200).rstrip(".") or type(error).__name__


def shortened(text: str, most: int) -> str:
    """Return a text as one line of so many characters at most: whole sentences, or whole words."""
    line = " ".join(masked(text).split())
    if len(line) <= most:
        return line
    sentences, end, _ = line[: most + 1].rpartition(". ")
    return (
        f"{sentences}." if end else f"{line[: most - 3].rpartition(' ')[0] or line[: most - 4]} ..."
    )


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, the first cause last; of a circle of them each once."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        if any(cause is link for link in chain):
            break
        chain.append(cause)
    return chain
