"""The shortest application."""
