"""Uses a module of one layer, and a package with data of another."""

from importlib.resources import files

import words

FACTS = files("facts").joinpath("facts.txt").read_text().splitlines()


def greet(event, context):
    return words.greeting(event["name"])


def count(event, context):
    return {"facts": len(FACTS), "first": FACTS[0], "words": words.__file__}
