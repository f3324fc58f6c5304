"""Quantized-for-all architecture search."""
