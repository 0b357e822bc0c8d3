"""Kedro's project settings."""

from optiproxy_nas.configuration import SearchConfigLoader
from optiproxy_nas.hooks import RunHooks

CONFIG_LOADER_CLASS = SearchConfigLoader
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
HOOKS = (RunHooks(),)
