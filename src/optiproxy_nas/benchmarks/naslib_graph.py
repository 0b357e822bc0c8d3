"""An objective over NASLib's own objects, for those who have NASLib installed beside us.

NASLib (Python < 3.10) is imported when the first architecture is evaluated, never before. Only the
contract of its search-space graphs is used: ``graph.set_spec(op_indices)`` and
``graph.query(metric, dataset, dataset_api=...)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optiproxy_nas.core.errors import DataError
from optiproxy_nas.spaces.nb201 import NASBench201


class NASLibObjective:
    """Validation accuracy by NASLib's NAS-Bench-201 graph; pass it as ``search(evaluate=...)``.

    There is no test accuracy here: for NAS-Bench-201, NASLib reads its "test accuracy" from the
    validation key.

    Args:
        dataset: NASLib's own name, e.g. "cifar10".
        dataset_api: what NASLib's ``get_dataset_api("nasbench201", dataset)`` returns.
        graph: makes a fresh search-space graph; default NASLib's ``NasBench201SearchSpace``.
        metric: default NASLib's ``Metric.VAL_ACCURACY``.
    """

    def __init__(
        self,
        dataset: str,
        dataset_api: Any,
        graph: Callable[[], Any] | None = None,
        metric: Any = None,
    ) -> None:
        self._dataset = dataset
        self._api = dataset_api
        self._graph = graph
        self._metric = metric
        self._space = NASBench201()

    def __call__(self, architectures: Sequence[str]) -> NDArray[np.float64]:
        """Validation accuracy in percent of each architecture string: [n].

        Raises:
            DataError: NASLib is not installed.
            InvalidArchitectureError: not a NAS-Bench-201 cell.
        """
        make_graph = self._graph or _naslib("search_spaces", "NasBench201SearchSpace")
        metric = self._metric or _naslib("search_spaces.core.query_metrics", "Metric").VAL_ACCURACY
        values = []
        for indices in self._space.to_naslib(self._space.from_string(architectures)):
            graph = make_graph()
            graph.set_spec(list(indices))
            values.append(float(graph.query(metric, self._dataset, dataset_api=self._api)))
        return np.array(values)


def _naslib(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"naslib.{module}"), name)
    except ImportError as error:
        raise DataError(
            f"NASLib is not installed here ({error}). It is not on the package registry and needs "
            "Python 3.9 or older: install it from its repository into such an environment, or use "
            "source=naslib, which reads NASLib's data files without it.",
            module=module,
        ) from error
