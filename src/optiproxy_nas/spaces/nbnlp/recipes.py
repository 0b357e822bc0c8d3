"""Recipes as text: written and parsed as JSON, drawn for a terminal."""

from __future__ import annotations

import json
import re
from graphlib import CycleError, TopologicalSorter
from typing import Any

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.nbnlp import grammar
from optiproxy_nas.spaces.nbnlp.grammar import FIRST, NODES, OPERATIONS, SOURCES, STATES, Op

_NEW = re.compile(r"h_new_\d+")
_PREVIOUS = re.compile(r"h_prev_(\d+)")


def to_recipe(code: list[int]) -> str:
    """Return the JSON of one code: keys sorted; nodes that make no state are node_0, node_1 ..."""
    names: dict[int, str] = {}
    for state, place in enumerate(code[4 * NODES :]):
        if place:
            names[place - 1] = f"h_new_{state}"
    plain = 0
    for node in range(NODES):
        if code[node] != Op.ABSENT and node not in names:
            names[node], plain = f"node_{plain}", plain + 1
    recipe = {
        name: {
            "input": [
                SOURCES[choice - 1] if choice < FIRST else names[choice - FIRST]
                for choice in code[NODES + 3 * node : NODES + 3 * node + 3]
                if choice
            ],
            "op": OPERATIONS[code[node]],
        }
        for node, name in names.items()
    }
    return json.dumps(recipe, sort_keys=True)


def parse_recipe(text: str) -> list[int]:
    """Return a valid code of one recipe, its nodes in an order that the inputs allow.

    Raises:
        InvalidArchitectureError: which rule it breaks, and at which node.
    """
    recipe = _nodes(text)
    states = _check_states(text, recipe)
    for name, node in recipe.items():
        _check_node(text, recipe, states, name, node)
    order = _order(text, recipe)
    _check_use(text, recipe, states)
    if len(order) > NODES:
        raise _invalid(
            text,
            f"it has {len(order)} nodes; this space holds recipes of at most {NODES}, the most of "
            "any published one",
        )
    choice = {name: 1 + i for i, name in enumerate(SOURCES)}
    choice |= {name: FIRST + i for i, name in enumerate(order)}
    operations, inputs = [int(Op.ABSENT)] * NODES, [0] * (3 * NODES)
    for place, name in enumerate(order):
        operations[place] = OPERATIONS.index(recipe[name]["op"])
        for slot, source in enumerate(recipe[name]["input"]):
            inputs[3 * place + slot] = choice[source]
    outputs = [order.index(f"h_new_{k}") + 1 if k < states else 0 for k in range(STATES)]
    return operations + inputs + outputs


def _invalid(text: Any, reason: str, node: str | None = None) -> InvalidArchitectureError:
    shown = text if isinstance(text, str) else repr(text)
    shown = shown if len(shown) <= 300 else f"{shown[:300]}..."
    where = f"node {node!r} " if node is not None else ""
    return InvalidArchitectureError(
        f"Not a NAS-Bench-NLP recipe: {where}{reason}. Expected JSON such as "
        '{"h_new_0": {"input": ["x", "h_prev_0"], "op": "linear"}}. Got: ' + shown,
        architecture=text,
        reason=reason,
        node=node,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {max(names, key=names.count)!r} occurs twice")
    return unique


def _nodes(text: str) -> dict[str, dict[str, Any]]:
    if not isinstance(text, str):
        raise _invalid(text, "it is not a string")
    try:
        recipe = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _invalid(text, f"it is not JSON ({error})") from error
    if not isinstance(recipe, dict) or not recipe:
        raise _invalid(text, "it is not a mapping of at least one node")
    for name, node in recipe.items():
        if name in SOURCES or _PREVIOUS.fullmatch(name):
            raise _invalid(text, "has the name of an input of the cell", name)
        if not isinstance(node, dict) or set(node) != {"op", "input"}:
            raise _invalid(text, "is not a mapping of 'op' and 'input'", name)
        if not isinstance(node["op"], str) or node["op"] not in OPERATIONS[1:]:
            allowed = ", ".join(OPERATIONS[1:])
            raise _invalid(text, f"has the operation {node['op']!r}, not one of {allowed}", name)
        inputs = node["input"]
        if not isinstance(inputs, list) or not all(isinstance(i, str) for i in inputs):
            raise _invalid(text, "has an 'input' that is not a list of names", name)
    return recipe


def _check_states(text: str, recipe: dict[str, Any]) -> int:
    """Return the number of hidden states."""
    # Compared as text: a number can have leading zeros, foreign digits, or thousands of them.
    names = sorted((name for name in recipe if _NEW.fullmatch(name)), key=lambda n: (len(n), n))
    if not 1 <= len(names) <= STATES or names != [f"h_new_{k}" for k in range(len(names))]:
        shown = [name if len(name) <= 20 else f"{name[:20]}..." for name in names[:20]]
        raise _invalid(
            text,
            f"it makes the hidden states {', '.join(shown) or '(none)'}; "
            f"there must be one to {STATES}, numbered from 0",
        )
    return len(names)


def _check_node(
    text: str, recipe: dict[str, Any], states: int, name: str, node: dict[str, Any]
) -> None:
    operation, inputs = OPERATIONS.index(node["op"]), node["input"]
    least, most = grammar.LEAST_INPUTS[operation], grammar.MOST_INPUTS[operation]
    if not least <= len(inputs) <= most:
        wanted = str(least) if least == most else f"{least} or {most}"
        raise _invalid(text, f"({node['op']}) takes {wanted} inputs, not {len(inputs)}", name)
    if len(set(inputs)) < len(inputs):
        raise _invalid(text, f"has an input twice: {', '.join(inputs)}", name)
    for source in inputs:
        if source == "x":
            if node["op"] != "linear":
                raise _invalid(text, f"({node['op']}) reads x, which only linear nodes can", name)
        elif match := _PREVIOUS.fullmatch(source):
            if source not in SOURCES[1 : 1 + states]:
                raise _invalid(text, f"reads {source}, but no node makes h_new_{match[1]}", name)
        elif source not in recipe:
            raise _invalid(text, f"reads {source!r}, which is no node and no input", name)


def _order(text: str, recipe: dict[str, Any]) -> list[str]:
    """Return the nodes, each after its inputs; level by level, by name in a level."""
    sorter = TopologicalSorter(
        {name: [source for source in recipe[name]["input"] if source in recipe] for name in recipe}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = error.args[1][::-1]
        raise _invalid(text, f"lies on a cycle: {' <- '.join(cycle)}", cycle[0]) from None
    order: list[str] = []
    while ready := sorted(sorter.get_ready()):
        order += ready
        sorter.done(*ready)
    return order


def _check_use(text: str, recipe: dict[str, Any], states: int) -> None:
    reached: set[str] = set()
    todo = [f"h_new_{k}" for k in range(states)]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += recipe[name]["input"] if name in recipe else []
    for name in recipe:
        if name not in reached:
            raise _invalid(text, "has no path to a new hidden state", name)
    for source in SOURCES[: 1 + states]:
        if source not in reached:
            raise _invalid(text, f"no node reads {source}")


def draw_recipe(recipe: str) -> str:
    """Draw one line a node, in an order in which they can be computed.

    ``h_new_0 = blend(node_1, h_prev_0, node_2)``: the inputs of a blend are gate, kept, other.
    """
    nodes = json.loads(recipe)
    return "\n".join(
        f"{name:>8} = {nodes[name]['op']}({', '.join(nodes[name]['input'])})"
        for name in _order(recipe, nodes)
    )
