"""The data of a run as dataset inputs of its MLflow run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DIGITS = 36  # of a digest, that MLflow takes


def dataset_inputs(data: Mapping[str, Any]) -> list[Any]:
    """Return MLflow's inputs of the data that a manifest records: a table, or each dataset.

    Their digests are the first 36 digits of ours, which MLflow keeps no more of; the whole digest
    is in their source.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if "table_sha256" in data:
        found = {str(data["source"]): {"sha256": data["table_sha256"]}}
    else:
        found = {name: {"digest": it} for name, it in (data.get("datasets") or {}).items() if it}
    return [
        DatasetInput(
            Dataset(name, next(iter(facts.values()))[:DIGITS], "optiproxy_nas", json.dumps(facts)),
            [InputTag("mlflow.data.context", "search")],
        )
        for name, facts in found.items()
    ]
