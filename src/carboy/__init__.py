"""Carboy: SQLAlchemy models, or an existing database, in; a production REST API out."""

from .extension import Carboy

__all__ = ["Carboy"]
