"""Where the evidence is kept, no run can be."""

from __future__ import annotations

import pytest

from evidence import badge, memory, own_problem, regenerate, stopping, tables, worker_record
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.runs.run_names import check_run_id

PATHS = (memory.RECORD, own_problem.JOURNALS, stopping.RECORD, tables.RECORD, worker_record.RECORD)


@pytest.mark.parametrize(
    "name",
    [badge.NAME, regenerate.PREVIEW, regenerate.SMOKE, *(path.parts[2] for path in PATHS)],
)
def test_no_run_takes_a_folder_of_the_evidence(name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_run_id(name)
    assert caught.value.data["value"] == name
