"""The search pipeline: one namespace a step, from the shared factory."""

from optiproxy_nas.pipelines.search.pipeline import FIGURES, create_pipeline

__all__ = ["FIGURES", "create_pipeline"]
