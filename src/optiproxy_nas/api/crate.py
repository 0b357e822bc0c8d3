"""A search from Python as a crate: its archive, its record and its journal."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.benchmark_cache import load_source
from optiproxy_nas.benchmarks.data_card import data_card, recorded_data
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.evaluation.journal_file import is_journal
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.export.folder import check_free
from optiproxy_nas.proof.contents import Statement, Step
from optiproxy_nas.proof.crate import write_crate
from optiproxy_nas.proof.crate_reading import PYTHON
from optiproxy_nas.proof.signature import Signer
from optiproxy_nas.runs.atomic_files import file_digest, write_json
from optiproxy_nas.runs.manifest import manifest_path, new_manifest, reporting_folder, sealed
from optiproxy_nas.runs.run_names import name_from

_STEP = ("search", "optiproxy_nas.api.entry:search")


def export_search(
    result: SearchRecord, folder: Path, journal: Path | None, key: Path | None, author: str | None
) -> Path:
    """Write the crate of a search into a new folder.

    Raises:
        OptiProxyError: as of :meth:`SearchResult.export_crate`.
    """
    if journal is not None and not is_journal(journal):
        raise ParameterError(
            f"{str(journal)!r} is no journal of a search. Give the path that search(..., "
            "journal=path) wrote to.",
            path=str(journal),
        )
    check_free(folder)
    run_id = name_from(folder.name)
    with tempfile.TemporaryDirectory(prefix="optiproxy-crate-") as name:
        project = Path(name).resolve()
        files = project / "data" / "07_model_output" / run_id
        files.mkdir(parents=True)
        result.archive.to_parquet(files / "archive.parquet")
        result.save(files / "record.search")
        artifacts = {"result.archive": "archive.parquet", "result.record": "record.search"}
        if journal is not None:
            shutil.copyfile(journal, files / "journal.jsonl")
            artifacts["journal"] = "journal.jsonl"
        manifest = new_manifest(run_id, PYTHON, result.parameters.model_dump(mode="json"), False)
        if journal is not None:  # it says when the search ended; a result does not
            ended = datetime.fromtimestamp(int(journal.stat().st_mtime), UTC).isoformat()
            manifest["created"] = ended
        data = _record_table(result, project)
        manifest |= {
            "data": data,
            "status": "finished",
            "closed": manifest["created"],
            "artifacts": {
                of: {
                    "path": (files / file).relative_to(project).as_posix(),
                    "sha256": file_digest(files / file),
                }
                for of, file in artifacts.items()
            },
            "result": _summary(result),
        }
        manifest = sealed(manifest)
        write_json(manifest_path(reporting_folder(project), run_id), manifest)
        read = ("benchmark_table",) if data else ()
        steps = [Step(*_STEP, read, tuple(sorted(artifacts)))]
        signer = None if key is None else Signer(key)
        return write_crate(project, manifest, steps, folder, Statement(author=author), signer)


def _record_table(result: SearchRecord, project: Path) -> dict[str, str]:
    """Write the table that answered, and its data card; return what a manifest says of it.

    Returns:
        source and digests; {} where no table or model answered.

    Raises:
        DataError: the archive's values are not those of the source's files as they are now, or
            these cannot be read.
    """
    parameters = result.parameters
    if parameters.source == OWN_EVALUATION:
        return {}
    source = get_source(parameters.source)
    table, model, facts = load_source(parameters.source)
    _check_answers(result, open_benchmark(table, model, str(parameters.dataset), source))
    card = data_card(table, model, facts, source)
    folder = project / "data" / "03_primary" / parameters.benchmark
    folder.mkdir(parents=True)
    table.to_parquet(folder / f"{parameters.source}.parquet")
    write_json(folder / f"{parameters.source}.json", card)
    return recorded_data(card, parameters.source)


def _check_answers(result: SearchRecord, benchmark: Benchmark) -> None:
    """Refuse an archive with other values than the benchmark's.

    Raises:
        DataError: the first architecture whose value differs, or that is not in it.
    """
    objective, archive = result.parameters.objective, result.archive
    trained = archive["epochs"] if objective.fidelities else pd.Series(0, archive.index)
    for epochs in sorted(set(trained)):
        rows = archive[trained == epochs]
        names = rows["architecture"].tolist()
        answers = {"value": benchmark.query(names, benchmark.target, int(epochs) or None)}
        answers |= {metric: benchmark.query(names, metric) for metric in objective.metrics}
        for column, found in answers.items():
            differs = ~np.isclose(
                rows[column].to_numpy(float), found, rtol=0, atol=0, equal_nan=True
            )
            if differs.any():
                place = int(differs.argmax())
                raise DataError(
                    f"The archive says {column} {rows[column].iloc[place]!r} of {names[place]}, "
                    f"source {benchmark.source!r} says {found[place]!r}: another table answered "
                    "the search than the one that is read now. Bring its files back, or search "
                    "again.",
                    source=benchmark.source,
                    architecture=names[place],
                )


def _summary(result: SearchRecord) -> dict[str, Any]:
    confirmed = {} if result.confirmation.empty else {"confirmations": len(result.confirmation)}
    return {
        "queries": len(result.archive),
        "best_architecture": result.best.text,
        "target": result.target,
        result.target: result.best_value,
        "caution": result.caution,
        **confirmed,
    }
