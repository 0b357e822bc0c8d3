"""Kedro pipelines, with configuration and hooks: a module or package for each kind of pipeline."""

from optiproxy_nas.pipelines.registration import (
    methods_pipeline,
    own_pipelines,
    search_pipeline,
)

__all__ = ["methods_pipeline", "own_pipelines", "search_pipeline"]
