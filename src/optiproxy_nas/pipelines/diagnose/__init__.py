"""The diagnosis pipeline: figures of one finished search run."""

from optiproxy_nas.pipelines.diagnose.pipeline import create_pipeline

__all__ = ["create_pipeline"]
