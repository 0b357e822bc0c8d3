"""Problems: a user's own training as a search sees it. Importing this loads no torch."""

from optiproxy_nas.problems.base import VALUE, Problem, RunningTrial, Target

__all__ = ["VALUE", "Problem", "RunningTrial", "Target"]
