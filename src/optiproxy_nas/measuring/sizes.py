"""The parameters of a network, and the floating-point operations of a forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from optiproxy_nas.core.errors import OptiProxyError, ParameterError, first_line

Example = Tensor | tuple[Tensor, ...]  # what a network takes, with the batch dimension


def parameters(model: nn.Module) -> int:
    """Return the number of a network's parameters; statistics of normalisation are none."""
    return sum(tensor.numel() for tensor in model.parameters())


def flops(model: nn.Module, example: Example) -> int:
    """Return the floating-point operations of a forward pass, as torch's ``FlopCounterMode`` does.

    A multiplication and an addition count as two, so that half of it are the multiply-accumulate
    operations (MACs) which many papers on architectures call FLOPs. Convolutions, products of
    matrices and attention are counted; normalisation, activations and pooling are not.

    Args:
        model: it is left as it is.
        example: inputs of the whole batch that is counted.

    Raises:
        ParameterError: the network does not take the example.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    was_training = model.training
    model.eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(*inputs)
    except OptiProxyError:
        raise
    except Exception as error:  # of any network
        shapes = ", ".join(str(list(getattr(one, "shape", ()))) for one in inputs)
        raise ParameterError(
            f"The network does not take the example of shape {shapes}: {first_line(error)}."
        ) from error
    finally:
        model.train(was_training)
    return int(counter.get_total_flops())
