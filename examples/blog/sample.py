"""A believable blog, the same at each run: it comes from a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

from .models import Base, Category, Post, Tag, User
from .words import CATEGORIES, FIRST_NAMES, LAST_NAMES, SENTENCES, TAGS, TITLES

USERS = 400
POSTS = 5000
SIZE = USERS + POSTS + len(CATEGORIES) + len(TAGS)
END = datetime(2026, 6, 30, 18, tzinfo=UTC)
DAYS = 730


def sample() -> Iterator[Base]:
    """All rows, each after those that it points to."""
    chance = random.Random(2026)
    users = [_user(chance, number) for number in range(USERS)]
    categories = [
        Category(name=name, description=f"On {', '.join(subjects)} and more.")
        for name, subjects in CATEGORIES.items()
    ]
    tags = [Tag(name=name) for name in TAGS]
    yield from users
    yield from categories
    yield from tags
    texts = {
        name: (_filled(TITLES, subjects), _filled(SENTENCES, subjects))
        for name, subjects in CATEGORIES.items()
    }
    # A few write much and most write little; so it is with categories and tags.
    authors = chance.choices(users, _popularity(users), k=POSTS)
    topics = chance.choices(categories, _popularity(categories), k=POSTS)
    moments = sorted(chance.random() for _ in range(POSTS))
    for author, category, moment in zip(authors, topics, moments, strict=True):
        post = _post(chance, *texts[category.name])
        post.created_at = post.updated_at = END - timedelta(days=DAYS * (1 - moment))
        post.author, post.category = author, category
        post.tags = _some(chance, tags)
        yield post


def _popularity(things: Sequence[object]) -> list[float]:
    return [1 / (place + 3) for place in range(len(things))]


def _some(chance: random.Random, tags: list[Tag]) -> list[Tag]:
    chosen = chance.choices(tags, _popularity(tags), k=chance.randint(0, 5))
    return list(dict.fromkeys(chosen))


def _user(chance: random.Random, number: int) -> User:
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    # The number keeps names apart; not all names can be had without one.
    username = f"{first}.{last}{number or ''}".lower()
    domain = chance.choice(["com", "net", "org"])
    joined = END - timedelta(days=DAYS + chance.randint(1, 365), minutes=chance.randint(0, 1440))
    return User(
        username=username,
        email=f"{username}@example.{domain}",
        is_active=chance.random() < 0.95,
        created_at=joined,
    )


def _post(chance: random.Random, titles: list[str], sentences: list[str]) -> Post:
    paragraphs = (
        " ".join(chance.sample(sentences, chance.randint(3, 7)))
        for _ in range(chance.randint(2, 6))
    )
    return Post(
        title=chance.choice(titles),
        content="\n\n".join(paragraphs),
        published=chance.random() < 0.9,
    )


def _filled(templates: list[str], subjects: list[str]) -> list[str]:
    """Each template with each pair of subjects in its gaps."""
    texts = (template.format(*pair) for template in templates for pair in permutations(subjects, 2))
    return list(dict.fromkeys(text[0].upper() + text[1:] for text in texts))
