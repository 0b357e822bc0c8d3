"""Stores of MLflow: how one is opened, and how it fails."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optiproxy_nas.core.errors import OptiProxyError, TrackingError, first_line

PARENT_TAG = "mlflow.parentRunId"  # by which MLflow nests a run


def open_client(uri: str) -> Any:
    """Return a client of a store; this imports MLflow."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A server that is not there is to be noticed in seconds, not minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it sets INFO when imported
    return MlflowClient(tracking_uri=uri)


@contextmanager
def store_errors(uri: str, failure: str, advice: str) -> Iterator[None]:
    """Turn failures of a store into one kind: MLflow, SQLAlchemy and requests each have their own.

    Args:
        uri: of the store.
        failure: what cannot be done with it, such as "read".
        advice: how to go on without it.

    Raises:
        TrackingError: the store failed.
    """
    try:
        yield
    except OptiProxyError:
        raise
    except Exception as error:
        raise TrackingError(
            f"The MLflow store {uri} cannot be {failure}: {first_line(error)}. Set or unset "
            f"MLFLOW_TRACKING_URI, {advice}",
            uri=uri,
        ) from error
