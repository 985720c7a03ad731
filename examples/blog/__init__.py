"""A blog: users, categories, posts and tags."""
