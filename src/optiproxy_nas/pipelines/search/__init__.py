"""The search pipeline: one namespace a step, from the shared factory."""

from optiproxy_nas.pipelines.search.pipeline import create_pipeline, pipeline_of, resolve

__all__ = ["create_pipeline", "pipeline_of", "resolve"]
