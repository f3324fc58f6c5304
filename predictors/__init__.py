"""Estimates for subnets that need no training: costs, features, accuracy."""
