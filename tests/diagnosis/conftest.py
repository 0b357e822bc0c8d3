"""A small finished search on a made-up table: the better, the more 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.budget import number_of_steps
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.nb201 import NB201
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.tidy_table import tidy
from optiproxy_nas.evaluation.batch import evaluate_batch
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.report.diagnose.reference_cells import Cells, cells_of
from optiproxy_nas.spaces.nb201 import NASBench201

CELLS = torch.tensor(list(product(range(5), repeat=6)))
WORTH = np.array([0.0, 1.0, 3.0, 4.0, 0.5])  # of each operation, points


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    values = 60 + WORTH[CELLS.numpy()].sum(1) + 0.01 * (np.arange(len(CELLS)) % 97)
    return tidy(NB201, CELLS, "cifar10", {VALIDATION_ACCURACY: values})


@pytest.fixture(scope="session")
def run(
    make_parameters: Callable[..., SearchParameters], nb201: NASBench201, table: pd.DataFrame
) -> SearchHistory:
    """Five steps, run as the pipeline does, everything kept."""
    parameters = make_parameters(budget=33, selection={"batch": 5})
    values = table.set_index("architecture")[VALIDATION_ACCURACY]

    @batched
    def evaluate(architectures: Any) -> Any:
        return values.loc[list(architectures)].to_numpy()

    batch = steps.initial_batch(nb201, parameters)
    done, _ = evaluate_batch(nb201, batch, evaluate, parameters)
    archive = steps.update_archive(done, parameters)
    weights, logits, traces = {}, {}, {}
    fitted = searched = None
    for step in range(1, number_of_steps(parameters) + 1):
        fitted, _ = steps.fit_proxy(nb201, archive, parameters, None, fitted, step=step)
        searched, trace = steps.search_logits(
            nb201, fitted, archive, parameters, searched, step=step
        )
        pool = steps.sample_candidates(nb201, searched, archive, parameters, step=step)
        batch = steps.select_batch(nb201, pool, fitted, archive, parameters, step=step)
        done, _ = evaluate_batch(nb201, batch, evaluate, parameters, archive)
        archive = steps.update_archive(done, parameters, archive)
        weights[step], logits[step], traces[step] = fitted, searched, trace
    benchmark = TabularBenchmark(table, "cifar10", get_source("embedded"))
    return SearchHistory("made-up", parameters, archive, weights, logits, traces, benchmark)


@pytest.fixture(scope="session")
def cells(nb201: NASBench201, run: SearchHistory) -> Cells:
    return cells_of(nb201, run)
