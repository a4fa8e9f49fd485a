"""Measures of how exact the vectors are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.benchmark.contestants import PEERS, REFERENCE, why_absent
from multiqa_integrations.benchmark.cosine import cosine
from multiqa_integrations.benchmark.results import Column, Row, Table
from multiqa_integrations.benchmark.session import Session, WorkerError
from multiqa_integrations.benchmark.texts import first_texts
from multiqa_integrations.tokenizer import WordPieceTokenizer
from multiqa_integrations.types import Vectors

_SHORT = 8  # word pieces; with so few, single roundings weigh more

_SAME = Column("same length, min", 7)
_PADDED = Column("any padding, min", 7)


def quality(session: Session) -> list[Table]:
    """Compare int8 with float32, float32 with the reference, and texts alone with batches."""
    settings = session.settings
    texts = first_texts(settings.texts, settings.text_field, settings.quality_records, min_words=1)
    file = session.write("quality", texts)
    counts = WordPieceTokenizer(session.checkpoint.tokenizer_file).count(texts)
    folder = session.subfolder("quality")
    vectors: dict[str, Vectors] = {}
    absent: dict[str, str] = {}
    remarks: dict[str, str] = {}
    for name in ("multiqa float32", "multiqa bfloat16", "multiqa int8", REFERENCE):
        if reason := why_absent(name):
            absent[name] = reason
            continue
        session.report(f"quality: {name}")
        try:
            run = session.run("encode", contestant=name, texts=file, folder=str(folder))
        except WorkerError as error:
            if name not in PEERS:
                raise
            absent[name] = f"failed: {error}"
            continue
        remarks[name] = run["remark"]
        vectors[name] = np.load(folder / f"{name}.npy")
    float32 = vectors["multiqa float32"]
    rows = []
    for name in ("multiqa bfloat16", "multiqa int8", REFERENCE):
        if name in absent:
            rows.append(Row(name, note=absent[name]))
            continue
        rows.append(Row(name, _spread(vectors[name], float32), remarks[name]))
        if name != REFERENCE:
            for label, chosen in (
                (f"under {_SHORT} tokens", counts < _SHORT),
                (f"{_SHORT} tokens and more", counts >= _SHORT),
            ):
                rows.append(_part(f"{name}, {label}", vectors[name], float32, chosen))
    title = f"Cosine to multiqa float32 over {len(texts):,} texts (limit {settings.limit_tokens})"
    columns = [Column("mean", 6), Column("1st percentile", 6), Column("min", 6)]
    columns += [Column("% under .99", 2), Column("largest difference", 8)]
    return [Table("quality", title, columns, rows), _neighbours(session, file)]


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


def _neighbours(session: Session, file: str) -> Table:
    rows = []
    for name in ("multiqa float32", "multiqa bfloat16", "multiqa int8"):
        if reason := why_absent(name):
            rows.append(Row(name, note=reason))
            continue
        session.report(f"quality: neighbours, {name}")
        run: dict[str, Any] = session.run("neighbours", contestant=name, texts=file)
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
