"""The ingest pipeline; run once per source, afterwards its outputs are only read."""

from kedro.pipeline import Node, Pipeline

from optiproxy_nas.pipelines.ingest.nodes import build, check, describe, read


def create_pipeline(**_: object) -> Pipeline:
    """``benchmark_files`` -> ``benchmark_table``, ``benchmark_model`` and ``benchmark_card``."""
    return Pipeline(
        [
            Node(
                read,
                ["benchmark_files", "params:source"],
                ["benchmark_rows", "benchmark_file_facts"],
                name="read_benchmark",
            ),
            Node(
                check,
                ["benchmark_rows", "params:source"],
                "benchmark_table",
                name="check_benchmark",
            ),
            Node(
                build,
                ["benchmark_files", "benchmark_table", "params:source"],
                "benchmark_model",
                name="build_benchmark",
            ),
            Node(
                describe,
                ["benchmark_table", "benchmark_model", "benchmark_file_facts", "params:source"],
                "benchmark_card",
                name="describe_benchmark",
            ),
        ]
    )
