"""What the project costs (``python -m benchmarks``) and what it reaches (``benchmarks.results``)."""
