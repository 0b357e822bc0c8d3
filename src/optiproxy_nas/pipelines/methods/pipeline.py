"""Load, search by the chosen method in one node, summarise."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from optiproxy_nas.pipelines.methods import nodes


def create_pipeline() -> Pipeline:
    """Inputs: ``benchmark_table``, ``benchmark_model`` (of the ingest pipeline), ``params:search``,
    ``params:run``.
    """
    return Pipeline(
        [
            Node(
                nodes.load_benchmark,
                ["benchmark_table", "benchmark_model", "params:search"],
                ["benchmark", "evaluate"],
                name="load_benchmark",
            ),
            Node(
                nodes.search,
                ["evaluate", "params:search"],
                ["result.archive", "result.trials", "report.diagnostics"],
                name="search",
            ),
            Node(
                nodes.summarise,
                ["result.archive", "result.trials", "benchmark", "params:search", "params:run"],
                "report.summary",
                name="summarise",
            ),
        ]
    )
