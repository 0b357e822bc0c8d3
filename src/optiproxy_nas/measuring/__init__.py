"""What a network costs: its latency on this machine, and how it is run for that."""
