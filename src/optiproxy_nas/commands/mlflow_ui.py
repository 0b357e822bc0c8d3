"""``kedro mlflow-ui``: MLflow's pages of the project's runs, opened on the list of runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from kedro.framework.startup import ProjectMetadata

from optiproxy_nas.commands.command_line import clear_errors
from optiproxy_nas.core.errors import ParameterError, TrackingError, unknown_name
from optiproxy_nas.evaluation.interrupts import end_as_interrupted
from optiproxy_nas.runs.mlflow_store import sqlite_file, store_errors
from optiproxy_nas.runs.mlflow_view import run_list
from optiproxy_nas.runs.project_store import ProjectStore

HOST = "127.0.0.1"  # nobody beyond this machine
PATIENCE = 300  # seconds that the server may take to start
# Not for runs of searches, and processes that take a minute of CPU time at the start.
_SERVER = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@click.command("mlflow-ui")
@click.option("--pipeline", "-p", help="Whose runs are shown first.  [default: that run last]")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
@click.pass_obj
def mlflow_ui(metadata: ProjectMetadata, pipeline: str | None, port: int, no_browser: bool) -> None:
    """Show the project's runs in MLflow, on this machine only, until Ctrl-C.

    It opens the list of runs; the link that MLflow prints leads to a page for language models.
    Where MLFLOW_TRACKING_URI names a server, the list there is opened.
    """
    end_as_interrupted()  # a closed terminal ends the server, too
    with clear_errors("The runs are as they were."):
        store = ProjectStore(Path(metadata.project_path))
        experiment_id = experiment_of(store, pipeline)
        if store.uri.startswith(("http://", "https://")):
            _show(run_list(store.uri, experiment_id), no_browser)
            return
        _refuse_taken(port)
        command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port)]
        server = subprocess.Popen(
            [*command, "--backend-store-uri", store.uri, "--workers", "1"],
            env={**os.environ, **_SERVER},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        address = f"http://{HOST}:{port}"
        click.echo(f"Starting MLflow's server at {address}; Ctrl-C ends it.")
        try:
            _wait(server, port)
            _show(run_list(address, experiment_id), no_browser)
            server.wait()
        finally:
            server.terminate()
            server.wait()


def experiment_of(store: ProjectStore, pipeline: str | None) -> str:
    """Return MLflow's id of the experiment of a pipeline; None: of the run that began last.

    Raises:
        TrackingError: there is no store, or no run in it.
        UnknownNameError: no run of that pipeline was tracked.
    """
    path = sqlite_file(store.uri)
    if path is not None and not path.exists():
        raise TrackingError(
            "Run something first, such as kedro run --pipeline=nb201_search: no run of this "
            f"project was tracked, there is no store {store.uri}.",
            uri=store.uri,
        )
    with store_errors(store.uri, "read", "and try again."):
        client = store.open()
        ids = {found.name: str(found.experiment_id) for found in client.search_experiments()}
        if pipeline is not None:
            if pipeline not in ids:
                raise unknown_name("pipeline", pipeline, ids, where="among those with tracked runs")
            return ids[pipeline]
        order = ["attributes.start_time DESC"]
        runs: list[Any] = client.search_runs(list(ids.values()), max_results=1, order_by=order)
    if not runs:
        raise TrackingError(
            f"Run something first: the store {store.uri} has no run.", uri=store.uri
        )
    return str(runs[0].info.experiment_id)


def _show(address: str, no_browser: bool) -> None:
    click.echo(f"Runs: {address}")
    if not no_browser:
        webbrowser.open(address)


def _refuse_taken(port: int) -> None:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ParameterError(
                f"Choose another port, kedro mlflow-ui --port={port + 1}: {HOST}:{port} cannot be "
                f"used ({error.strerror}).",
                port=port,
            ) from error


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server answers.

    Raises:
        TrackingError: it ended, or took too long.
    """
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        with closing(socket.socket()) as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.2)
    raise TrackingError(
        f"MLflow's server did not start (exit code {server.poll()}). What it says: mlflow ui "
        f"--host {HOST} --port {port}"
    )
