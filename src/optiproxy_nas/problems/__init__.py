"""Problems: what a user searches for, with a space, a training and its metrics."""
