"""Read sources ``nb301_package`` (v1.0) and ``nb301_package_v0_9``: models of ``nasbench301``.

The package (version 0.3, 2021) is called by its ensemble contract, ``load_ensemble(directory)`` and
``ensemble.predict(config=genotype, representation="genotype", with_noise=False)``; without the last
argument it adds noise. Its models are folders, one for each member of an ensemble, with pickles in
them that the package itself loads: unlike all other files of this project they can run code.

The files are listed by a pattern, so that every one is found, hashed and listed in the data card;
the "model" that ingest writes is their directory and digests, not a copy of them. Whether they are
still the same is checked when the benchmark is opened.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from optiproxy_nas.benchmarks import nb301 as official
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.file_formats import json_object
from optiproxy_nas.benchmarks.nb301 import NB301
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source, SourceModel
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.core.random_streams import kept_globals

METRICS = {
    VALIDATION_ACCURACY: "percent of the validation images, as the ensemble predicts (mean of its "
    "members, without noise)"
}
_PATTERN = "/**/*"
MEMBER_FILE = "surrogate_model.model"  # what the package looks for, in a folder for each member
_CONFIGURATIONS = ("data_config.json", "model_config.json")
_HOMEPAGE = "https://github.com/automl/nasbench301"
_OBTAIN = (
    "nasbench301.download_models(version='{version}') of the nasbench301 package downloads it "
    "(figshare: nasbench301_models_v{version}.zip; the folder nb_models in it is to be renamed "
    "nb_models_{version}). Put it into a data directory, so that it has nb301/{folder}/<member>/"
    "surrogate_model.model."
)


class ModelFile(NamedTuple):
    """One file of an ensemble, as far as it is kept."""

    path: str  # absolute
    size: int
    sha256: str


def parse(content: bytes, path: str) -> Any:
    """Return the facts of a model's file, or the official values.

    Raises:
        DataError: the official values are not JSON.
    """
    if Path(path).name == official.FILE.name:
        return json_object(content, path)
    return ModelFile(str(Path(path).absolute()), len(content), hashlib.sha256(content).hexdigest())


class Ensemble:
    """Predictions of an ensemble of the ``nasbench301`` package, loaded again after unpickling.

    Args:
        pointer: what ``build`` gave: JSON of the directory and its files' sizes and digests.

    Raises:
        DataError: the package cannot be imported, files are missing or others than at ingest, or
            the package cannot load them.
    """

    def __init__(self, pointer: bytes) -> None:
        self._pointer = pointer
        found = json.loads(pointer)
        directory = Path(found["directory"])
        for name, (size, digest) in found["files"].items():
            _check_file(directory / name, size, digest)
        package = _package()
        with kept_globals():  # the package seeds the global generators
            try:
                self._ensemble = package.load_ensemble(str(directory))
            except Exception as error:  # pickles of another version can raise anything
                raise DataError(
                    f"The nasbench301 package cannot load {directory} ({type(error).__name__}: "
                    f"{error}). Its models are pickles of objects of their time; use the "
                    "versions that the package's requirements.txt names.",
                    file=str(directory),
                ) from error

    def __call__(self, codes: Tensor, metric: str, epochs: int) -> Floats:
        """Return the validation accuracy of codes [n, 24] after full training: [n].

        Raises:
            DataError: the package fails, or gives no percentage.
        """
        values = []
        for genotype in official.SPACE.to_genotype(codes):
            try:
                value = self._ensemble.predict(
                    config=genotype, representation="genotype", with_noise=False
                )
                values.append(float(np.asarray(value, dtype=np.float64).reshape(())))
            except Exception as error:
                raise DataError(
                    f"The nasbench301 package cannot predict {genotype} ({type(error).__name__}: "
                    f"{error})."
                ) from error
        return np.array(values)

    def __reduce__(self) -> tuple[type[Ensemble], tuple[bytes]]:
        return type(self), (self._pointer,)


def build(files: Mapping[str, Any], _: pd.DataFrame, folder: str, obtain: str) -> bytes:
    """Return the ensemble's directory and digests, if the package can load it.

    Raises:
        DataError: it is not there or not complete, or as :class:`Ensemble`.
    """
    pointer = _pointer(folder, obtain, files.get(folder + _PATTERN, {}))
    Ensemble(pointer)
    return pointer


def facts(table: pd.DataFrame, model: bytes) -> dict[str, Any]:
    """Return where the ensemble lies, its members, and how it agrees with the official values."""
    found = json.loads(model)
    predicted = Ensemble(model)(official.codes_of(table), VALIDATION_ACCURACY, NB301.full_epochs)
    return {
        "predicts": METRICS,
        "directory": found["directory"],
        "members": sum(Path(name).name == MEMBER_FILE for name in found["files"]),
        "agreement": official.agreement(predicted, table),
    }


def _pointer(folder: str, obtain: str, found: Mapping[str, ModelFile]) -> bytes:
    names = {name.removeprefix(folder + "/"): file for name, file in found.items()}
    members = [name for name in names if Path(name).name == MEMBER_FILE]
    missing = [
        str(Path(member).parent / name)
        for member in members
        for name in _CONFIGURATIONS
        if (Path(member).parent / name).as_posix() not in names
    ]
    if not members or missing:
        lacking = ", ".join(missing) or f"any */{MEMBER_FILE}"
        raise DataError(
            f"nb301/{folder} in the data directories does not have {lacking}. Each member of the "
            f"ensemble is a folder with {MEMBER_FILE}, {' and '.join(_CONFIGURATIONS)}. {obtain}",
            folder=folder,
            missing=missing,
        )
    path, name = found[f"{folder}/{members[0]}"].path, Path(members[0])
    directory = Path(path).parents[len(name.parts) - 1]
    files = {name: (file.size, file.sha256) for name, file in sorted(names.items())}
    return json.dumps({"directory": str(directory), "files": files}).encode()


def _check_file(path: Path, size: int, digest: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}, which the ensemble is made of, cannot be read: {error}. Run ingest again.",
            file=str(path),
        ) from error
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise DataError(
            f"{path} is not the file that it was at ingest (sha256 {digest}). Run ingest again.",
            file=str(path),
            expected=digest,
        )


def _package() -> Any:
    try:
        return importlib.import_module("nasbench301")
    except ImportError as error:
        raise DataError(
            f"The nasbench301 package cannot be imported ({error}). pip install nasbench301 "
            "brings no dependency along; it needs torch-geometric, torch-scatter, torch-cluster, "
            "ConfigSpace, xgboost, lightgbm and others, as in the requirements.txt of "
            f"{_HOMEPAGE}. It dates from 2021 and Python 3.9 or older; whether newer versions load "
            "its models has not been tried. source=nb301_yahpo needs none of it.",
            package="nasbench301",
        ) from error


def _source(name: str, version: str) -> Source:
    folder = f"nb_models_{version}/xgb_v{version}"
    obtain = _OBTAIN.format(version=version, folder=folder)
    return Source(
        name=name,
        family=NB301,
        publication=Publication(
            version=f"the XGBoost ensemble of NAS-Bench-301 v{version} through the nasbench301 "
            "package, without noise: validation accuracy after full training",
            licence="of the models: see their page; nasbench301 is BSD-3-Clause, NASLib Apache-2.0",
            homepage=_HOMEPAGE,
            obtain=obtain,
            files=(RawFile(folder + _PATTERN, "cifar10"), official.FILE),
        ),
        contents=Contents(
            metrics=official.METRICS,
            epochs=(NB301.full_epochs,),
            partial=True,
            caution="A surrogate's value: what the NAS-Bench-301 ensemble predicts (mean of its "
            "members, without noise), not the accuracy of a trained network.",
        ),
        read=official.read,
        parse=parse,
        model=SourceModel(
            build=partial(build, folder=folder, obtain=obtain),
            load=Ensemble,
            metrics=METRICS,
            facts=facts,
            libraries=("nasbench301",),
        ),
    )


SOURCE = _source("nb301_package", "1.0")
V0_9 = _source("nb301_package_v0_9", "0.9")
