"""Any method, whole in one node: what baselines and sweeps run."""

from optiproxy_nas.pipelines.methods.pipeline import create_pipeline

__all__ = ["create_pipeline"]
