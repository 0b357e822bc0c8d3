"""Sweeps: many runs from one grid, on any executor, without running anything twice."""

from optiproxy_nas.sweeps.planning import plan, resolve
from optiproxy_nas.sweeps.sweep import SweepOutcome, run_sweep

__all__ = ["SweepOutcome", "plan", "resolve", "run_sweep"]
