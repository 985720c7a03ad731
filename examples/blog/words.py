"""The words that the sample blog is made of."""

from __future__ import annotations

FIRST_NAMES = """
Ada Amir Ana Anders Aoife Astrid Ben Bruno Camille Carlos Chidi Clara Daniel Dina Elena Emeka Emma
Erik Fatima Felix Freya Gabriel Grace Hana Hugo Ines Ivan Jana Jonas Julia Kaito Kwame Lars Leila
Lena Liam Lucia Magnus Maria Marta Mateo Mei Mila Nadia Nils Noor Olga Omar Oscar Paula Pedro
Priya Rafael Ravi Rosa Ruth Sami Sara Sofia Stefan Tara Theo Tomas Uma Vera Viktor Wei Yara Yusuf
Zoe
""".split()  # noqa: SIM905  shorter than a word a line

LAST_NAMES = """
Adeyemi Ahmed Almeida Andersen Baker Bauer Becker Berg Bianchi Brown Carter Castro Chen Costa Cruz
Dahl Diaz Dubois Evans Fischer Fontaine Garcia Gomez Greene Gupta Haas Hansen Hughes Ibrahim Ito
Jensen Johansson Kaya Keller Khan Kim Kovacs Larsen Leroy Lind Lopez Marino Meyer Mensah Moreau
Murphy Nakamura Nguyen Novak Okafor Olsen Ortiz Park Patel Pereira Petrov Quinn Ramos Reyes Rossi
Sato Schmidt Silva Singh Sorensen Tanaka Torres Varga Vogel Walsh Weber Wood Yilmaz Zhang
""".split()  # noqa: SIM905  shorter than a word a line

CATEGORIES = {
    "Baking": ["sourdough", "rye bread", "puff pastry", "the starter", "a proofing basket"],
    "Books": ["a short novel", "the village library", "a reading group", "old diaries", "poetry"],
    "Cycling": [
        "a steel frame",
        "the morning commute",
        "winter tyres",
        "a hub dynamo",
        "hill climbs",
    ],
    "Databases": ["an index", "the query planner", "a slow join", "nightly backups", "a migration"],
    "Design": ["a type scale", "white space", "the colour wheel", "a paper prototype", "icons"],
    "Gardening": ["tomatoes", "the compost heap", "raised beds", "a late frost", "climbing beans"],
    "Hiking": ["the coastal path", "wool socks", "a mountain hut", "the paper map", "river fords"],
    "Music": ["a twelve-string", "the metronome", "chamber music", "old records", "ear training"],
    "Photography": ["a prime lens", "golden hour", "black and white", "street portraits", "film"],
    "Python": ["a generator", "type hints", "the standard library", "a decorator", "test fixtures"],
    "Travel": [
        "the night train",
        "a small harbour",
        "border towns",
        "a phrase book",
        "market days",
    ],
    "Woodworking": [
        "a hand plane",
        "dovetail joints",
        "oak boards",
        "the workbench",
        "linseed oil",
    ],
}

TAGS = """
advice beginner budget checklist community comparison craft data diary essay evening experiment
family favourites guide habits history howto ideas interview learning lessons local longread
minimalism mistakes news notes opinion outdoors patience performance planning project question
review routine story tools weekend
""".split()  # noqa: SIM905  shorter than a word a line

TITLES = [
    "What {} taught me about {}",
    "A beginner's guide to {}",
    "Why I came back to {}",
    "{} and {}: a comparison",
    "Five mistakes I made with {}",
    "One year with {}",
    "In praise of {}",
    "How we fell in love with {}",
    "The quiet pleasure of {}",
    "Before you begin with {}",
    "Notes on {} and {}",
    "Everything I got wrong about {}",
]

SENTENCES = [
    "Most people think of {} as something for experts.",
    "The first time I tried {}, nothing went as planned.",
    "There is a simple rule for {}: begin small and finish what you begin.",
    "A neighbour showed me how {} and {} belong together.",
    "It took me a whole winter to understand {}.",
    "If you remember one thing about {}, let it be this: patience pays.",
    "Nobody needs expensive tools for {}.",
    "I keep a notebook about {}, and it has saved me more than once.",
    "Compared with {}, everything else looked easy.",
    "My grandmother had her own opinion on {}, and she was right.",
    "You can read a dozen books on {} and still be surprised.",
    "After a month, {} had become part of the day.",
    "The trick with {} is to stop a little earlier than feels right.",
    "Friends ask me whether {} is worth the effort.",
    "What I like about {} is that it forgives small errors.",
    "On a rainy Sunday there is nothing better than {}.",
    "We spent an afternoon comparing {} with {}.",
    "Ask three people about {} and you will hear four answers.",
    "It is easy to forget how much {} depends on the season.",
    "Next time I will start with {} and leave the rest for later.",
]
