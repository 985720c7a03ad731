"""Two hundred cars, the same at each run: they come from a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Iterator

from .app import Base, Car

SIZE = 200
# Makers and models that nobody builds.
MODELS = {
    "Aldera": ["Brisa", "Cometa", "Norte"],
    "Borealis": ["Fjord", "Lumen", "Tundra"],
    "Castellan": ["Herald", "Squire", "Warden"],
    "Halcyon": ["Drift", "Kestrel", "Tern"],
    "Meridian": ["Atlas", "Compass", "Vertex"],
    "Orchard": ["Bramley", "Pippin", "Russet"],
    "Silverline": ["Arrow", "Dart", "Sprint"],
    "Tamarind": ["Coral", "Monsoon", "Reef"],
}


def sample() -> Iterator[Base]:
    """The cars."""
    chance = random.Random(2026)
    for _ in range(SIZE):
        maker = chance.choice(list(MODELS))
        model = f"{chance.choice(MODELS[maker])} {chance.randint(2012, 2026)}"
        yield Car(name=maker, model=model, doors=chance.choice([2, 3, 4, 5, 5, 5]))
