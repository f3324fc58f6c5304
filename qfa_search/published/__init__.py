"""The release, read in."""
