"""A trained network as files: its weights, its graph, and what it maps an example to.

Each file is read back, and what the network in it gives for the example is compared with what the
original one gave: for the example input, and for a batch of two.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model as load_weights
from safetensors.torch import save as save_tensors
from safetensors.torch import save_model as save_weights
from torch import Tensor, nn

from optiproxy_nas.core.errors import (
    ConversionError,
    DataError,
    OptiProxyError,
    first_line,
    one_line,
)
from optiproxy_nas.core.random_streams import seeded_globals
from optiproxy_nas.measuring.onnx import feeds_of, onnx_model, onnx_session
from optiproxy_nas.measuring.sizes import flops, parameters
from optiproxy_nas.problems import Problem
from optiproxy_nas.problems.building import checked_build, example_of, has_example, tensors_in

WEIGHTS, GRAPH, CHECK = "model.safetensors", "model.onnx", "check.safetensors"
TOLERANCE = 1e-4  # of outputs, relative to the largest; libraries and processors round otherwise
_LEAST_SCALE = 1e-3  # of outputs: below, rounding within the network may be as large
BATCH = "batch_"  # before the names of the tensors of a batch of two
_WITHOUT_EXTRA = "onnxruntime is not installed: pip install 'optiproxy-nas[onnx]'"

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class NetworkFiles(NamedTuple):
    """A network as files.

    Attributes:
        files: content by name.
        missing: why one of the files is not there, by name.
        facts: numbers of the network, for JSON.
    """

    files: dict[str, bytes]
    missing: dict[str, str]
    facts: dict[str, Any]


def network_files(problem: Problem, architecture: Any, model: nn.Module) -> NetworkFiles:
    """Return a trained network as files that were read back and compared.

    What cannot be expressed in ONNX is said in a warning, and the other files are there.

    Args:
        problem: that builds it.
        architecture: as ``evaluate`` gets it.
        model: trained, on the CPU, in eval mode.

    Raises:
        DataError: the weights do not fit what the problem builds.
        ParameterError: the problem does not build, or has a wrong example input.
    """
    weights = _weights(model)
    rebuilt = with_weights(problem, architecture, weights)
    facts: dict[str, Any] = {"parameters": parameters(model), "input": [], "output": []}
    files = {WEIGHTS: weights}
    if not has_example(problem):
        reason = f"{type(problem).__name__} has no example_input"
        return NetworkFiles(files, {CHECK: reason, GRAPH: reason}, facts)
    example = example_of(problem)
    facts["flops"] = flops(model, example)
    tensors = _check_tensors(model, example)
    difference = largest_difference(rebuilt, tensors)
    if not difference <= TOLERANCE:
        raise DataError(
            f"A network of {type(problem).__name__}.build with the trained weights gives other "
            f"outputs than the trained one, by {difference:.2g} of the largest: build or trained "
            "makes something that the state_dict does not hold."
        )
    files[CHECK] = save_tensors(tensors)
    facts |= {kind: _shapes(tensors, kind) for kind in ("input", "output")}
    facts["any_batch"] = f"{BATCH}input_0" in tensors
    try:
        files[GRAPH], facts["onnx_difference"] = _graph(model, tensors)
        missing = {}
    except ConversionError as error:
        _log.warning("The answer is exported without %s: %s", GRAPH, error.message)
        missing = {GRAPH: error.message}
    except ModuleNotFoundError:
        missing = {GRAPH: _WITHOUT_EXTRA}
    return NetworkFiles(files, missing, facts)


def with_weights(problem: Problem, architecture: Any, weights: bytes | Path) -> nn.Module:
    """Return the network that a problem builds of an architecture, with weights, in eval mode.

    Args:
        problem: that builds.
        architecture: as ``evaluate`` gets it.
        weights: of safetensors, or the file of them.

    Raises:
        DataError: they are of another network.
        ParameterError: the problem cannot build it.
    """
    model = checked_build(problem, architecture)
    try:
        if isinstance(weights, Path):
            load_weights(model, weights)
        else:
            with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
                file.write(weights)
                file.flush()
                load_weights(model, file.name)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"The weights do not fit the network that {type(problem).__name__}.build gives: "
            f"{one_line(error)}."
        ) from error
    return model


def largest_difference(model: nn.Module, tensors: Mapping[str, Tensor]) -> float:
    """Return by how much the outputs of a network differ from those that are expected.

    Args:
        model: in eval mode.
        tensors: inputs and outputs by name, of ``check.safetensors``.

    Returns:
        Of all outputs the largest difference, relative to the largest number that is expected of
        the output, of the example or the batch (but at least to 0.001); infinity where a shape
        differs.
    """
    found = [
        _difference(_outputs(model, _numbered(tensors, f"{kind}input")), tensors, kind)
        for kind in _kinds(tensors)
    ]
    return max(found)


def _scales(tensors: Mapping[str, Tensor]) -> list[float]:
    """Return the largest finite number that is expected of each output, at least 0.001."""
    outputs = [_numbered(tensors, f"{kind}output") for kind in _kinds(tensors)]
    return [
        max(
            [
                _LEAST_SCALE,
                *(float(it[it.isfinite()].abs().max()) for it in of_each if it.isfinite().any()),
            ]
        )
        for of_each in zip(*outputs, strict=True)
    ]


def _weights(model: nn.Module) -> bytes:
    """Return the weights of a network as safetensors; those that layers share are there once."""
    with tempfile.TemporaryDirectory(prefix="optiproxy-") as folder:
        path = Path(folder, WEIGHTS)
        try:
            save_weights(model, str(path))
        except (AttributeError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
            raise DataError(
                f"The weights of {type(model).__name__} cannot be written as safetensors: "
                f"{one_line(error)}. Its state_dict must hold tensors only."
            ) from error
        return path.read_bytes()


def _check_tensors(model: nn.Module, example: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return an example and a batch of two with the network's outputs, by name.

    The batch is the example and, of floating-point inputs, random numbers around it. A network
    that takes no batch of two has the example alone.
    """
    generator = torch.Generator().manual_seed(0)
    batch = [
        torch.cat([it, it + torch.randn(it.shape, generator=generator, dtype=it.dtype)])
        if it.is_floating_point()
        else torch.cat([it, it])
        for it in example
    ]
    tensors = _named("", example, _outputs(model, example))
    try:
        tensors |= _named(BATCH, batch, _outputs(model, batch))
    except Exception:  # a user's network can raise anything
        _log.warning("%s takes no batch of two; its ONNX has a batch of 1.", type(model).__name__)
    return tensors


def _named(kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> dict[str, Tensor]:
    named = {f"{kind}input_{i}": tensor for i, tensor in enumerate(inputs)}
    named |= {f"{kind}output_{i}": tensor for i, tensor in enumerate(outputs)}
    return {name: tensor.detach().clone().contiguous() for name, tensor in named.items()}


def _numbered(tensors: Mapping[str, Tensor], prefix: str) -> tuple[Tensor, ...]:
    """Return the tensors ``prefix_0``, ``prefix_1``, ..."""
    count = sum(name.startswith(f"{prefix}_") for name in tensors)
    return tuple(tensors[f"{prefix}_{i}"] for i in range(count))


def _kinds(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes of the inputs that there are: of the example, and of the batch."""
    return [kind for kind in ("", BATCH) if f"{kind}input_0" in tensors]


def _outputs(model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    with torch.no_grad(), seeded_globals(0):
        return tensors_in(model(*inputs))


def _difference(found: Sequence[Tensor], tensors: Mapping[str, Tensor], kind: str) -> float:
    """Return the largest difference of outputs, relative to what is expected."""
    expected = _numbered(tensors, f"{kind}output")
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in expected]:
        return float("inf")
    largest = 0.0
    for one, other, scale in zip(found, expected, _scales(tensors), strict=True):
        one, other, finite = one.double(), other.double(), other.isfinite()
        if not torch.equal(one.isfinite(), finite):
            return float("inf")
        if finite.any():
            largest = max(largest, float((one - other)[finite].abs().max()) / scale)
    return largest


def _shapes(tensors: Mapping[str, Tensor], kind: str) -> list[dict[str, Any]]:
    """Return shape (its batch left out) and type of inputs or outputs."""
    return [
        {"shape": list(tensor.shape[1:]), "dtype": str(tensor.dtype).removeprefix("torch.")}
        for tensor in _numbered(tensors, kind)
    ]


def _graph(model: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[bytes, float]:
    """Return a network as ONNX, and by how much its outputs differ in ONNX Runtime.

    Raises:
        ConversionError: it cannot be expressed, or gives other outputs.
        ModuleNotFoundError: ONNX Runtime is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise ModuleNotFoundError("onnxruntime")
    kinds = _kinds(tensors)
    count = len(_numbered(tensors, "output"))
    content = onnx_model(model, _numbered(tensors, "input"), BATCH in kinds, count)
    largest = 0.0
    try:
        session = onnx_session(content)
        for kind in kinds:
            feeds = feeds_of(_numbered(tensors, f"{kind}input"))
            found = [torch.as_tensor(array) for array in session.run(None, feeds)]
            largest = max(largest, _difference(found, tensors, kind))
    except OptiProxyError:
        raise
    except Exception as error:  # of ONNX Runtime, which has many kinds
        raise ConversionError(
            f"{type(model).__name__} cannot be run by ONNX Runtime: {first_line(error)}"
        ) from error
    if not largest <= TOLERANCE:
        raise ConversionError(
            f"{type(model).__name__} gives other outputs as ONNX, by {largest:.2g} of the largest: "
            "what it computes depends on its inputs otherwise than by tensor operations, or is "
            "random."
        )
    return content, largest
