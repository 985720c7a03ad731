"""A car park of one table."""
