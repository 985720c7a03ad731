"""Credentials to an actor: API keys, JSON Web Tokens, or the application's own login."""

from .identify import Identify, Login
from .login import flask_login_actor

__all__ = ["Identify", "Login", "flask_login_actor"]
