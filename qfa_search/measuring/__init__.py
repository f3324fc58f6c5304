"""A subnet's real score, and the store of scores."""
