"""Carboy, as a reader of its quickstart would set it up."""

from carboy import OPEN, Carboy

from .models import Category, Post, Tag, User, db, new_app

app = new_app(__name__)
api = Carboy(app, db, policy=OPEN)
api.resource(User)
api.resource(Category)
api.resource(Tag)
api.resource(Post)
