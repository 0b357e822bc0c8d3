"""Compare: finished runs, read back from MLflow, on one page."""

from optiproxy_nas.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
