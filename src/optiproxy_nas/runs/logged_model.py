"""The exported answer of a run as a logged model of MLflow: its files, and a description of them.

Nothing is pickled. Where there is an ONNX file, MLflow's ONNX flavour reads it, and so do its tools
for serving; the weights are for :func:`optiproxy_nas.load_model` on the downloaded artifacts.
"""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optiproxy_nas.export.folder import ARCHITECTURE, CARD, FACTS, read_facts
from optiproxy_nas.export.network import GRAPH

KIND = "optiproxy_nas"  # MLflow's model_type
_REFUSED = re.compile(r"[/:.%\"']")  # what MLflow takes in the name of no model
DESCRIPTION = "mlflow.note.content"  # a tag, which MLflow's page of a model shows
_LONGEST = 5000  # letters of a parameter or tag, below MLflow's limits
_READS = ("onnx", "onnxruntime")  # packages that MLflow's ONNX flavour needs


def log_model(client: Any, run_id: str, folder: Path) -> None:
    """Log an exported answer as the model of a run, unless the run has one.

    Args:
        client: of MLflow.
        run_id: of MLflow.
        folder: of the answer.

    Raises:
        Exception: of any kind, where the store fails.
    """
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(run_id)
    if run.outputs is not None and run.outputs.model_outputs:
        return
    facts = read_facts(folder)
    described = _described(folder, facts)
    model = client.create_logged_model(
        run.info.experiment_id,
        name=_REFUSED.sub("_", facts["search"]["run_id"]),
        source_run_id=run_id,
        tags={DESCRIPTION: (folder / CARD).read_text(encoding="utf-8")[:_LONGEST]},
        params=_parameters(folder, facts),
        model_type=KIND,
    )
    described.artifact_path, described.run_id = model.artifact_location, run_id
    described.model_uuid = described.model_id = model.model_id
    try:
        with tempfile.TemporaryDirectory(prefix="optiproxy-model-") as scratch:
            copy = Path(shutil.copytree(folder, Path(scratch, "model")))
            if GRAPH in facts["files"]:
                (copy / "requirements.txt").write_text(_requirements(facts), encoding="utf-8")
            described.save(str(copy / "MLmodel"))
            client.log_model_artifacts(model.model_id, str(copy))
    except BaseException:
        client.finalize_logged_model(model.model_id, "FAILED")
        raise
    client.finalize_logged_model(model.model_id, "READY")
    for name, value in _metrics(facts):
        client.log_metric(run_id, f"model/{name}", value, step=0, model_id=model.model_id)
    # Last: it says that the run has its model, whole.
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])


def _parameters(folder: Path, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what tells models apart, as MLflow's parameters of one."""
    named = {
        "architecture": (folder / ARCHITECTURE).read_text(encoding="utf-8"),
        "problem": facts["problem"],
        "trial": facts["training"]["trial"],
        "digest": facts["digest"],
        "is_eligible": facts["is_eligible"],
    }
    return {name: str(value)[:_LONGEST] for name, value in named.items()}


def _metrics(facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Give the numbers of a model by name: its value, parameters, and what else was measured."""
    found = {
        **facts["metrics"],
        "value": facts["value"],
        "confirmed": facts["confirmed"].get("mean"),
    }
    found |= {name: facts["network"].get(name) for name in ("parameters", "flops")}
    if latency := facts.get("latency"):  # as the metrics of a trial are called
        found |= {"latency_ms": latency["median_ms"]}
        found |= {f"latency_p{100 * latency['quantile']:g}_ms": latency["quantile_ms"]}
    found |= {f"test_{name}": value for name, value in facts["test"].items()}
    for name, value in found.items():
        if isinstance(value, int | float):
            yield re.sub(r"[^\w. :/-]", "_", name), float(value)


def _described(folder: Path, facts: Mapping[str, Any]) -> Any:
    """Return ``MLmodel``, by which MLflow knows what is in a model's folder, of no model yet."""
    from mlflow.models import Model

    described = Model(
        metadata={"files": sorted(path.name for path in folder.iterdir()), "card": CARD},
    )
    described.add_flavor(KIND, data=FACTS)
    if GRAPH in facts["files"]:
        described.add_flavor(
            "onnx",
            data=GRAPH,
            onnx_version=facts["versions"].get("onnx"),
            providers=["CPUExecutionProvider"],
            onnx_session_options=None,
            code=None,
        )
        described.add_flavor(
            "python_function",
            loader_module="mlflow.onnx",
            data=GRAPH,
            python_version=platform.python_version(),
        )
    return described


def _requirements(facts: Mapping[str, Any]) -> str:
    """Return what has to be installed to run a model's ONNX, a line each."""
    versions = facts["versions"]
    return "".join(
        f"{name}=={versions[name]}\n" if name in versions else f"{name}\n" for name in _READS
    )
