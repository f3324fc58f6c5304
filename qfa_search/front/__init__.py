"""What no other subnet beats: as a value, a folder, a picture."""
