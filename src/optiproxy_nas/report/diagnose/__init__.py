"""Diagnosis of a finished search: the gap between proxy and reality, its way, mode collapse.

Pure functions of the stored run and, as the search is over, of the whole table.
"""

from optiproxy_nas.report.diagnose.collapse import Alarm, collapse_alarms, group_numbers
from optiproxy_nas.report.diagnose.diagnosis_html import DiagnosisSettings, headline
from optiproxy_nas.report.diagnose.landscape import Landscape, make_landscape
from optiproxy_nas.report.diagnose.proxy_gap import gap_table

__all__ = [
    "Alarm",
    "DiagnosisSettings",
    "Landscape",
    "collapse_alarms",
    "gap_table",
    "group_numbers",
    "headline",
    "make_landscape",
]
