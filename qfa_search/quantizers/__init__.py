"""Quantizers: the arithmetic, and the learnable parts."""
