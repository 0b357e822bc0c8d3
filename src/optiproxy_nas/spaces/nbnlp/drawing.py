"""A recipe as text, for a terminal."""

from __future__ import annotations

import json

_SHORT = {
    "linear": "linear",
    "blend": "blend",
    "elementwise_prod": "product",
    "elementwise_sum": "sum",
    "activation_tanh": "tanh",
    "activation_sigm": "sigmoid",
    "activation_leaky_relu": "leaky relu",
}


def draw_recipe(recipe: str) -> str:
    """One line a node, in the order in which they can be computed.

    ``h_new_0 = blend(node_1, h_prev_0, node_2)``: of a blend the gate, what it keeps, the other.
    """
    nodes = json.loads(recipe)
    done: list[str] = []
    while len(done) < len(nodes):
        done += [
            name
            for name in sorted(set(nodes) - set(done))
            if all(source in done for source in nodes[name]["input"] if source in nodes)
        ]
    return "\n".join(
        f"{name:>8} = {_SHORT[nodes[name]['op']]}({', '.join(nodes[name]['input'])})"
        for name in done
    )
