"""Diagnosis of a finished search: the gap between proxy and reality, its way, mode collapse.

Pure functions of the stored run and, as the search is over, of the whole table.
"""
