"""Where jobs run: executors, and the process of a worker.

A worker process imports this package, and neither torch nor NumPy nor pandas before its training
does; so the registry of executors is in :mod:`optiproxy_nas.execution.registry`.
"""
