"""``python -m cost.structure``: the package's structure in numbers and as a picture.

It counts modules, lines, imports against the layers and import circles of the checkout and of the
commit before the rebuild, and writes both to docs/decisions/house.md and its picture. The layers
are those of import-linter in pyproject.toml; ``OLD`` says where a module of the old tree belonged.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import grimp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from scipy.sparse.csgraph import connected_components

from evidence.pages import update_page

ROOT = Path(__file__).parents[1]
PACKAGE = "optiproxy_nas"
BEFORE = "3d34051"
PAGE = ROOT / "docs" / "decisions" / "house.md"
PICTURE = ROOT / "docs" / "images" / "structure.png"
SMALL = 60  # lines
# Layer -> what of the old tree belonged to it, where the names differ.
OLD = {
    "core": "errors parameters registry reproducibility validation",
    "spaces": "encodings relaxation",
    "objectives": "pareto",
    "runs": "audit datasets manifest run_metrics run_record software tracking",
    "report": "reporting comparison diagnosis statistics",
    "pipelines": "benchmark_data configuration hooks run_parameters",
    "commands": "command_line evidence_command sweep_command",
}


class Structure(NamedTuple):
    """One state of the package.

    Attributes:
        sizes: room (package or module right below the root) -> (modules, lines).
        layers: rooms of each layer, the highest layer first.
        imports: (importing room, imported room) -> number of imports between their modules.
        counts: caption -> number, for the table.
    """

    sizes: dict[str, tuple[int, int]]
    layers: list[list[str]]
    imports: Counter[tuple[str, str]]
    counts: dict[str, int]

    def against(self) -> list[tuple[str, str]]:
        """Return the pairs of rooms whose imports break the layers."""
        level = {room: i for i, layer in enumerate(self.layers) for room in layer}
        return [
            (a, b)
            for a, b in self.imports
            if level[b] < level[a] or (level[b] == level[a] and layer_of(a) != layer_of(b))
        ]


def layer_of(room: str) -> str:
    """Return the name of the layer that a room of either tree belongs to."""
    return next((layer for layer, rooms in OLD.items() if room in rooms.split()), room)


def structure(tree: Path) -> Structure:
    """Read the structure of the package in ``tree``/src."""
    folder = tree / "src" / PACKAGE
    sys.modules.pop(PACKAGE, None)
    sys.path.insert(0, str(folder.parent))
    importlib.invalidate_caches()
    try:
        graph = grimp.build_graph(PACKAGE, cache_dir=None)
    finally:
        sys.path.pop(0)
    lines = {path: len(path.read_text().splitlines()) for path in folder.rglob("*.py")}
    files = [(path.relative_to(folder).parts[0].removesuffix(".py"), path) for path in lines]
    files = sorted((room, path) for room, path in files if room != "__init__")
    sizes = {
        room: (len(paths), sum(lines[path] for _, path in paths))
        for room, group in groupby(files, key=lambda pair: pair[0])
        if (paths := list(group))
    }
    pairs = [
        (a, b) for a in sorted(graph.modules) for b in graph.find_modules_directly_imported_by(a)
    ]
    between = Counter((_room(a), _room(b)) for a, b in pairs)
    imports = Counter({(a, b): n for (a, b), n in between.items() if a != b and a and b})
    functions = [path for path in lines for _ in _functions_of_a_dataset(path)]
    found = Structure(sizes, _layers(sizes), imports, {})
    found.counts.update(
        {
            "modules": len(lines),
            "lines": sum(lines.values()),
            f"modules of fewer than {SMALL} lines": sum(n < SMALL for n in lines.values()),
            "modules of more than 300 lines": sum(n > 300 for n in lines.values()),
            "imports between modules": len(pairs),
            "imports against the layers": sum(imports[pair] for pair in found.against()),
            "rooms in import circles": _in_circles(list(imports)),
            "modules in import circles": _in_circles(pairs),
            "functions with an argument `dataset`": len(functions),
            "modules with such a function": len(set(functions)),
        }
    )
    return found


def _room(module: str) -> str:
    """Return the package or module right below the root that a module is in; "" of the root."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def _layers(rooms: dict[str, tuple[int, int]]) -> list[list[str]]:
    """Return the rooms by layer; what the layers do not name comes on top of the sweeps."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    names = [layer.split(" | ") for layer in contract["layers"]]
    named = {name for layer in names for name in layer}
    names.insert(2, sorted({layer_of(room) for room in rooms} - named))
    by_layer = [sorted(room for room in rooms if layer_of(room) in layer) for layer in names]
    return [layer for layer in by_layer if layer]


def _in_circles(pairs: list[tuple[str, str]]) -> int:
    """Return how many nodes of a directed graph can reach themselves through another one."""
    nodes = sorted({node for pair in pairs for node in pair})
    place = {node: i for i, node in enumerate(nodes)}
    matrix = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for a, b in pairs:
        matrix[place[a], place[b]] = True
    _, component = connected_components(matrix, connection="strong")
    sizes = np.bincount(component)
    return int(sizes[sizes > 1].sum())


def _functions_of_a_dataset(path: Path) -> list[str]:
    """Return the functions of a file that have an argument named ``dataset``."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        node.name
        for node in functions
        if "dataset" in {a.arg for a in (*node.args.posonlyargs, *node.args.args)}
        or "dataset" in {a.arg for a in node.args.kwonlyargs}
    ]


def draw(axes: Axes, title: str, found: Structure) -> None:
    """Draw rooms by layer, imports downwards in grey, those against the layers in red."""
    place = {
        # A room alone steps aside, so that one can see which rows an arrow passes.
        room: ((i + 0.5) / len(layer) + (0.16 * (-1) ** level if len(layer) == 1 else 0), -level)
        for level, layer in enumerate(found.layers)
        for i, room in enumerate(layer)
    }
    against = set(found.against())
    for pair in sorted(found.imports, key=lambda pair: pair in against):
        red = pair in against
        arrow = FancyArrowPatch(
            place[pair[0]],
            place[pair[1]],
            connectionstyle=f"arc3,rad={0.25 if red else 0.06}",
            arrowstyle="-|>",
            mutation_scale=9 if red else 6,
            color="#c0392b" if red else "#b8c0c8",
            linewidth=(0.9 if red else 0.4) + 0.25 * np.log(found.imports[pair]),
            shrinkA=14,
            shrinkB=14,
            zorder=2 if red else 1,
        )
        axes.add_patch(arrow)
    for room, (x, y) in place.items():
        modules, lines = found.sizes[room]
        size = f"\n{modules} · {lines:,}" if modules > 1 else f"\n{lines:,}"
        axes.text(
            x,
            y,
            room.replace("_", "_\n", 1) + size if len(room) > 12 else room + size,
            ha="center",
            va="center",
            fontsize=6.5,
            zorder=3,
            bbox={"boxstyle": "round,pad=0.3", "facecolor": "#eef3f8", "edgecolor": "#5b7083"},
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-len(found.layers) + 0.5, 0.5)
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=11)


def main() -> None:
    """Write the table and the picture."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", BEFORE, "src"], cwd=ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        before = structure(Path(folder))
    after = structure(ROOT)
    figure = Figure(figsize=(15, 10), dpi=110)
    figure.set_layout_engine("constrained")
    left, right = figure.subplots(1, 2)
    draw(left, f"before ({BEFORE})", before)
    draw(right, "after", after)
    figure.savefig(PICTURE, metadata={"Software": None})
    rows = [f"| {name} | {n:,} | {after.counts[name]:,} |" for name, n in before.counts.items()]
    table = "\n".join(["| | before | after |", "| --- | ---: | ---: |", *rows])
    update_page(PAGE, PAGE, {"structure": table})
    print(table)


if __name__ == "__main__":
    main()
