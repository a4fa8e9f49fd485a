"""Read the sets: pairs that can be learned from, and what was rejected, with the reason."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from multiqa_integrations.errors import SourceError, TrainingError
from multiqa_integrations.etl import BadRecord, Rejection, Unread, open_source
from multiqa_integrations.etl.documents import RecordError
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.letter_format import dump, letter_content
from multiqa_integrations.etl.records import Format, Source
from multiqa_integrations.training.pairs import Pair, PairFields, PairSet, text_key, to_pair

MIN_PAIRS = 200
"""A tenth of them is held out, and on fewer than 20 queries chance decides."""


@dataclass
class SetCounts:
    """What was read of one set.

    Attributes:
        name: Of the set.
        weight: As it was asked for.
        records: How many records it has.
        rejected: Of those, what cannot be learned from.
        duplicates: Of those, pairs that were read before.
        pairs: What is left.
        with_negatives: Of those, the ones that have negatives.
        groups: How many groups they name.
        digest: Names its pairs: sha256, in hexadecimal.
    """

    name: str
    weight: float
    records: int = 0
    rejected: int = 0
    duplicates: int = 0
    pairs: int = 0
    with_negatives: int = 0
    groups: int = 0
    digest: str = ""


@dataclass
class PairData:
    """All sets, read.

    Attributes:
        pairs: What can be learned from, each once, set by set.
        sets: What was read of each set.
        rejections: What cannot be learned from, by the number of the set; the first thousands.
        unwritten: How many dead letters could not be written.
    """

    pairs: list[Pair] = field(default_factory=list)
    sets: list[SetCounts] = field(default_factory=list)
    rejections: list[tuple[int, Rejection]] = field(default_factory=list)
    unwritten: int = 0


def read_pairs(
    sets: Sequence[PairSet],
    fields: PairFields,
    *,
    format: Format | None = None,
    max_errors: int = 1_000,
    dead_letter: Path | None = None,
    stop: threading.Event | None = None,
) -> PairData:
    """Read all sets.

    A pair that occurs again is dropped. Where records contradict each other, all of them are
    rejected: a text that is a positive of a query in one and a negative of it in another, and a
    query that belongs to two groups.

    Args:
        sets: What to read.
        fields: Which field is what.
        format: What the paths are, where their names do not say.
        max_errors: With more rejected records than that, reading ends.
        dead_letter: A file to whose end rejected records are written.
        stop: Set it, and reading ends.

    Raises:
        SourceError: A source cannot be read, too much of it was rejected, or there are too few
            pairs.
        TrainingError: It was stopped.
    """
    sources = [open_source(one.source, format=format) for one in sets]
    names = _names([one.name or source.name for one, source in zip(sets, sources, strict=True)])
    data = PairData(
        sets=[SetCounts(name, one.weight) for name, one in zip(names, sets, strict=True)]
    )
    letters = _Letters(dead_letter, data, fields)
    records: dict[tuple[int, int], object] = {}  # of pairs that may still be rejected
    read: list[Pair] = []
    for number, source in enumerate(sources):
        for item in _items(source, fields, number, data.sets[number]):
            if stop is not None and stop.is_set():
                raise TrainingError("the training was stopped while the pairs were read.")
            if isinstance(item, Rejection):
                letters.reject(number, item)
            else:
                read.append(item)
            if len(data.rejections) > max_errors:
                raise _too_many_error(data, max_errors)
    for pair, reason in _contradictions(read):
        value = {name: getattr(pair, name) for name in ("query", "positive", "group")}
        records[pair.set, pair.line] = value | {"negatives": list(pair.negatives)}
        letters.reject(pair.set, Rejection(pair.line, None, reason, records[pair.set, pair.line]))
    if len(data.rejections) > max_errors:
        raise _too_many_error(data, max_errors)
    data.pairs = list(_distinct((p for p in read if (p.set, p.line) not in records), data.sets))
    _count(data)
    if len(data.pairs) < MIN_PAIRS:
        raise _too_few_error(data)
    return data


def _items(
    source: Source, fields: PairFields, number: int, counts: SetCounts
) -> Iterator[Pair | Rejection]:
    for item in source:
        if isinstance(item, Unread):
            raise SourceError(
                f"{counts.name}: {item.reason}. Not all of it can be read, so it is not learned "
                "from.",
                source=counts.name,
                line=item.line,
            )
        counts.records += 1
        raw = item.raw if isinstance(item, BadRecord) else item.value
        try:
            if isinstance(item, BadRecord):
                raise RecordError(item.reason)
            yield to_pair(item, fields, number)
        except RecordError as error:
            yield Rejection(item.line, None, str(error), raw)
        except Exception as error:  # noqa: BLE001  (whatever a record may hold, it costs itself)
            reason = f"it cannot be read ({type(error).__name__}: {error})"
            yield Rejection(item.line, None, reason, raw)


def _contradictions(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, str]]:
    """Yield the pairs that contradict others, each with the reason."""
    positives: dict[tuple[str, str], Pair] = {}
    negatives: dict[tuple[str, str], Pair] = {}
    groups: dict[tuple[int, str], Pair] = {}
    members: dict[str, set[tuple[int, str]]] = defaultdict(set)  # by text, the groups it answers
    twofold: dict[tuple[int, str], tuple[Pair, Pair]] = {}
    for pair in pairs:
        query = text_key(pair.query)
        positives.setdefault((query, text_key(pair.positive)), pair)
        for text in pair.negatives:
            negatives.setdefault((query, text_key(text)), pair)
        if pair.group is not None:
            members[text_key(pair.positive)].add((pair.set, pair.group))
            first = groups.setdefault((pair.set, query), pair)
            if first.group != pair.group:
                twofold.setdefault((pair.set, query), (first, pair))
    wrong = positives.keys() & negatives.keys()
    for pair in pairs:
        query, positive = text_key(pair.query), text_key(pair.positive)
        if (query, positive) in wrong:
            other = negatives[query, positive]
            yield pair, f"its positive is a negative of the same query in {_place(pair, other)}"
        elif bad := [text for text in pair.negatives if (query, text_key(text)) in wrong]:
            other = positives[query, text_key(bad[0])]
            yield pair, f"a negative is a positive of the same query in {_place(pair, other)}"
        elif (pair.set, query) in twofold:
            first, second = twofold[pair.set, query]
            yield (
                pair,
                f"its query has the group {first.group!r} in {_place(pair, first)} and "
                f"{second.group!r} in {_place(pair, second)}",
            )
        elif pair.group is not None and any(
            (pair.set, pair.group) in members.get(text_key(text), ()) for text in pair.negatives
        ):
            yield pair, f"a negative is a positive of its group {pair.group!r}"


def _place(pair: Pair, other: Pair) -> str:
    if pair.set == other.set:
        return "this line" if pair.line == other.line else f"line {other.line:,}"
    return f"line {other.line:,} of set {other.set + 1}"


def _distinct(pairs: Iterable[Pair], counts: Sequence[SetCounts]) -> Iterator[Pair]:
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    for pair in pairs:
        key = (text_key(pair.query), text_key(pair.positive), tuple(map(text_key, pair.negatives)))
        if key in seen:
            counts[pair.set].duplicates += 1
        else:
            seen.add(key)
            yield pair


def _count(data: PairData) -> None:
    digests = [hashlib.sha256() for _ in data.sets]
    groups: list[set[str]] = [set() for _ in data.sets]
    for pair in data.pairs:
        counts = data.sets[pair.set]
        counts.pairs += 1
        counts.with_negatives += bool(pair.negatives)
        digests[pair.set].update(json.dumps(pair[:4]).encode("ascii") + b"\n")
        if pair.group is not None:
            groups[pair.set].add(pair.group)
    for counts, digest, named in zip(data.sets, digests, groups, strict=True):
        counts.digest, counts.groups = digest.hexdigest(), len(named)


def _names(names: Sequence[str]) -> list[str]:
    """Tell sets of the same name apart."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[:number].count(name) + 1})"
        for number, name in enumerate(names)
    ]


def _too_many_error(data: PairData, allowed: int) -> SourceError:
    number, last = data.rejections[-1]
    name = data.sets[number].name
    return SourceError(
        f"{len(data.rejections):,} records were rejected, of which {allowed:,} are allowed; the "
        f"last is line {last.line:,} of {name}: {last.reason}. Nothing was trained.",
        source=name,
    )


def _too_few_error(data: PairData) -> SourceError:
    rejected = sum(counts.rejected for counts in data.sets)
    duplicates = sum(counts.duplicates for counts in data.sets)
    text = f"pairs to learn from: {len(data.pairs):,}, where at least {MIN_PAIRS} are needed"
    if rejected:
        number, first = data.rejections[0]
        text += (
            f"; records rejected: {rejected:,}, the first in line {first.line:,} of "
            f"{data.sets[number].name}: {first.reason}"
        )
    if duplicates:
        text += f"; pairs that occur more than once: {duplicates:,}"
    return SourceError(f"{text}. Nothing was trained.", source=data.sets[0].name)


class _Letters:
    """Keeps what is rejected, and writes it to a file if one is named."""

    def __init__(self, path: Path | None, data: PairData, fields: PairFields) -> None:
        self._file = None if path is None else LetterFile(path)
        self._data, self._fields = data, fields
        if self._file is not None:
            self._file.check_writable()
            self._written = set(map(_without_time, self._file.lines()))

    def reject(self, number: int, rejection: Rejection) -> None:
        counts = self._data.sets[number]
        counts.rejected += 1
        self._data.rejections.append((number, rejection))
        if self._file is None:
            return
        line = dump(
            {
                "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "set": counts.name,
                "line": rejection.line,
                "reason": rejection.reason,
                "fields": self._fields.to_dict(),
                **letter_content(rejection.record),
            }
        )
        if _without_time(line) in self._written:  # of an earlier run
            return
        try:
            self._file.append(line)
        except SourceError:
            self._data.unwritten += 1


def _without_time(line: bytes) -> bytes:
    return line.partition(b'"set"')[2]
