"""Estimates for subnets that need no training: costs, features, accuracy, latency."""

from predictors.accuracy import AccuracyPredictor
from predictors.bitops import bitops, macs, mflops
from predictors.costs import COST_COLUMNS, cost_arrays, costs
from predictors.features import features, n_features
from predictors.held_out import HeldOutReport
from predictors.latency import LatencyTable, latency_ms, signature
from predictors.size import activation_bytes, params, size_bytes

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
    "latency_ms",
    "macs",
    "mflops",
    "n_features",
    "params",
    "signature",
    "size_bytes",
]
