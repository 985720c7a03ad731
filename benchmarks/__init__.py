"""Carboy beside its peers: `python -m benchmarks`."""
