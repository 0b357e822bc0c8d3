"""Diagnosis of a finished search: how far its proxy was from reality, where it went, whether it
collapsed. Pure functions of the stored run and, as the search is over, of the whole table.
"""

from optiproxy_nas.diagnosis.collapse import Alarm, collapse_alarms, group_numbers
from optiproxy_nas.diagnosis.finished_run import FinishedRun
from optiproxy_nas.diagnosis.gap import gap_table
from optiproxy_nas.diagnosis.landscape import Landscape, make_landscape
from optiproxy_nas.diagnosis.settings import DiagnosisSettings

__all__ = [
    "Alarm",
    "DiagnosisSettings",
    "FinishedRun",
    "Landscape",
    "collapse_alarms",
    "gap_table",
    "group_numbers",
    "make_landscape",
]
