"""What surrounds the pipeline's answers: rate limits, CORS, and headers about safety and caches."""

from .edge import Edge, Identify, make_edge, own_answer

__all__ = ["Edge", "Identify", "make_edge", "own_answer"]
