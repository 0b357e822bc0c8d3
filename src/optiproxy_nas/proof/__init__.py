"""A run as a research object: written, signed, verified and repeated from its files alone."""
