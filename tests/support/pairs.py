"""Pairs of a made-up manual: what is asked, and the sentence that answers it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PARTS = "valve pump belt lamp hinge motor filter switch cable lever wheel gauge".split()
COLOURS = "red green blue white black yellow".split()
PLACES = "cellar attic kitchen garage yard office".split()


def rows(count: int, salt: str = "a") -> list[dict[str, Any]]:
    """Return so many pairs, all different, the same ones each time."""
    rng = random.Random(salt)
    made = []
    for number in range(count):
        name = f"{rng.choice(COLOURS)} {rng.choice(PARTS)} {salt}{number}"
        place = rng.choice(PLACES)
        made.append(
            {
                "query": f"Where is the {name}?",
                "positive": f"You will find the {name} in the {place}.",
            }
        )
    return made


def write_lines(file: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


# What a language that the model does not know has for them; it is made up.
_WORDS = "zorp blick femble drush quint yalp mirrow stend gloob havver pliss wenk".split()
_HUES = "torv neel osk frim dwale yup".split()
_ROOMS = "krad moil sprenk ludge fash ebber".split()


def glossary(count: int) -> list[dict[str, Any]]:
    """Return pairs of a made-up language and English: what is learned of some helps with others."""
    every = [
        {
            "query": f"{_ROOMS[room]} {_HUES[hue]} {_WORDS[part]}",
            "positive": f"The {COLOURS[hue]} {PARTS[part]} is in the {PLACES[room]}.",
        }
        for part in range(len(PARTS))
        for hue in range(len(COLOURS))
        for room in range(len(PLACES))
    ]
    random.Random(0).shuffle(every)
    return every[:count]
