"""What surrounds the pipeline's answers: rate limits, CORS, and headers about safety and caches."""

from .edge import Edge, make_edge, own_answer

__all__ = ["Edge", "make_edge", "own_answer"]
