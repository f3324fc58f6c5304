"""Estimates for subnets that need no training: costs, features, accuracy, latency."""

from predictors.accuracy import AccuracyPredictor
from predictors.c_memory import flash_bytes, ram_bytes
from predictors.costs import COST_COLUMNS, cost_arrays, costs
from predictors.counts import activation_bytes, bitops, macs, mflops, params, size_bytes
from predictors.features import features, n_features
from predictors.held_out import HeldOutReport
from predictors.latency import LatencyTable, latency_ms, signature

__all__ = [
    "COST_COLUMNS",
    "AccuracyPredictor",
    "HeldOutReport",
    "LatencyTable",
    "activation_bytes",
    "bitops",
    "cost_arrays",
    "costs",
    "features",
    "flash_bytes",
    "latency_ms",
    "macs",
    "mflops",
    "n_features",
    "params",
    "ram_bytes",
    "signature",
    "size_bytes",
]
