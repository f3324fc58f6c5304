"""The claims of the BatchQuant paper, tried on real images with a supernet."""
