"""Array types that the whole package shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Tensors = dict[str, Tensor]  # named tensors: weights, logits, a trace
