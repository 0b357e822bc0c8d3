"""Runs on disk and in MLflow: manifest, lock, datasets, tracking, audit."""
