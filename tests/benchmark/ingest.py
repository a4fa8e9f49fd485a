"""The measure of ingesting: documents of any length into a collection."""

from __future__ import annotations

from collections.abc import Iterator

from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import mixed_lengths
from multiqa_integrations.tokenizer import WordPieceTokenizer
from tests.benchmark.ingest_job import INGESTERS, SERVER
from tests.benchmark.ratios import speed_ratios
from tests.benchmark.session import Session

_BASELINE = "LangChain, client local mode"
_RATIO = Column("× LangChain", 2)


def ingest(session: Session) -> Iterator[Table]:
    """Measure documents into an empty collection against LangChain's and LlamaIndex's own way."""
    settings = session.settings
    texts = mixed_lengths(settings.texts, settings.text_field, settings.samples)
    tokens = int(WordPieceTokenizer(session.checkpoint.tokenizer_file).count(texts).sum())
    names = [name for name in INGESTERS if name != SERVER or settings.url is not None]
    results, absent = session.in_turn(
        "ingest", names, texts=session.write("ingest", texts), url=settings.url
    )
    seconds = {name: [run["seconds"] for run in runs] for name, runs in results.items()}
    rows = [
        Row(
            name,
            present(
                {
                    "documents/s": [len(texts) / s for s in seconds[name]],
                    "tokens/s": [tokens / s for s in seconds[name]],
                    _RATIO.name: speed_ratios(seconds[name], seconds.get(_BASELINE)),
                    "points": [run["points"] for run in runs],
                    "peak MB": [run["peak_mb"] for run in runs],
                }
            ),
        )
        if (runs := results.get(name))
        else Row(name, note=absent[name])
        for name in names
    ]
    yield Table(
        "ingest",
        f"{len(texts):,} documents, {tokens:,} tokens, into an empty collection",
        [Column("documents/s", 1), Column("tokens/s"), _RATIO, Column("points"), Column("peak MB")],
        rows,
        [
            "Each cuts long documents in its own way. Tokens: of the documents, so overlapping "
            "chunks count once. Loading the model is not included.",
            *session.made_of(results),
        ],
    )
