"""The plain-Python entry: search, and search by ask and tell, without Kedro."""

from optiproxy_nas.api.entry import search
from optiproxy_nas.api.open_search import Search
from optiproxy_nas.api.result import SearchResult

__all__ = ["Search", "SearchResult", "search"]
