"""Kedro pipelines: one package each, with a `create_pipeline`."""
