"""The plain objective: the best value, as the highest validation accuracy (section 3.1)."""

from optiproxy_nas.objectives.base import Objective


class Accuracy(Objective):
    """Find the best value; each architecture costs one query."""

    name: str = "accuracy"
