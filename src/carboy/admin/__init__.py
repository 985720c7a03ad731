"""What an application answers beside its resources: health, and what admins see and do."""

from .route import Route, Visit, visit
from .routes import routes

__all__ = ["Route", "Visit", "routes", "visit"]
