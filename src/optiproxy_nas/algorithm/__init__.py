"""The method: Algorithm 1 (gradient search) and the steps of Algorithm 2, as pure functions."""
