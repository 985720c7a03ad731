"""What is compared: applications, each of which answers scenarios in its own way.

An application finds its database in DATABASE_URL, in THREADS how many connections it may need, and
a Redis in REDIS_URL. The peers' table is ``benchmarks/contest.py``: this package is imported where
only the peers' own packages are installed.
"""
