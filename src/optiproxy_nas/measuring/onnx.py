"""Networks in the Open Neural Network Exchange format: writing them, and running them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from optiproxy_nas.core.errors import ConversionError, ParameterError, one_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def input_names(example: Tensor | tuple[Tensor, ...]) -> list[str]:
    """Return the names of an ONNX model's inputs: ``input``, or ``input_0``, ``input_1``, ..."""
    return _names("input", len(example) if isinstance(example, tuple) else 1)


def onnx_model(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    any_batch: bool = False,
    outputs: int = 1,
) -> bytes:
    """Return a network in eval mode as ONNX, with its weights.

    Args:
        model: its mode is left as it is.
        example: its inputs, the batch dimension first.
        any_batch: let the batch dimension of inputs and outputs be free.
        outputs: number of tensors that it gives: ``output``, or ``output_0``, ``output_1``, ...

    Raises:
        ConversionError: the format has no operation for one of the network's.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    names, given = input_names(example), _names("output", outputs)
    axes = {name: {0: "batch"} for name in [*names, *given]} if any_batch else None
    file: Any = io.BytesIO()  # which the exporter takes, though its type names paths only
    was_training = model.training
    # The exporter by tracing: the one by torch.export needs the package onnxscript.
    try:
        with warnings.catch_warnings(), _silent_output():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model.eval(),
                inputs,
                file,
                input_names=names,
                output_names=given,
                dynamic_axes=axes,
                dynamo=False,
            )
    except Exception as error:  # of the exporter, or of what the network does while it is traced
        raise ConversionError(
            f"{type(model).__name__} cannot be written as ONNX: {type(error).__name__}: "
            f"{one_line(error)}.",
            model=type(model).__name__,
        ) from error
    finally:
        model.train(was_training)
    content: bytes = file.getvalue()
    return content


def onnx_session(content: bytes, threads: int = 1) -> InferenceSession:
    """Return what runs an ONNX model on the CPU.

    Args:
        content: of :func:`onnx_model`.
        threads: that work on one run, at least 1.

    Raises:
        ParameterError: the package onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ParameterError(
            "Running a network by ONNX needs the package onnxruntime, which is not installed: "
            "pip install 'optiproxy-nas[onnx]'.",
            package="onnxruntime",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def feeds_of(example: Tensor | tuple[Tensor, ...]) -> dict[str, Any]:
    """Return example inputs as an ONNX session takes them: arrays by name."""
    inputs = example if isinstance(example, tuple) else (example,)
    arrays = (tensor.detach().cpu().numpy() for tensor in inputs)
    return dict(zip(input_names(example), arrays, strict=True))


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}_{place}" for place in range(count)]


@contextlib.contextmanager
def _silent_output() -> Iterator[None]:
    """Drop what C++ writes to standard output: the whole graph, where it cannot be expressed."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
