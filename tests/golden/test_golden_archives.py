"""The archives of small searches are those that were recorded in ``golden.json``.

A digest covers the archive's rows in query order: every column but the integer codes, numbers at
full precision. It is taken of the rows, not of a file, and needs nothing of the package but
``optiproxy_nas.search`` and ``kedro run``: modules may move, archives may not change.

Last bits depend on the CPU and on the libraries' kernels. ``numerics`` in the file has digests of a
small reference calculation, one for each kind of machine on which all archives came out the same;
elsewhere the machine rounds otherwise and the tests are skipped.

Record again::

    OPTIPROXY_DATA_DIR=... .venv/bin/python tests/golden/test_golden_archives.py --record [NAME ...]

With names, only these are recorded, and the others stay. This is legitimate in two cases only:

* a change of behaviour was intended, and the change log says which searches it alters;
* pinned versions in ``constraints.txt`` were raised (torch, numpy, scipy or another library), or
  the machine that runs the tests was replaced.

It is not legitimate after a refactoring: there a differing digest is a defect. Never record only to
make a test pass; find the first differing row first (``--show NAME`` prints the canonical rows).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import torch

from ingested import Ingested

REPOSITORY = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden.json")
DATA = "OPTIPROXY_DATA_DIR"
SEEDS = (1000, 1001)
LIBRARIES = ("torch", "numpy", "scipy", "pandas", "botorch", "optuna", "onnxruntime", "lightgbm")


# What is searched for where no benchmark is: pure Python, of the architecture string alone.


def worth(architecture: str, salt: str = "value") -> float:
    """A value of 40 to 95 that neighbours share most of: a mean over the string's pieces."""
    pieces = [architecture[i : i + 5] for i in range(0, len(architecture), 3)]
    hashes = [hashlib.sha256(f"{salt}/{piece}".encode()).digest()[:4] for piece in pieces]
    mean = sum(int.from_bytes(part, "big") for part in hashes) / len(hashes) / 2**32
    whole = int.from_bytes(hashlib.sha256(architecture.encode()).digest()[:4], "big") / 2**32
    return 40 + 50 * mean + 5 * whole


def plain(architecture: str) -> float:
    return worth(architecture)


def by_epochs(architecture: str, epochs: int) -> float:
    short = 10 if epochs < 200 else 0
    return worth(architecture) - short * worth(architecture, "early") / 95


def bounded(architecture: str) -> dict[str, float]:
    return {"value": worth(architecture), "latency_ms": worth(architecture, "latency") / 5}


# The cases.


@dataclass(frozen=True)
class Case:
    """A search: ``archive(project)`` gives its archive; ``needs_data`` says of what.

    ``project(source)`` is a Kedro project for its run, which may have the source's table already.
    """

    archive: Callable[[Callable[[str], Path]], pd.DataFrame]
    needs_data: str = ""


def by_api(needs_data: str = "", **arguments: Any) -> Case:
    def archive(project: Callable[[str], Path]) -> pd.DataFrame:
        from optiproxy_nas import search

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return search(**arguments).archive

    return Case(archive, needs_data)


def by_kedro(
    pipeline: str, steps: int = 0, source: str = "embedded", needs_data: str = "", **params: Any
) -> Case:
    """A run of a pipeline up to its last archive; ``steps`` 0: of a methods pipeline.

    ``source`` is the pipeline's.
    """

    def archive(project: Callable[[str], Path]) -> pd.DataFrame:
        return kedro_archive(project(source), pipeline, steps, params)

    return Case(archive, needs_data)


BOUND = {"name": "constrained", "constraints": ["latency_ms <= 12"]}
TWO_BOUNDS = {
    "name": "constrained",
    "constraints": ["latency_ms <= 15", "parameters_millions < 0.6"],
}
EPOCHS = {"name": "multi_fidelity", "low_first": 20}
OWN_EPOCHS = {**EPOCHS, "low_epochs": 12, "full_epochs": 200, "continues": False}
SHORT_FIT: dict[str, Any] = {
    "fit": {"epochs": 10, "first_epochs": 20}
}  # where fits as in the preset take long
SHORT_EPOCHS = {"gradient": {"epochs": 5}, "fit": {"epochs": 5, "first_epochs": 10}}
TABLE: dict[str, Any] = {"dataset": "cifar10", "source": "embedded", "space": "nb201"}
CURVES = "accuracies after 12 epochs"
METHODS = (
    "random_search",
    "regularized_evolution",
    "local_search",
    "bananas",
    "gaussian_process",
    "tpe",
)
PROXIES = ("gcn", "lstm", "gat", "transformer", "mlp", "path_mlp", "truncated_path_mlp")


def preset_cases() -> Iterator[tuple[str, Case]]:
    for seed in SEEDS:
        each = partial(by_api, seed=seed)
        yield f"default-{seed}", each(preset="default", budget=24, **TABLE)
        for space in ("nb301", "nb101", "nbnlp"):
            name = f"default-{space}-{seed}"
            yield name, each(space=space, preset="default", evaluate=plain, budget=14)
        yield f"ensemble-{seed}", each(preset="ensemble", budget=20, **TABLE)
        yield f"paper-{seed}", each(preset="paper", budget=24, **SHORT_FIT, **TABLE)
        yield f"hardware-{seed}", each(preset="hardware", objective=BOUND, budget=16, **TABLE)
        yield (
            f"low_fidelity-{seed}",
            each(
                preset="low_fidelity",
                objective=EPOCHS,
                source="v1_0+schedule12",
                budget=1100,
                initial_samples=20,
                needs_data=CURVES,
            ),
        )
        yield (
            f"low_fidelity-own-{seed}",
            each(
                preset="low_fidelity",
                objective=OWN_EPOCHS,
                evaluate=by_epochs,
                budget=1100,
                initial_samples=20,
            ),
        )
        for space in ("nb301", "nb101"):
            yield (
                f"large-{space}-{seed}",
                each(space=space, preset="large", evaluate=plain, budget=14),
            )
        yield (
            f"nlp-{seed}",
            each(space="nbnlp", preset="nlp", evaluate=plain, budget=17, **SHORT_FIT),
        )


def other_cases() -> Iterator[tuple[str, Case]]:
    each = partial(by_api, seed=SEEDS[0])
    for name in METHODS:
        budget = 24 if name == "gaussian_process" else 70
        yield f"method-{name}", each(method=name, budget=budget, **TABLE)
    yield (
        "method-regularized_evolution-bound",
        each(method="regularized_evolution", objective=TWO_BOUNDS, budget=70, **TABLE),
    )
    yield (
        "method-local_search-two-fidelities",
        each(method="local_search", objective=OWN_EPOCHS, evaluate=by_epochs, budget=200 * 40),
    )
    for space in ("nb101", "nb301", "nbnlp"):
        yield (
            f"method-local_search-{space}",
            each(method="local_search", space=space, evaluate=plain, budget=60),
        )
    for name in PROXIES:
        yield (
            f"proxy-{name}",
            each(proxy={"name": name}, preset="ensemble", budget=14, **SHORT_FIT, **TABLE),
        )
    yield "evaluate-nb201", each(evaluate=plain, preset="ensemble", budget=16)
    yield (
        "evaluate-nb201-bound",
        each(evaluate=bounded, preset="hardware", objective=BOUND, budget=14),
    )


def kedro_cases() -> Iterator[tuple[str, Case]]:
    each = partial(by_kedro, seed=SEEDS[0])
    yield "kedro-nb201_search", each("nb201_search", 2, budget=14)
    yield "kedro-nb201_methods", each("nb201_methods", method="regularized_evolution", budget=70)
    yield (
        "kedro-hw_search",
        each(
            "hw_search",
            2,
            budget=14,
            preset="hardware",
            objective={"constraints": TWO_BOUNDS["constraints"]},
        ),
    )
    yield (
        "kedro-lowfi_search",
        each(
            "lowfi_search",
            4,
            "v1_0+schedule12",
            budget=1100,
            initial_samples=20,
            objective={"low_first": 20},
            needs_data=CURVES,
            **SHORT_EPOCHS,
        ),
    )
    yield "kedro-nb101_search", each("nb101_search", 2, "nb101_table", "NAS-Bench-101", budget=14)
    yield "kedro-nb301_search", each("nb301_search", 2, "nb301_yahpo", "NAS-Bench-301", budget=14)
    yield (
        "kedro-nlp_search",
        each("nlp_search", 2, "nbnlp_surrogate", "NAS-Bench-NLP", budget=20, **SHORT_FIT),
    )
    yield (
        "kedro-nb301_methods",
        each("nb301_methods", 0, "nb301_yahpo", "NAS-Bench-301", method="local_search", budget=40),
    )


CASES: dict[str, Case] = {**dict(preset_cases()), **dict(other_cases()), **dict(kedro_cases())}


# Kedro: one project for all runs of a process.


def copy_project(target: Path) -> Path:
    """What of the repository a project needs, without any data."""
    target.mkdir(parents=True)
    ignore = shutil.ignore_patterns("local")
    shutil.copytree(REPOSITORY / "conf", target / "conf", ignore=ignore)
    (target / "conf" / "local").mkdir()
    for name in ("pyproject.toml", ".kedro.yml", ".telemetry"):
        shutil.copy(REPOSITORY / name, target)
    (target / "src").mkdir()
    for layer in (REPOSITORY / "data").glob("0*_*"):
        (target / "data" / layer.name).mkdir(parents=True)
    return target


def kedro_archive(
    project: Path, pipeline: str, steps: int, params: Mapping[str, Any]
) -> pd.DataFrame:
    """Run a pipeline in this process as far as its last archive; read this from the disk."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    run_id = f"golden-{pipeline}"
    output = f"step_{steps:02d}.archive" if steps else "result.archive"
    common = {"tracking": False, "quiet": True, "pipeline": pipeline, "run_id": run_id}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(project)
        patch.setattr(sys, "path", sys.path[:])  # bootstrap adds to both
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("KEDRO_ENV", raising=False)
        bootstrap_project(project)
        session: Any = KedroSession.create(project, runtime_params={**common, **params})
        with session:
            session.run(pipeline_names=[pipeline], to_outputs=[output])
    found = project / "data" / "07_model_output" / run_id
    if not steps:
        return pd.read_parquet(found / "archive.parquet")
    last = max(found.glob("step_*"))
    assert last.name == f"step_{steps:02d}"
    return pd.read_parquet(max((last / "archive.parquet").iterdir()) / "archive.parquet")


# Digests.


def written(value: Any) -> str:
    """A cell of the archive, floats at full precision."""
    if isinstance(value, str):
        return value
    return repr(float(value)) if isinstance(value, float | np.floating) else str(int(value))


def told_columns(archive: pd.DataFrame) -> list[str]:
    """All but the codes, which say what ``architecture`` says."""
    return [name for name in archive.columns if not name.startswith("code_")]


def canonical(archive: pd.DataFrame, columns: Sequence[str]) -> str:
    """The rows as text: a line of names, then a line each, fields by tabulators."""
    rows = zip(*(archive[name].tolist() for name in columns), strict=True)
    lines = ["\t".join(columns), *("\t".join(map(written, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def facts(archive: pd.DataFrame, columns: Sequence[str]) -> dict[str, Any]:
    """What is kept of an archive. The second digest says whether values or predictions differ."""
    text, queries = canonical(archive, columns), canonical(archive, ["architecture", "value"])
    return {
        "digest": sha256(text),
        "queries": sha256(queries),
        "rows": len(archive),
        "first": archive["architecture"].iloc[0],
        "last": archive["architecture"].iloc[-1],
        "columns": list(columns),
    }


def sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@cache
def numerics() -> str:
    """The digest of a small calculation: whether this machine rounds as another one did."""
    torch.set_num_threads(1)
    digest = hashlib.sha256()
    for dtype in (torch.float32, torch.float64):
        for array in _torch_results(dtype):
            digest.update(array.detach().contiguous().numpy().tobytes())
    for matrix in _numpy_results():
        digest.update(np.ascontiguousarray(matrix).tobytes())
    return digest.hexdigest()


def _torch_results(dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    draw = partial(torch.randn, generator=generator, dtype=dtype)
    x, w, batched = draw(100, 64), draw(64, 64) / 8, draw(5, 64, 48)
    results = [
        x @ w,
        torch.einsum("nd,edh->enh", x, batched),
        x.exp(),
        torch.log_softmax(x, -1),
        torch.softmax(x / 0.2, -1),
        torch.tanh(x),
        torch.nn.functional.gelu(x),
        torch.sigmoid(x),
        x.std(0),
        torch.log1p(x.abs()),
    ]
    spd = w @ w.T + 0.1 * torch.eye(64, dtype=dtype)
    results += [torch.linalg.cholesky(spd), torch.linalg.solve(spd, w[:, :3])]
    weights = [(draw(64, 32) / 8).requires_grad_(), (draw(32, 1) / 6).requires_grad_()]
    optimizer = torch.optim.Adam(weights, lr=0.005, weight_decay=0.001)
    for _ in range(10):
        optimizer.zero_grad()
        loss = ((torch.tanh(x @ weights[0]) @ weights[1])[:, 0] - x[:, 0]).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return [*results, *weights]


def _numpy_results() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    a = rng.normal(size=(40, 40))
    spd = a @ a.T + np.eye(40)
    factor = scipy.linalg.cho_factor(spd)
    return [
        a @ a,
        np.exp(a),
        np.log(np.abs(a)),
        np.linalg.solve(spd, a),
        np.linalg.lstsq(a[:, :5], a[:, 5], rcond=None)[0],
        scipy.linalg.cho_solve(factor, a),
        np.abs(scipy.linalg.eigvalsh(spd)),
    ]


def software() -> dict[str, str]:
    """Versions of the libraries that an archive depends on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


# The test.


@cache
def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def golden_project(
    tmp_path_factory: pytest.TempPathFactory, ingested: Ingested
) -> Callable[[str], Path]:
    """Makes the project of all Kedro cases when the first one asks for it."""
    project = cache(lambda: copy_project(tmp_path_factory.mktemp("golden") / "project"))

    @cache
    def with_table(source: str) -> Path:
        ingested.put(project(), source)
        return project()

    return with_table


def test_every_case_is_recorded_and_no_other() -> None:
    assert set(golden()["archives"]) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_archive_is_the_recorded_one(name: str, golden_project: Callable[[str], Path]) -> None:
    case, expected = CASES[name], golden()["archives"][name]
    if numerics() not in golden()["numerics"]:
        pytest.skip("this machine or its libraries round otherwise than where golden.json was made")
    if case.needs_data and not os.environ.get(DATA):
        pytest.skip(f"{DATA} is not set: no data of {case.needs_data} here")
    archive = case.archive(golden_project)
    missing = set(expected["columns"]) - set(archive.columns)
    assert not missing, f"the archive lost its columns {sorted(missing)}"
    found = facts(archive, expected["columns"])
    if found != expected:
        pytest.fail(difference(name, found, expected))


def difference(name: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """What a person needs to know first."""
    same = found["queries"] == expected["queries"]
    lines = [
        f"The archive of {name!r} is not the recorded one.",
        "Architectures and values are the same; other columns (predictions, scores) differ."
        if same
        else "Architectures or values differ.",
        *(
            f"{key}: recorded {expected[key]}, now {found[key]}"
            for key in ("rows", "first", "last")
            if found[key] != expected[key]
        ),
    ]
    recorded = golden()["software"]
    lines += [
        f"{key} was {recorded[key]}, is {now}"
        for key, now in software().items()
        if now != recorded[key]
    ]
    lines.append(f"See the rows: python {Path(__file__).name} --show {name}; see its docstring.")
    return "\n".join(lines)


# Recording.


def compute(names: Iterable[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The archives of cases, by name."""
    torch.set_num_threads(1)
    with ExitStack() as stack:

        @cache
        def project(_source: str) -> Path:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            return copy_project(Path(folder) / "project")

        for name in names:
            yield name, CASES[name].archive(project)


def record(names: Sequence[str], target: Path) -> None:
    """Write the digests of cases, keeping those of the others."""
    old = json.loads(target.read_text(encoding="utf-8")) if names and target.exists() else {}
    if old and numerics() not in old["numerics"]:
        sys.exit("This machine rounds otherwise than the recording one: record all cases.")
    archives = dict(old.get("archives", {}))
    for name, archive in compute(names or CASES):
        archives[name] = facts(archive, told_columns(archive))
        print(f"{name}: {archives[name]['rows']} rows, {archives[name]['digest'][:12]}", flush=True)
    content = {
        "numerics": old.get("numerics", [numerics()]),
        "software": software(),
        "archives": {name: archives[name] for name in CASES if name in archives},
    }
    target.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the golden digests, or show an archive.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--record", nargs="*", metavar="NAME", help="all cases, or those named")
    what.add_argument("--show", metavar="NAME", help="print the rows that are digested")
    parser.add_argument("--to", type=Path, default=GOLDEN, help="another file to record in")
    given = parser.parse_args()
    names = [given.show] if given.show else given.record
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if any(CASES[name].needs_data for name in names or CASES) and not os.environ.get(DATA):
        parser.error(f"{DATA} is not set, and some cases need data")
    if given.show:
        for _, archive in compute(names):
            print(canonical(archive, told_columns(archive)), end="")
    else:
        record(names, given.to)


if __name__ == "__main__":
    main()
