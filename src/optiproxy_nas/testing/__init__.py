"""Conformance checks that plug-in authors run in their own tests.

``check_search_space(MySpace())`` and ``check_proxy(MyProxy, MySpace())`` assert what the method
relies on and name what failed. They take a second or two, touch no global random state, and need
no test framework.
"""

from optiproxy_nas.testing.proxies import check_proxy
from optiproxy_nas.testing.spaces import check_search_space

__all__ = ["check_proxy", "check_search_space"]
