"""Read runs back, compare, draw, write the page."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from optiproxy_nas.pipelines.compare import nodes


def create_pipeline() -> Pipeline:
    """Inputs: ``compared_runs`` (of the MLflow store) and ``params:compare``."""
    return Pipeline(
        [
            Node(
                nodes.compare,
                ["compared_runs", "params:compare"],
                "comparison",
                name="compare_runs",
            ),
            Node(
                nodes.tables,
                "comparison",
                ["comparison.results", "comparison.paired"],
                name="tabulate_comparison",
            ),
            Node(
                nodes.draw,
                "comparison",
                ["comparison.best_so_far", "comparison.run_length"],
                name="draw_comparison",
            ),
            Node(nodes.page, "comparison", "comparison.page", name="write_comparison"),
        ]
    )
