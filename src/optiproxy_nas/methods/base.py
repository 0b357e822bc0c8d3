"""What a search method is: something that proposes architectures and is told their values."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from optiproxy_nas.core.errors import ParameterError

Values = NDArray[np.float64]


class MethodSettings(BaseModel):
    """Base of a method's settings: every field has a default; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@runtime_checkable
class Method(Protocol):
    """A search method by ask and tell; ``run.run_method`` asks, pays for and tells.

    A plug-in is a class built as ``Class(space, settings, budget, seed)``, ``settings`` being an
    instance of its ``Settings``. Equal arguments give equal proposals: every random number comes
    from the seed (``reproducibility.numpy_generator``), none from a global generator, none from
    the clock. ``ask`` and ``tell`` alternate. ``optiproxy_nas.testing.check_method`` checks it.

    A method that does not use ``budget`` has the prefix property, which is worth having: its
    search with 280 queries begins with its search with 100. All registered ones have it.

    Attributes:
        Settings: the model of its settings; the defaults are what it is compared with.
        reference: the paper and the library that it follows.
        libraries: optional; distributions whose version can change its proposals. A run records
            them, and is another run with another version.
    """

    Settings: ClassVar[type[MethodSettings]]
    reference: ClassVar[str]

    def ask(self) -> Tensor:
        """Propose architectures, most wanted first: codes [n, L], n >= 1.

        An architecture that was told before may be proposed again; that costs no query, and its
        value is told again. Too many such proposals in a row end the search, so a method that
        has nothing new to propose had better propose at random (``memory.Memory.random``).
        """
        ...

    def tell(self, codes: Tensor, values: Values) -> None:
        """Values in percent [n] of what was asked for: codes [n, L], in the same order.

        The batch that exceeds the budget is cut to what the budget affords; nothing is asked
        for after it.
        """
        ...


def missing_extra(method: str, error: ImportError) -> ParameterError:
    """The error of a method whose optional dependency cannot be imported."""
    return ParameterError(
        f"Method {method!r} needs a package that cannot be imported ({error}). Install it with "
        'pip install "optiproxy-nas[baselines]", or choose another method.',
        method=method,
        package=(error.name or "").partition(".")[0],
    )
