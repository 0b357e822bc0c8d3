"""What ``from_string`` takes, alike in all spaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from optiproxy_nas.core.errors import InvalidArchitectureError


def listed(architectures: Any) -> Sequence[Any]:
    """The architectures as a list; one text alone is a list of one.

    Raises:
        InvalidArchitectureError: neither a text nor several.
    """
    if isinstance(architectures, str):
        return [architectures]
    if not isinstance(architectures, Iterable):
        raise InvalidArchitectureError(
            f"from_string takes a list of architecture strings, or one string; not "
            f"{architectures!r}.",
            architecture=architectures,
        )
    return list(architectures)
