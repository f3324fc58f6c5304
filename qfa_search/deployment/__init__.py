"""A subnet in integers, and the files that run it elsewhere."""
