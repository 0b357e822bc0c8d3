"""Read source ``nb301_yahpo``: YAHPO Gym's neural surrogate of NAS-Bench-301.

It was fitted to the training logs of NAS-Bench-301 (Pfisterer et al. 2022) and predicts the
validation accuracy after any of 98 epochs. It is not the ensemble that the NAS-Bench-301 paper
offers and others report figures of: on 1,218 architectures with a value of that ensemble (v1.0) the
ranks agree with Spearman 0.904, and its values are 1.3 percentage points higher.

An ONNX network for one architecture at a time: ``x_cat`` int32 [1, 34] are categories (28 edges,
then which inputs nodes 3 to 5 of both cells take), ``x_cont`` float32 [1, 1] is the epoch, and the
output [1, 2] is validation accuracy in percent and runtime in seconds. Edges are numbered as in
NAS-Bench-301: that from input i to node 2, 3, 4 or 5 has number 0, 2, 5 or 9 plus i; edges that a
cell does not have are "#na#". Architectures are asked about one by one, whatever the batch.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.benchmarks import nb301 as official
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.file_formats import json_object, npz_arrays
from optiproxy_nas.benchmarks.nb301 import NB301
from optiproxy_nas.benchmarks.sources import Contents, Publication, RawFile, Source, SourceModel
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces.nb301.darts_cell import CELLS, NODES, OPERATIONS, PAIRS, SLOTS

SECONDS = "training_seconds"
METRICS: Mapping[str, str] = {
    VALIDATION_ACCURACY: "percent of the validation images, as the surrogate predicts",
    SECONDS: "seconds of training up to that epoch, as the surrogate predicts",
}
EPOCHS = tuple(range(1, NB301.full_epochs + 1))

# SHA-256 of new_model.onnx.
PUBLISHED = "3c6a6fb3a70998bf6c55883bdc5cc71cff190e1859468d72cc6960b88f06d280"
_PREFIX = "NetworkSelectorDatasetInfo_COLON_darts_COLON_"
_ABSENT = "#na#"
_EDGES = 14  # of a cell, possible ones
_FIRST_EDGE = (0, 2, 5, 9)  # of each node
EDGE_COLUMNS = tuple(f"{_PREFIX}edge_{cell}_{edge}" for cell in CELLS for edge in range(_EDGES))
INPUT_COLUMNS = tuple(
    f"{_PREFIX}inputs_node_{cell}_{node + 2}" for cell in CELLS for node in range(1, NODES)
)
COLUMNS = (*EDGE_COLUMNS, *INPUT_COLUMNS)
_PAIR_NAMES = tuple(tuple(f"{low}_{high}" for low, high in pairs) for pairs in PAIRS)
# Input or output -> (ONNX type, shape for one architecture).
_INPUTS = {"x_cat": ("tensor(int32)", (1, len(COLUMNS))), "x_cont": ("tensor(float)", (1, 1))}
_OUTPUT = ("tensor(float)", (1, 2))


def parse(content: bytes, path: str) -> Any:
    """Return the network's bytes as they are, else parse JSON.

    Raises:
        DataError: it is not JSON.
    """
    return content if path.endswith(".onnx") else json_object(content, path)


def build(files: Mapping[str, Any], _: pd.DataFrame) -> bytes:
    """Pack network and encoding, if they are what they should be.

    Raises:
        DataError: they are not, or onnxruntime is not installed.
    """
    check_encoding(files[_ENCODING.name], _ENCODING.name)
    check_space(files[_SPACE.name], _SPACE.name)
    packed = pack(files[_NETWORK.name], files[_ENCODING.name])
    Network(packed, sha256=None)  # its file was compared with the published one
    return packed


def facts(table: pd.DataFrame, model: bytes) -> dict[str, Any]:
    """Return what the network predicts, and how that agrees with the official values."""
    codes = official.codes_of(table)
    predicted = Network(model, sha256=None)(codes, VALIDATION_ACCURACY, EPOCHS[-1])
    return {
        "predicts": dict(METRICS),
        "epochs": [EPOCHS[0], EPOCHS[-1]],
        "agreement": official.agreement(predicted, table),
    }


def check_encoding(encoding: Any, file: str) -> None:
    """Refuse (DataError) an ``encoding.json`` without a number for all that a genotype can say."""
    if not isinstance(encoding, Mapping):
        raise _wrong(file, "it is not {column: {category: number}}")
    for column in COLUMNS:
        categories = encoding.get(column)
        wanted = {_ABSENT, *_categories(column)}
        if not isinstance(categories, Mapping) or set(categories) != wanted:
            raise _wrong(file, f"column {column!r} does not have the categories {sorted(wanted)}")
        numbers = list(categories.values())
        if sorted(map(str, numbers)) != sorted(map(str, range(len(wanted)))):
            raise _wrong(file, f"column {column!r} does not number them 0 to {len(wanted) - 1}")


def check_space(space: Any, file: str) -> None:
    """Refuse (DataError) a ``config_space.json`` of other parameters, choices or epochs."""
    try:
        found = {parameter["name"]: parameter for parameter in space["hyperparameters"]}
        epoch = found.pop("epoch")
        epochs = (epoch["lower"], epoch["upper"])
        choices = {name: set(parameter["choices"]) for name, parameter in found.items()}
    except (LookupError, TypeError) as error:
        raise _wrong(file, f"it has another layout ({error!r})") from error
    if choices != {name: set(_categories(name)) for name in COLUMNS}:
        raise _wrong(file, "its parameters are not the 34 of the DARTS space")
    if epochs != (EPOCHS[0], EPOCHS[-1]):
        raise _wrong(file, f"it has epochs {epochs[0]} to {epochs[1]}, not 1 to {EPOCHS[-1]}")


def pack(network: bytes, encoding: Mapping[str, Mapping[str, int]]) -> bytes:
    """Return both as one archive of plain arrays; the same bytes for the same content."""
    text = json.dumps(encoding, sort_keys=True).encode()
    stream = io.BytesIO()
    np.savez(
        stream,
        network=np.frombuffer(network, dtype=np.uint8),
        encoding=np.frombuffer(text, dtype=np.uint8),
    )
    return stream.getvalue()


class Network:
    """Predictions of the packed network; it builds its session again after unpickling.

    An ONNX network is a program, and a few of its bytes can ask for any memory and time. So only
    the published one is run.

    Args:
        packed: what ``pack`` gave.
        sha256: of the network; None: any.

    Raises:
        DataError: onnxruntime is not installed, or the network is damaged or another one.
    """

    def __init__(self, packed: bytes, sha256: str | None = PUBLISHED) -> None:
        self._packed, self._sha256 = packed, sha256
        try:
            arrays = npz_arrays(packed, "it", ("network", "encoding"))
            network = arrays["network"].tobytes()
            encoding = json.loads(arrays["encoding"].tobytes())
        except (DataError, ValueError, RecursionError) as error:
            raise _wrong("The stored surrogate", f"it is damaged ({error})") from error
        has = hashlib.sha256(network).hexdigest()
        if sha256 not in (None, has):
            raise _wrong("The ONNX network", f"its SHA-256 is {has}")
        self._session = _session(network)
        edges = [[encoding[column][name] for name in OPERATIONS] for column in EDGE_COLUMNS]
        self._edge_numbers = np.array(edges, dtype=np.int32)  # of operations [28, 7]
        self._input_numbers = [  # of the pairs of each column of inputs
            np.array([encoding[column][name] for name in _categories(column)], dtype=np.int32)
            for column in INPUT_COLUMNS
        ]
        self._absent = np.array([encoding[column][_ABSENT] for column in COLUMNS], dtype=np.int32)
        found = self._run(self._absent[np.newaxis], EPOCHS[-1])
        if not np.isfinite(found).all():
            raise _wrong("The ONNX network", f"its output is {found.tolist()}")

    def __call__(self, codes: Tensor, metric: str, epochs: int) -> Floats:
        """Return one of ``METRICS`` of codes [n, 24] after one of ``EPOCHS``: [n]."""
        values = self._run(self.categories(codes), epochs)[:, list(METRICS).index(metric)]
        # The network ends in a sigmoid, so that only rounding can leave the percent scale, and a
        # runtime below zero is none.
        top = 100.0 if metric == VALIDATION_ACCURACY else np.inf
        clipped: Floats = values.astype(np.float64).clip(0.0, top)
        return clipped

    def categories(self, codes: Tensor) -> NDArray[np.int32]:
        """Return ``x_cat`` of codes [n, 24]: [n, 34]."""
        code = codes.numpy()
        found = np.tile(self._absent, (len(code), 1))
        rows = np.arange(len(code))
        for cell in range(2):
            for node, pairs in enumerate(PAIRS):
                chosen = code[:, 2 * SLOTS + cell * NODES + node]
                for slot in range(2):
                    source = np.array(pairs)[chosen, slot]
                    column = cell * _EDGES + _FIRST_EDGE[node] + source
                    operation = code[:, cell * SLOTS + 2 * node + slot]
                    found[rows, column] = self._edge_numbers[column, operation]
                if node:
                    place = cell * (NODES - 1) + node - 1
                    found[:, len(EDGE_COLUMNS) + place] = self._input_numbers[place][chosen]
        return found

    def _run(self, categories: NDArray[np.int32], epochs: int) -> NDArray[np.float32]:
        epoch = np.full((1, 1), epochs, dtype=np.float32)
        values = np.empty((len(categories), 2), dtype=np.float32)
        try:
            for row in range(len(categories)):
                feed = {"x_cat": categories[row : row + 1], "x_cont": epoch}
                values[row] = self._session.run(None, feed)[0].reshape(2)
        except Exception as error:  # onnxruntime's errors have no common base but this one
            raise _wrong("The ONNX network", f"it cannot be run ({error})") from error
        return values

    def __reduce__(self) -> tuple[type[Network], tuple[bytes, str | None]]:
        return type(self), (self._packed, self._sha256)


def _categories(column: str) -> tuple[str, ...]:
    if column in EDGE_COLUMNS:
        return OPERATIONS
    return _PAIR_NAMES[int(column[-1]) - 2]


def _session(network: bytes) -> Any:
    """Return a deterministic session on one thread."""
    try:
        import onnxruntime  # Slow to import, and an optional dependency.
    except ImportError as error:
        raise DataError(
            f"NAS-Bench-301's ONNX surrogate needs onnxruntime, which cannot be imported ({error})."
            ' Install it with pip install "optiproxy-nas[surrogates]".',
            package="onnxruntime",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but this one
        raise _wrong("The ONNX network", f"it cannot be read ({error})") from error
    found = {value.name: (value.type, tuple(value.shape)) for value in session.get_inputs()}
    outputs = [(value.type, tuple(value.shape)) for value in session.get_outputs()]
    if found != _INPUTS or outputs != [_OUTPUT]:
        raise _wrong(
            "The ONNX network", f"it maps {found} to {outputs}, not {_INPUTS} to {[_OUTPUT]}"
        )
    return session


def _wrong(what: str, why: str) -> DataError:
    return DataError(
        f"{what} is not that of YAHPO Gym's NAS-Bench-301 surrogate: {why}. Get new_model.onnx, "
        "encoding.json and config_space.json of slds-lmu/yahpo_data, folder nb301, again.",
        file=what,
        reason=why,
    )


def _file(name: str, published: str, size: int, sha256: str) -> RawFile:
    url = f"https://raw.githubusercontent.com/slds-lmu/yahpo_data/main/nb301/{published}"
    return RawFile(name, "cifar10", sha256=sha256, size=size, url=url)


_NETWORK = _file(
    "nb301_new_model.onnx",
    "new_model.onnx",
    2_578_406,
    PUBLISHED,
)
_ENCODING = _file(
    "yahpo_encoding.json",
    "encoding.json",
    6_706,
    "b16bb8db9aa5a9b688cd97e782643abe96bd166baa445675f57cbcf5e6128a98",
)
_SPACE = _file(
    "yahpo_config_space.json",
    "config_space.json",
    18_982,
    "3135c6f8347f491fd31e8fa7a5e9607ea926c9a8558a6a21a1419d55a01884f2",
)

SOURCE = Source(
    name="nb301_yahpo",
    family=NB301,
    publication=Publication(
        version="YAHPO Gym's neural surrogate of NAS-Bench-301 (nb301/new_model.onnx of "
        "yahpo_data), fitted to the training logs of NAS-Bench-301: validation accuracy and "
        "runtime after 1 to 98 epochs; beside it 1,218 values of the official xgb v1.0 surrogate",
        licence="Apache-2.0 (yahpo_data; NASLib)",
        homepage="https://github.com/slds-lmu/yahpo_data",
        obtain="The folder nb301 of https://github.com/slds-lmu/yahpo_data has it: new_model.onnx, "
        "encoding.json and config_space.json, here nb301_new_model.onnx, yahpo_encoding.json and "
        "yahpo_config_space.json.",
        files=(_NETWORK, _ENCODING, _SPACE, official.FILE),
    ),
    contents=Contents(
        metrics=official.METRICS,
        epochs=EPOCHS,
        partial=True,
        continues=True,
        caution="A surrogate's value: what YAHPO Gym's network predicts, not the accuracy of a "
        "trained network, and not the NAS-Bench-301 ensemble that published figures are of.",
    ),
    read=official.read,
    parse=parse,
    model=SourceModel(
        build=build, load=Network, metrics=METRICS, facts=facts, libraries=("onnxruntime",)
    ),
)
