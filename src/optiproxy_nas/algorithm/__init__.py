"""The method: Algorithm 1 (gradient) and Algorithm 2 (smbo), one step a module."""
