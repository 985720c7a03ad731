"""Small, whole applications; `python -m examples` serves one with sample data."""
