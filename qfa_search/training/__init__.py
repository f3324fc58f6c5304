"""Images to supernet."""
