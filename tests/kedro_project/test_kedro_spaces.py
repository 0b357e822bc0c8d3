"""The pipelines of the other search spaces, on their real data where these are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from kedro_runs import (
    TINY_ARGUMENT,
    Killed,
    archive,
    artifact,
    command,
    die_at,
    manifest,
    resume,
    run,
    search_digests,
    without_pictures,
)
from markupsafe import escape

from ingested import Ingested
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.spaces import get_space

SPACES = {
    "nb301": ("nb301_yahpo", "cifar10"),
    "nlp": ("nbnlp_surrogate", "ptb"),
    "nb101": ("nb101_table", "cifar10"),
}


pytestmark = pytest.mark.skipif(
    not os.environ.get("OPTIPROXY_DATA_DIR"),
    reason="OPTIPROXY_DATA_DIR is not set: no tables of NAS-Bench-101, 301 and NLP here",
)


@pytest.mark.parametrize("name", SPACES)
def test_a_search_from_the_command_line(
    bare_project: Path, ingested: Ingested, monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    without_pictures(monkeypatch, "best_cell")
    source, dataset = SPACES[name]
    ingested.put(bare_project, source)
    result = command(
        bare_project, "run", f"--pipeline={name}_search",
        f"--params=run_id=r,tracking=off,source={source},{TINY_ARGUMENT}",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    record = manifest(bare_project, "r")
    summary, target = record["result"], get_source(source).contents.target
    table = archive(bare_project, "r")
    assert record["parameters"]["dataset"] == dataset
    assert summary["target"] == target
    assert summary[target] == table["value"].max() == table["best"].iloc[-1]
    space = get_space(record["parameters"]["space"])
    codes = space.from_string(table["architecture"].tolist())
    assert len(set(space.identify(codes))) == len(table)
    assert artifact(bare_project, "r", "report.best_cell").read_bytes().startswith(b"\x89PNG")
    page = (bare_project / "data" / "08_reporting" / "r" / "report.html").read_text()
    caution = get_source(source).contents.caution
    if caution:
        assert str(escape(caution)) in page
        assert caution.split()[0] in result.output
    card = bare_project / "data" / "03_primary" / record["parameters"]["benchmark"]
    facts = json.loads((card / f"{source}.json").read_text())
    assert facts.get("model_sha256") == record["data"].get("model_sha256")
    assert (get_source(source).model is None) == ("model_sha256" not in facts)


def test_killed_and_resumed_is_the_run_that_never_stopped(
    bare_project: Path, ingested: Ingested, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingested.put(bare_project, SPACES["nb301"][0])
    without_pictures(monkeypatch)
    given: dict[str, Any] = {"pipeline": "nb301_search"}
    run(bare_project, run_id="whole", **given)
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, "step_02.select")
        with pytest.raises(Killed):
            run(bare_project, run_id="cut", **given)
    resume(bare_project, run_id="cut", **given)
    assert search_digests(bare_project, "cut") == search_digests(bare_project, "whole")
    assert command(bare_project, "audit", "cut").exit_code == 0
