"""Conformance checks that plug-in authors run in their own tests.

``check_search_space(MySpace())``, ``check_proxy(MyProxy, MySpace())``,
``check_method("my_module:MyMethod", MySpace())``,
``check_objective("my_module:MyObjective", MySpace(), evaluate)`` and ``check_executor(make)``,
where ``make(training, workers, folder)`` returns an executor, assert what the package relies on
and name what failed. They touch no global random state and need no test framework. A space takes
well under a second, NAS-Bench-NLP 2 s of one core; a method or an objective takes a few short
searches, an executor a few seconds.
"""

from optiproxy_nas.testing.executors import check_executor
from optiproxy_nas.testing.methods import check_method
from optiproxy_nas.testing.objectives import check_objective
from optiproxy_nas.testing.proxies import check_proxy
from optiproxy_nas.testing.spaces import check_search_space

__all__ = ["check_executor", "check_method", "check_objective", "check_proxy", "check_search_space"]
