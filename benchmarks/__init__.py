"""What a search costs (``python -m benchmarks``) and reaches (``benchmarks.results``)."""
