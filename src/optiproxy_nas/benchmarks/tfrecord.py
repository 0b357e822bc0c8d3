"""TFRecord files and protocol buffers without TensorFlow: framing, checksums, fields.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these 8 bytes, the data, and
the masked CRC-32C of the data (tensorflow/core/lib/io/record_writer.h). Checksums are computed for
many records at once, a byte position of all of them at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optiproxy_nas.core.arrays import Integers
from optiproxy_nas.core.bounded_files import LIMITS, Limits
from optiproxy_nas.core.errors import DataError

_HEADER, _FOOTER = 12, 4
_BATCH = 16_384  # records whose checksums are computed together
_POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), bits reversed
_MASK = 0xA282EAD8


class Record(NamedTuple):
    """One record of a file."""

    number: int  # from 0
    offset: int  # of its first byte, that of its length
    data: bytes


def records(content: bytes, path: str, limits: Limits = LIMITS) -> Iterator[Record]:
    """Yield the checked records of a file in order, holding a batch of them beside the content.

    Raises:
        DataError: the file ends within a record, a checksum is wrong, or a record is longer than
            the limit: which record, which byte.
    """
    buffer = np.frombuffer(content, dtype=np.uint8)
    start = number = 0
    while start < len(content):
        offsets, lengths, start, truncated = _frames(content, start)
        heads = np.full(len(offsets), 8)
        _check(buffer, path, number, offsets, offsets, heads, "length")
        if truncated:
            offset = int(offsets[-1])
            offsets, lengths = offsets[:-1], lengths[:-1]
        if (long := np.flatnonzero(lengths > limits.record)).size:
            offset = int(offsets[long[0]])
            raise DataError(
                f"{path}: the record which starts at byte {offset} has {lengths[long[0]]} bytes, "
                f"more than {limits.record}. It is another file.",
                file=path,
                record=number + int(long[0]),
                byte=offset,
            )
        _check(buffer, path, number, offsets, offsets + _HEADER, lengths, "data")
        for first, length in zip((offsets + _HEADER).tolist(), lengths.tolist(), strict=True):
            yield Record(number, first - _HEADER, content[first : first + length])
            number += 1
        if truncated:
            raise _truncated(path, number, offset, len(content))


def _frames(content: bytes, start: int) -> tuple[Integers, Integers, int, bool]:
    """Return offsets and lengths of a batch of records, the start of the next, and truncation.

    The last of the batch is truncated if it does not fit into the file.
    """
    offsets: list[int] = []
    lengths: list[int] = []
    truncated = False
    while start < len(content) and len(offsets) < _BATCH and not truncated:
        length, end = 0, start + _HEADER
        if end <= len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            end += length + _FOOTER
        truncated = end > len(content)
        offsets.append(start)
        lengths.append(0 if truncated else length)
        start = end
    return np.array(offsets), np.array(lengths), start, truncated


def _check(
    buffer: NDArray[np.uint8],
    path: str,
    number: int,
    offsets: Integers,
    starts: Integers,
    lengths: Integers,
    what: str,
) -> None:
    """Compare the checksums of stretches of the file with those that follow them."""
    whole = starts + lengths + _FOOTER <= len(buffer)  # else there is no checksum to compare with
    starts, lengths = starts[whole], lengths[whole]
    stored = buffer[(starts + lengths)[:, None] + np.arange(4)].astype("<u4")
    stored = (stored << np.array([0, 8, 16, 24], dtype=np.uint32)).sum(1, dtype=np.uint32)
    wrong = np.flatnonzero(masked_crc32c(buffer, starts, lengths) != stored)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{path} is damaged: the checksum (CRC-32C) of the {what} of record {number + row}, "
            f"which starts at byte {offsets[row]}, does not match. Get the file again.",
            file=path,
            record=number + row,
            byte=int(offsets[row]),
        )


def _truncated(path: str, number: int, offset: int, size: int) -> DataError:
    return DataError(
        f"{path} is truncated: record {number}, which starts at byte {offset}, does not end within "
        f"the file's {size} bytes. Get the file again.",
        file=path,
        record=number,
        byte=offset,
    )


def _single() -> NDArray[np.uint32]:
    """Return the table of the bytewise algorithm, 256 entries: what each byte does to a CRC."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


_SINGLE = _single()
# The same for two bytes at once, the first of them the lower one: 65,536 entries.
_once = np.arange(65_536, dtype=np.uint32)
for _ in range(2):
    _once = _SINGLE[_once & 255] ^ (_once >> 8)
_PAIRS = _once


def masked_crc32c(
    buffer: NDArray[np.uint8], starts: Integers, lengths: Integers
) -> NDArray[np.uint32]:
    """Return the masked CRC-32C of stretches of a buffer: [n] uint32."""
    order = np.argsort(-lengths, kind="stable")
    longest_first, position = lengths[order], starts[order]
    crc = np.full(len(order), 0xFFFFFFFF, dtype=np.uint32)
    ascending = -longest_first
    for step in range(0, int(longest_first[0]) - 1 if len(order) else 0, 2):
        left = int(np.searchsorted(ascending, -step - 2, side="right"))  # have two bytes more
        at = position[:left] + step
        pair = buffer[at].astype(np.uint32) | buffer[at + 1].astype(np.uint32) << np.uint32(8)
        running = crc[:left]
        crc[:left] = _PAIRS[(running ^ pair) & np.uint32(0xFFFF)] ^ (running >> np.uint32(16))
    odd = np.flatnonzero(longest_first % 2)
    last = buffer[position[odd] + longest_first[odd] - 1]
    crc[odd] = _SINGLE[(crc[odd] ^ last) & np.uint32(0xFF)] ^ (crc[odd] >> np.uint32(8))
    crc ^= np.uint32(0xFFFFFFFF)
    masked = (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(_MASK)
    result = np.empty_like(masked)
    result[order] = masked
    return result


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield (number, value) of the fields of a protocol buffer in wire order.

    Values by wire type: integers for varints, float64 and float32 numbers for fixed ones, bytes
    (text, messages) for what has a length.

    Raises:
        ValueError: it is not a protocol buffer, or cut short.
    """
    position, size = 0, len(message)
    while position < size:
        tag, position = _varint(message, position)
        kind = tag & 7
        value: int | float | bytes
        if kind == 0:
            value, position = _varint(message, position)
        elif kind == 2:
            length, position = _varint(message, position)
            value = message[position : position + length]
            position += length
        elif kind in (1, 5):
            width, form = (8, "<d") if kind == 1 else (4, "<f")
            if position + width > size:
                raise ValueError("a number is cut short")
            (value,) = struct.unpack_from(form, message, position)
            position += width
        else:
            raise ValueError(f"wire type {kind} of field {tag >> 3} is unknown")
        if position > size:
            raise ValueError(f"field {tag >> 3} is cut short")
        yield tag >> 3, value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("an integer is cut short")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
