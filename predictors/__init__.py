"""Estimates for subnets that need no training: costs, features, accuracy, latency."""

from predictors.accuracy import AccuracyPredictor
from predictors.bitops import bitops, macs, mflops
from predictors.costs import COST_COLUMNS, cost_arrays, costs
from predictors.features import features, n_features
from predictors.held_out import HeldOutReport
from predictors.size import activation_bytes, params, size_bytes

__all__ = [
    "COST_COLUMNS",
    "AccuracyPredictor",
    "HeldOutReport",
    "activation_bytes",
    "bitops",
    "cost_arrays",
    "costs",
    "features",
    "macs",
    "mflops",
    "n_features",
    "params",
    "size_bytes",
]
