"""The plain objective: the highest validation accuracy (the paper's section 3.1)."""

from optiproxy_nas.objectives.base import Objective


class Accuracy(Objective):
    """Maximise the value; each architecture costs one query."""

    name: str = "accuracy"
