"""The texts that are measured: a file of records, or what every Python carries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from multiqa_integrations.errors import ConfigurationError, SourceError

_QUESTIONS = (
    "How many people live in {}?",
    "What is the weather like in {} in spring?",
    "best way from the airport to {}",
    "Who was the first mayor of {}, and when was that?",
    "cheap hotels near the main station of {}",
    "How old is the university of {}?",
    "Which river flows through {}?",
    "{} opening hours of museums on Mondays",
)
_CITIES = (
    *("London", "Paris", "Rome", "Madrid", "Lisbon", "Vienna", "Prague", "Warsaw", "Berlin"),
    *("Oslo", "Helsinki", "Athens", "Dublin", "Budapest", "Cairo", "Nairobi", "Lagos", "Delhi"),
    *("Tokyo", "Seoul", "Hanoi", "Lima", "Bogotá", "Quito", "New York"),
)


def questions() -> list[str]:
    """Make 200 different short queries; the first is "How many people live in London?"."""
    return [question.format(city) for city in _CITIES for question in _QUESTIONS]


def read_texts(file: Path | None, field: str = "text") -> Iterator[str]:
    """Read texts one by one, empty ones left out.

    Args:
        file: Whatever `multiqa sync` reads; None for the paragraphs of the language documentation
            that comes with Python.
        field: The field of a record that holds its text.

    Raises:
        SourceError: The file cannot be read, or a record has no text in that field.
    """
    if file is None:
        # Some paragraphs stand on many pages.
        yield from dict.fromkeys(part for page in _python_pages() for part in _paragraphs(page))
        return
    from multiqa_integrations.etl import open_source

    for item in open_source(str(file)):
        record = getattr(item, "value", None)
        text = record.get(field) if isinstance(record, Mapping) else None
        if not isinstance(text, str):
            raise SourceError(
                f"{file}, line {item.line}: there is no text in the field {field!r}; "
                "--text-field names another.",
                source=str(file),
                line=item.line,
            )
        if text.strip():
            yield text


def first_texts(file: Path | None, field: str, count: int, *, min_words: int = 20) -> list[str]:
    """Take the first `count` texts of at least `min_words` words.

    Raises:
        ConfigurationError: There is none.
        SourceError: The file cannot be read.
    """
    long_enough = (text for text in read_texts(file, field) if len(text.split()) >= min_words)
    texts = list(islice(long_enough, count))
    if not texts:
        raise ConfigurationError(f"{file} has no text of at least {min_words} words.")
    return texts


def mixed_lengths(file: Path | None, field: str, count: int) -> list[str]:
    """Take the first `count` texts as they are, to be chunked.

    Of Python's documentation: whole pages, each followed by three of its paragraphs, so that
    about a fifth of the texts is long.
    """
    if file is not None:
        return first_texts(file, field, count, min_words=1)
    mixed = (text for page in _python_pages() for text in (page, *islice(_paragraphs(page), 3)))
    return list(islice(mixed, count))


def _python_pages() -> Iterator[str]:
    from pydoc_data.topics import topics  # half a megabyte that only this function needs

    return iter(topics.values())


def _paragraphs(text: str) -> Iterator[str]:
    return (part for part in re.split(r"\n\s*\n", text) if part.strip())
