"""Pages of the documentation, followed from top to bottom."""
