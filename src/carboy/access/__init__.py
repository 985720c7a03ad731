"""Who asks, and which rows and fields they may touch. It knows no HTTP and no database."""

from .actor import ANONYMOUS, NOBODY, Actor

__all__ = ["ANONYMOUS", "NOBODY", "Actor"]
