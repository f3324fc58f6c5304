"""Scripts behind every published number of this project."""
