"""What a network costs: its size, its latency on this machine, and how it is run for that."""
