"""What the numbers of a code may be, as all spaces check it."""

from __future__ import annotations

import torch
from torch import Tensor


def check_codes(codes: Tensor, choices: Tensor, what: str) -> None:
    """Refuse numbers that no code has.

    Args:
        codes: [n, L].
        choices: [L], how many choices each place has: its numbers are 0 to that less 1.
        what: one sentence, what a code of the space is.

    Raises:
        ValueError: codes have another length, or which number is out of range.
    """
    if codes.dim() != 2 or codes.shape[1] != len(choices):
        raise ValueError(f"{what} Its shape is [n, {len(choices)}], not {list(codes.shape)}.")
    if not len(codes):
        return
    least, most = torch.aminmax(codes, dim=0)
    if bool(((least < 0) | (most >= choices)).any()):
        row, place = (int(i) for i in ((codes < 0) | (codes >= choices)).nonzero()[0])
        raise ValueError(
            f"{what} Place {place} of code {row} is {int(codes[row, place])}; it can be 0 to "
            f"{int(choices[place]) - 1}."
        )
