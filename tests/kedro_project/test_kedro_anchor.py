"""What MLflow keeps of a run, so that its files cannot be rewritten unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro_runs import manifest, run
from mlflow import MlflowClient

from optiproxy_nas.runs import audit_checks
from optiproxy_nas.runs.manifest import sealed


def test_mlflow_has_the_data_and_the_digest_of_the_manifest(tracked: Path) -> None:
    facts = run(tracked, run_id="r", tracking=True)
    client = MlflowClient(f"sqlite:///{tracked / 'mlflow.db'}")
    found: Any = client.get_run(facts["mlflow_run_id"])
    assert found.data.tags["manifest.sha256"] == facts["manifest_sha256"]
    (given,) = found.inputs.dataset_inputs
    assert given.dataset.name == "cifar10 of embedded"
    assert json.loads(given.dataset.source) == {"sha256": facts["data"]["table_sha256"]}
    assert facts["data"]["table_sha256"].startswith(given.dataset.digest)

    def wrong(**entries: object) -> list[str]:
        return audit_checks.wrong_anchor(tracked, sealed({**manifest(tracked, "r"), **entries}))[0]

    assert audit_checks.wrong_anchor(tracked, facts) == ([], [])
    assert "is not the one that the store knows" in wrong(created="2020-01-01T00:00:00+00:00")[0]
    assert "the store has" in wrong(mlflow_run_id=None)[0]
    assert "the store has" in wrong(mlflow_run_id="0" * 32)[0]
