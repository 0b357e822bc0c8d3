"""Diagnosis of a finished search: how far its proxy was from reality, where it went, whether it
collapsed. Pure functions of the stored run and, as the search is over, of the whole table.
"""

from optiproxy_nas.report.diagnose.collapse import Alarm, collapse_alarms, group_numbers
from optiproxy_nas.report.diagnose.gap import gap_table
from optiproxy_nas.report.diagnose.landscape import Landscape, make_landscape
from optiproxy_nas.report.diagnose.settings import DiagnosisSettings

__all__ = [
    "Alarm",
    "DiagnosisSettings",
    "Landscape",
    "collapse_alarms",
    "gap_table",
    "group_numbers",
    "make_landscape",
]
