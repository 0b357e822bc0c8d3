"""Ask the stored proxies again, measure, draw, write."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from optiproxy_nas.diagnosis.captions import FIGURES
from optiproxy_nas.pipelines.diagnose import nodes


def create_pipeline() -> Pipeline:
    """Inputs: ``diagnosed_run`` (the run's stored artifacts, read-only), ``params:diagnose``."""
    run, settings = "diagnosed_run", "params:diagnose"
    measured = [run, "judged", "diagnosis.steps", "alarms", "landscape", settings]
    return Pipeline(
        [
            Node(
                nodes.ask_proxies,
                [run, settings],
                ["judged", "diagnosis.predictions"],
                name="ask_proxies",
            ),
            Node(
                nodes.measure,
                [run, "judged", settings],
                ["diagnosis.steps", "alarms"],
                name="measure",
            ),
            Node(nodes.find_landscape, [run, settings], "landscape", name="find_landscape"),
            Node(nodes.summarise, measured, "diagnosis.numbers", name="summarise"),
            Node(
                nodes.draw,
                measured,
                {name: f"diagnosis.{name}" for name in FIGURES},
                name="draw",
            ),
            Node(
                nodes.write_page,
                [
                    run,
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
