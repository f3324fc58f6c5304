"""A front and its networks as one page to look at."""
