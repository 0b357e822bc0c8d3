"""DARTS genotypes: as text, as the named tuple of other packages, and as NASLib's compact lists.

``Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ...], normal_concat=range(2, 6),
reduce=[...], reduce_concat=range(2, 6))``: eight pairs (operation, input) a cell, two a node. Text
is read as a syntax tree and never run.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.nb301.darts_cell import CELLS, NODES, OPERATIONS, PAIRS, SLOTS

Pair = tuple[str, int]
_CONCAT = tuple(range(2, 2 + NODES))
_FORM = (
    "Expected Genotype(normal=[(operation, input), ... 8 pairs], normal_concat=range(2, 6), "
    "reduce=[... 8 pairs], reduce_concat=range(2, 6)), two pairs a node, inputs 0 (c_{k-2}), 1 "
    "(c_{k-1}) and nodes before; operations " + ", ".join(OPERATIONS) + "."
)
_LONGEST = 10_000  # characters; a genotype has about 500


class Genotype(NamedTuple):
    """A DARTS architecture as other packages take it; fields as in DARTS and ``nasbench301``."""

    normal: list[Pair]
    normal_concat: list[int]
    reduce: list[Pair]
    reduce_concat: list[int]


def code_of_text(text: str) -> tuple[int, ...]:
    """Return the code (24 numbers) of a genotype's text.

    Raises:
        InvalidArchitectureError: which rule it breaks.
    """
    if not isinstance(text, str):
        raise _invalid(text, "it is not a string")
    return _code_of_text(text)


@lru_cache(maxsize=4096)
def _code_of_text(text: str) -> tuple[int, ...]:
    return code_of_fields(_fields(text), text)


def code_of_fields(fields: dict[str, Any], shown: Any) -> tuple[int, ...]:
    """Return the code of the four fields of a genotype; ``shown`` is what messages quote.

    Raises:
        InvalidArchitectureError: which rule it breaks.
    """
    operations: list[int] = []
    pairs: list[int] = []
    for cell in CELLS:
        concat = fields[f"{cell}_concat"]
        if not _is_concat(concat):
            raise _invalid(
                shown,
                f"{cell}_concat is {concat!r}: in NAS-Bench-301 the output concatenates all four "
                "nodes, range(2, 6)",
            )
        cell_operations, cell_pairs = _cell_code(fields[cell], cell, shown)
        operations += cell_operations
        pairs += cell_pairs
    return (*operations, *pairs)


def genotype_of(code: Sequence[int]) -> Genotype:
    """Return the named tuple of a code (24 numbers); in each node the lower input is first."""
    cells = []
    for cell in range(2):
        operations = code[cell * SLOTS : (cell + 1) * SLOTS]
        chosen = code[2 * SLOTS + cell * NODES :][:NODES]
        inputs = [i for pairs, number in zip(PAIRS, chosen, strict=True) for i in pairs[number]]
        cells.append([(OPERATIONS[o], i) for o, i in zip(operations, inputs, strict=True)])
    return Genotype(cells[0], list(_CONCAT), cells[1], list(_CONCAT))


def text_of(code: Sequence[int]) -> str:
    """Return the text of a code, as DARTS prints it."""
    genotype = genotype_of(code)
    return (
        f"Genotype(normal={genotype.normal}, normal_concat=range(2, 6), "
        f"reduce={genotype.reduce}, reduce_concat=range(2, 6))"
    )


def compact_fields(compact: Any) -> dict[str, Any]:
    """Return the fields of NASLib's compact form: (normal, reduction), 8 (input, operation) each.

    The pairs of a cell may also come in four lists of two, as in NASLib's prediction files.

    Raises:
        InvalidArchitectureError: it has another form.
    """
    try:
        normal, reduce = compact
        cells = [[tuple(pair) for pair in _flat(cell)] for cell in (normal, reduce)]
        named = [[(_name(operation), source) for source, operation in cell] for cell in cells]
    except (TypeError, ValueError, IndexError) as error:
        raise _invalid(
            compact,
            "it is not two lists of eight pairs (input, operation 0 to 6), NASLib's compact form "
            f"({error})",
        ) from error
    return dict(zip(Genotype._fields, (named[0], _CONCAT, named[1], _CONCAT), strict=True))


def _flat(cell: Any) -> list[Any]:
    rows = list(cell)
    if len(rows) == NODES and all(not isinstance(row[0], int) for row in rows):
        return [pair for row in rows for pair in row]
    return rows


def _name(operation: Any) -> str:
    number = int(operation)
    if number != operation or number not in range(len(OPERATIONS)):
        raise ValueError(f"operation {operation!r}")
    return OPERATIONS[number]


def _cell_code(pairs: Any, cell: str, shown: Any) -> tuple[list[int], list[int]]:
    """Return operations [8] and pair numbers [4] of one cell, the inputs of each node sorted."""
    if not isinstance(pairs, list | tuple) or len(pairs) != SLOTS:
        count = f"{len(pairs)} pairs" if isinstance(pairs, list | tuple) else "no list of pairs"
        raise _invalid(shown, f"cell {cell} has {count}; it takes 8, two for each of 4 nodes")
    operations: list[int] = []
    numbers: list[int] = []
    for node, allowed in enumerate(PAIRS):
        slots = []
        for pair in pairs[2 * node : 2 * node + 2]:
            where = f"node {node + 2} of cell {cell}"
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise _invalid(shown, f"{where} has {pair!r}, not a pair (operation, input)")
            operation, source = pair
            if operation not in OPERATIONS:
                raise _invalid(shown, f"{where} has the unknown operation {operation!r}")
            if not _is_integer(source) or not 0 <= source < node + 2:
                raise _invalid(
                    shown,
                    f"{where} has input {source!r}; it can only take what comes before it, "
                    f"0 to {node + 1}",
                )
            slots.append((int(source), OPERATIONS.index(operation)))
        slots.sort()
        if slots[0][0] == slots[1][0]:
            raise _invalid(shown, f"{where} takes input {slots[0][0]} twice; it takes two others")
        operations += [operation for _, operation in slots]
        numbers.append(allowed.index((slots[0][0], slots[1][0])))
    return operations, numbers


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _is_concat(value: Any) -> bool:
    if isinstance(value, range):  # compared without counting: it may be of any length
        return value == range(_CONCAT[0], _CONCAT[-1] + 1)
    is_list = isinstance(value, list | tuple | set)
    return is_list and all(map(_is_integer, value)) and sorted(value) == list(_CONCAT)


def _fields(text: str) -> dict[str, Any]:
    """Parse the four fields of a genotype's text: plain lists, tuples, strings and numbers."""
    if len(text) > _LONGEST:
        raise _invalid(text[:80] + "...", f"it has {len(text)} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _invalid(text, f"it cannot be read ({type(error).__name__})") from error
    named = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)
    if not isinstance(tree, ast.Call) or not named or ast.unparse(tree.func) != "Genotype":
        raise _invalid(text, "it is not Genotype(...)")
    names = [keyword.arg for keyword in tree.keywords]
    if tree.args or sorted(map(str, names)) != sorted(Genotype._fields):
        raise _invalid(
            text,
            "it must give each of normal, normal_concat, reduce and reduce_concat once, by name",
        )
    fields = {}
    for keyword in tree.keywords:
        try:
            fields[str(keyword.arg)] = _plain(keyword.value)
        except (ValueError, TypeError, RecursionError, MemoryError) as error:
            raise _invalid(text, f"{keyword.arg} is no plain list") from error
    return fields


def _plain(node: ast.expr) -> Any:
    """Evaluate a literal, or a range of one to three literals."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        bounds = [ast.literal_eval(argument) for argument in node.args]
        if node.keywords or not 1 <= len(bounds) <= 3:
            raise ValueError("range")
        return range(*bounds)
    return ast.literal_eval(node)


def _invalid(shown: Any, reason: str) -> InvalidArchitectureError:
    quoted = repr(shown)
    quoted = quoted if len(quoted) <= 1000 else quoted[:1000] + "..."
    return InvalidArchitectureError(
        f"Not a NAS-Bench-301 architecture: {reason}: {quoted}. {_FORM}",
        architecture=shown,
        reason=reason,
    )
