"""Measures of how exact the vectors are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.benchmark.measures import cosine
from multiqa_integrations.benchmark.table import Column, Row, Table
from multiqa_integrations.benchmark.texts import first_texts
from multiqa_integrations.tokenizer import WordPieceTokenizer
from multiqa_integrations.types import Vectors
from tests.benchmark.implementations import REFERENCE
from tests.benchmark.session import Session

_SHORT = 8  # word pieces; with so few, single roundings weigh more

_SAME = Column("same length, min", 7)
_PADDED = Column("any padding, min", 7)


def quality(session: Session) -> Iterator[Table]:
    """Compare int8 with float32, float32 with the reference, and texts alone with batches."""
    settings = session.settings
    texts = first_texts(settings.texts, settings.text_field, settings.quality_records, min_words=1)
    file = session.write("quality", texts)
    counts = WordPieceTokenizer(session.checkpoint.tokenizer_file).count(texts)
    folder = session.subfolder("quality")
    names = ("multiqa float32", "multiqa bfloat16", "multiqa int8", REFERENCE)
    results, absent = session.in_turn("encode", names, rounds=1, texts=file, folder=str(folder))
    vectors: dict[str, Vectors] = {name: np.load(folder / f"{name}.npy") for name in results}
    float32 = vectors["multiqa float32"]
    rows = []
    for name in ("multiqa bfloat16", "multiqa int8", REFERENCE):
        if name in absent:
            rows.append(Row(name, note=absent[name]))
            continue
        rows.append(Row(name, _spread(vectors[name], float32), results[name][0]["remark"]))
        if name != REFERENCE:
            for label, chosen in (
                (f"under {_SHORT} tokens", counts < _SHORT),
                (f"{_SHORT} tokens and more", counts >= _SHORT),
            ):
                rows.append(_part(f"{name}, {label}", vectors[name], float32, chosen))
    title = f"Cosine to multiqa float32 over {len(texts):,} texts (limit {settings.limit_tokens})"
    columns = [Column("mean", 6), Column("1st percentile", 6), Column("min", 6)]
    columns += [Column("% under .99", 2), Column("largest difference", 8)]
    yield Table("quality", title, columns, rows)
    yield _padding(session, file)


def _part(name: str, vectors: Vectors, float32: Vectors, chosen: NDArray[np.bool_]) -> Row:
    if not chosen.any():
        return Row(name, note="no such text")
    return Row(name, _spread(vectors[chosen], float32[chosen]), f"{int(chosen.sum()):,} texts")


def _spread(vectors: Vectors, reference: Vectors) -> dict[str, list[float]]:
    cosines = cosine(vectors, reference)
    return {
        "mean": [float(cosines.mean())],
        "1st percentile": [float(np.percentile(cosines, 1))],
        "min": [float(cosines.min())],
        "% under .99": [100 * float((cosines < 0.99).mean())],
        "largest difference": [float(np.abs(vectors - reference).max())],
    }


def _padding(session: Session, file: str) -> Table:
    names = ("multiqa float32", "multiqa bfloat16", "multiqa int8")
    results, absent = session.in_turn("padding", names, rounds=1, texts=file)
    rows = []
    for name in names:
        if name in absent:
            rows.append(Row(name, note=absent[name]))
            continue
        (run,) = results[name]
        if not run["texts"]:
            rows.append(Row(name, note="no two texts of the same length"))
            continue
        figures = {_SAME.name: [run["same_length_min"]], _PADDED.name: [run["any_padding_min"]]}
        rows.append(Row(name, figures, f"{run['texts']:,} texts"))
    return Table(
        "quality",
        "Cosine of a text encoded alone to the same text in a batch",
        [_SAME, _PADDED],
        rows,
        ["Same length: among texts of as many tokens. Any padding: beside the longest text."],
    )
