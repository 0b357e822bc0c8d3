"""Kedro's project settings."""

from optiproxy_nas.pipelines import configuration
from optiproxy_nas.pipelines.project_pipeline import ignore_renamed_resolver
from optiproxy_nas.pipelines.result_hooks import ResultHooks
from optiproxy_nas.pipelines.run_hooks import RunHooks

ignore_renamed_resolver()

CONTEXT_CLASS = configuration.SearchContext
SESSION_CLASS = configuration.SearchSession
CONFIG_LOADER_CLASS = configuration.SearchConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # A section in conf/local changes what it names, and leaves the rest of the section as it is.
    "merge_strategy": {"parameters": "soft"},
}
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)  # also where no .telemetry lies
HOOKS = (RunHooks(), ResultHooks())
