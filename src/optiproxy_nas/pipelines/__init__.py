"""Kedro pipelines, with configuration and hooks: a module or package for each kind of pipeline."""
