"""Networks of a problem that builds them: whether it does, and whether they are what they must be.

A problem builds where its class has ``build``; ``example_input`` tells what a network takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from optiproxy_nas.core.errors import OptiProxyError, ParameterError, first_line
from optiproxy_nas.core.random_streams import seeded_globals, torch_generator
from optiproxy_nas.problems.base import Problem
from optiproxy_nas.spaces import get_space


def has_build(problem: Problem) -> bool:
    """Return whether a problem builds networks."""
    return type(problem).build is not Problem.build


def has_example(problem: Problem) -> bool:
    """Return whether a problem tells what its networks take."""
    return type(problem).example_input is not Problem.example_input


def check_build(problem: Problem) -> None:
    """Build the network of one architecture, before anything is trained, where a problem builds.

    The architecture is drawn at random, always the same one.

    Raises:
        ParameterError: as of :func:`checked_build`.
    """
    if has_build(problem):
        checked_build(problem, drawn_architecture(problem))


def drawn_architecture(problem: Problem) -> Any:
    """Return an architecture of the problem's space, as ``evaluate`` gets it, always the same."""
    space = get_space(problem.space)
    (text,) = space.to_string(space.random(1, torch_generator(0, 0, "build")))
    return space.architecture(text)


def checked_build(problem: Problem, architecture: Any) -> nn.Module:
    """Return the network of an architecture, with initial weights, on the CPU, in eval mode.

    It has mapped the example input, where the problem has one, to finite numbers.

    Args:
        problem: that builds.
        architecture: as ``evaluate`` gets it.

    Raises:
        ParameterError: ``build`` or the network raises, or gives something else.
    """
    name = type(problem).__name__
    try:
        with seeded_globals(0):
            model = problem.build(architecture)
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        raise _wrong(
            f"{name}.build raises {_reason(error)}. It must accept each architecture of the "
            "problem's space, as evaluate gets it",
            architecture,
        ) from error
    if not isinstance(model, nn.Module):
        raise _wrong(
            f"{name}.build gave {type(model).__name__}; it must give a torch.nn.Module",
            architecture,
        )
    model.eval()
    if not has_example(problem):
        return model
    example = example_of(problem)
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in example)
    try:
        with torch.no_grad(), seeded_globals(0):
            output = tensors_in(model(*example))
    except (Exception, SystemExit) as error:
        raise _wrong(
            f"the network of {name}.build raises {_reason(error)} for the example input of "
            f"shape {shapes}. Both must agree",
            architecture,
        ) from error
    if not output:
        raise _wrong(f"the network of {name}.build gives no tensor", architecture)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in output):
        raise _wrong(
            f"the network of {name}.build gives numbers that are not finite for the example "
            f"input of shape {shapes}",
            architecture,
        )
    return model


def example_of(problem: Problem) -> tuple[Tensor, ...]:
    """Return the example input of a problem, a tensor an argument, of a batch of 1.

    Raises:
        ParameterError: it is something else.
    """
    name = type(problem).__name__
    try:
        with seeded_globals(0):
            given = problem.example_input()
    except OptiProxyError:
        raise
    except (Exception, SystemExit) as error:
        raise ParameterError(f"{name}.example_input raises {_reason(error)}.") from error
    example = tuple(given) if isinstance(given, tuple | list) else (given,)
    wrong = [
        type(tensor).__name__ if not isinstance(tensor, Tensor) else str(tuple(tensor.shape))
        for tensor in example
        if not isinstance(tensor, Tensor) or tensor.shape[:1] != (1,)
    ]
    if wrong or not example:
        raise ParameterError(
            f"{name}.example_input gave {wrong[0] if wrong else 'nothing'}; it must give a tensor, "
            "or a tuple of one for each argument of the network, whose first dimension is a batch "
            "of 1, such as torch.zeros(1, 3, 32, 32).",
            problem=name,
        )
    return example


def tensors_in(output: Any) -> list[Tensor]:
    """Return the tensors of what a network gave, in order; nested tuples, lists and mappings."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, tuple | list):
        return [tensor for part in output for tensor in tensors_in(part)]
    return []


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _wrong(what: str, architecture: Any) -> ParameterError:
    """Return the error of a build, with the architecture it is of."""
    return ParameterError(f"{what}: {architecture!r:.300}.", architecture=architecture)
