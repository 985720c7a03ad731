"""What Carboy's tests, benchmarks and contributors share; no part of the package."""
