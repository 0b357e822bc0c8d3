"""Ask the stored proxies again, measure, draw, write."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from optiproxy_nas.pipelines.diagnose import nodes
from optiproxy_nas.report.diagnose.captions import FIGURES


def create_pipeline() -> Pipeline:
    """Inputs: ``diagnosed_run`` (the run's stored artifacts, read-only), ``params:diagnose``."""
    run, cells, settings = "diagnosed_run", "cells", "params:diagnose"
    measured = [run, "judged", "diagnosis.steps", "alarms", "landscape"]
    return Pipeline(
        [
            Node(nodes.read_cells, run, cells, name="read_cells"),
            Node(
                nodes.ask_proxies,
                [run, cells, settings],
                ["judged", "diagnosis.predictions"],
                name="ask_proxies",
            ),
            Node(
                nodes.measure,
                [run, "judged", settings],
                ["diagnosis.steps", "alarms"],
                name="measure",
            ),
            Node(nodes.find_landscape, [run, cells, settings], "landscape", name="find_landscape"),
            Node(
                nodes.summarise,
                [*measured, cells, settings],
                "diagnosis.numbers",
                name="summarise",
            ),
            Node(
                nodes.draw,
                [*measured, settings],
                {name: f"diagnosis.{name}" for name in FIGURES},
                name="draw",
            ),
            Node(
                nodes.write_page,
                [
                    cells,
                    "diagnosis.numbers",
                    "diagnosis.steps",
                    "landscape",
                    settings,
                    *(f"diagnosis.{name}" for name in FIGURES),
                ],
                "diagnosis.page",
                name="write_page",
            ),
        ]
    )
