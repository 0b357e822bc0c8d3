"""Ingest: the raw files of one benchmark source become one checked table and its data card."""

from optiproxy_nas.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
