"""Evaluating proposals: the loop that asks a method, evaluates and tells."""
