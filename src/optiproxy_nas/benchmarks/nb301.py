"""NAS-Bench-301: its constants, and 1,218 values of its official surrogate (xgb v1.0).

The values are a JSON list of ``[[normal, reduction], percent]``; a cell is four nodes, a node two
pairs ``[input, operation]`` in NASLib's numbers. The file is in NASLib's history and in no release
of it, so it has no address here; without it a source says that its agreement was not checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from optiproxy_nas.benchmarks.sources import BenchmarkFamily, RawFile
from optiproxy_nas.benchmarks.tidy_table import tidy
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError
from optiproxy_nas.spaces.nb301 import NASBench301

SPACE = NASBench301()
NB301 = BenchmarkFamily(name="nb301", space="nb301", source="nb301_yahpo", full_epochs=98)
OFFICIAL = "official_validation_accuracy"
METRICS = {
    OFFICIAL: "percent of the validation images, as the official xgb v1.0 surrogate predicts"
}
FILE = RawFile(
    "nb301_xgb_v1_predictions_1218.json",
    "cifar10",
    sha256="f2f6b110c767b0428d07c986dd889ce212849a85812e7b24083d3c1ce338a718",
    size=208_087,
    obtain="It is optional: without it the source answers the same, and its data card says that "
    "the agreement with the official surrogate was not checked. Remove it, or put the right one "
    "there; it is from the history of NASLib (https://github.com/automl/NASLib), not a release.",
)


def read(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of the official values; the other files of a source have none.

    Raises:
        DataError: they have another layout.
    """
    if file.name != FILE.name:
        return tidy(NB301, SPACE.from_string([]), file.dataset, {OFFICIAL: []})
    return read_official(file, content)


def read_official(file: RawFile, content: Any) -> pd.DataFrame:
    """Return tidy rows of the official values.

    Raises:
        DataError: another layout, no valid architecture, or a value that is no percentage.
    """
    try:
        codes = SPACE.from_naslib([architecture for architecture, _ in content])
        values = np.array([value for _, value in content], dtype=np.float64)
    except InvalidArchitectureError as error:
        raise DataError(f"{file.name}: {error.message}", file=file.name) from error
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{file.name} is not a list of [[normal, reduction], percent] ({error}).",
            file=file.name,
        ) from error
    if not ((values >= 0) & (values <= 100)).all():
        raise DataError(f"{file.name} has a value that is not a percentage.", file=file.name)
    return tidy(NB301, codes, file.dataset, {OFFICIAL: values})


def codes_of(table: pd.DataFrame) -> Any:
    """Return codes [n, 24] of a tidy table."""
    return SPACE.from_string(table["architecture"].tolist())


def agreement(predicted: Any, table: pd.DataFrame) -> dict[str, Any]:
    """Return how predictions [n] agree with the official values of a table, for a data card."""
    if len(table) < 2:
        return {"checked": False, "reason": f"{FILE.name} was not there"}
    official = table[OFFICIAL].to_numpy()
    difference = np.asarray(predicted) - official
    return {
        "checked": True,
        "against": METRICS[OFFICIAL],
        "architectures": len(table),
        "spearman": float(scipy.stats.spearmanr(predicted, official).statistic),
        "kendall": float(scipy.stats.kendalltau(predicted, official).statistic),
        "mean_difference": float(difference.mean()),
        "sd_difference": float(difference.std()),
    }
