"""What a search costs: ``python -m cost``."""
