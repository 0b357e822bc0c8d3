"""Conformance checks that plug-in authors run in their own tests.

``check_search_space(MySpace())``, ``check_proxy(MyProxy, MySpace())`` and
``check_method("my_module:MyMethod", MySpace())`` assert what the package relies on and name what
failed. They take a second or two, touch no global random state, and need
no test framework.
"""

from optiproxy_nas.testing.methods import check_method
from optiproxy_nas.testing.proxies import check_proxy
from optiproxy_nas.testing.spaces import check_search_space

__all__ = ["check_method", "check_proxy", "check_search_space"]
