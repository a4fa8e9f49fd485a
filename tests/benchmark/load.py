"""Measures of one encoder under load: streams, long texts, chunking."""

from __future__ import annotations

from multiqa_integrations.benchmark.table import Column, Row, Table, present
from multiqa_integrations.benchmark.texts import first_texts, mixed_lengths
from tests.benchmark.ratios import speed_ratios
from tests.benchmark.session import Session

_PEAK = Column("peak MB")
_PREPARING = Column("reading and tokenising, % of the time without", 1)
# Word pieces a second; 0 stands for this processor.
_DEVICES = {
    "this processor": 0.0,
    "a device of 200,000 tokens/s": 200_000.0,
    "a device of 1,000,000 tokens/s": 1_000_000.0,
}


def stream(session: Session) -> list[Table]:
    """Encode the whole file as a stream, and see whether memory grows."""
    settings = session.settings
    session.step("stream: all texts of the file, once")
    run = session.run(
        "stream",
        file=str(settings.texts) if settings.texts else None,
        field=settings.text_field,
    )
    first, middle, last = run["thirds_mb"] or (None, None, None)
    figures = present(
        {
            "texts/s": [run["texts"] / run["seconds"]],
            "loaded MB": [run["loaded_mb"]],
            "1st third MB": [first],
            "2nd third MB": [middle],
            "3rd third MB": [last],
            "growth MB": [None if first is None else last - first],
            _PEAK.name: [run["peak_mb"]],
        }
    )
    columns = [Column("texts/s", 1), *(Column(name) for name in figures if name != "texts/s")]
    title = f"encode_stream over {run['texts']:,} texts, {run['seconds']:,.0f} s"
    remark = "Thirds of the time: the median of the resident size; growth: first to last."
    return [Table("stream", title, columns, [Row("multiqa auto", figures)], [remark])]


def overlap(session: Session) -> list[Table]:
    """Encode a stream whose next window is read and tokenised meanwhile, and without that."""
    settings = session.settings
    rows: list[Row] = []
    for name, rate in _DEVICES.items():
        runs = session.rounds(
            "overlap",
            file=str(settings.texts) if settings.texts else None,
            field=settings.text_field,
            samples=settings.samples,
            rate=rate,
        )
        ahead, alone = ([run[key] for run in runs] for key in ("ahead_s", "alone_s"))
        figures = {
            "texts/s": [settings.samples / s for s in ahead],
            "× without": speed_ratios(ahead, alone),
            _PREPARING.name: [100 * run["tokenise_s"] / run["alone_s"] for run in runs],
        }
        rows.append(Row(name, figures))
    columns = [Column("texts/s", 1), Column("× without", 2), _PREPARING]
    title = f"encode_stream over {settings.samples:,} texts, the next window prepared meanwhile"
    remark = "Devices of a given speed are simulated: they sleep as long as they would compute."
    return [Table("overlap", title, columns, rows, [remark])]


def long_text(session: Session) -> list[Table]:
    """Encode one long text, and see what it does to memory and to other threads."""
    settings = session.settings
    texts = first_texts(settings.texts, settings.text_field, settings.samples)
    runs = session.rounds(
        "long_text", texts=session.write("long_text", texts), size=settings.long_text_bytes
    )
    figures = present(
        {
            "s": [run["seconds"] for run in runs],
            "longest pause ms": [run["pause_ms"] for run in runs],
            "idle pause ms": [run["idle_pause_ms"] for run in runs],
            "MB before": [run["before_mb"] for run in runs],
            _PEAK.name: [run["peak_mb"] for run in runs],
            "largest difference": [max(run["difference"] for run in runs)],
        }
    )
    columns = [Column("s", 2), Column("longest pause ms", 1), Column("idle pause ms", 1)]
    columns += [Column("MB before"), _PEAK, Column("largest difference", 8)]
    return [
        Table(
            "long-text",
            f"One text of {runs[0]['bytes'] / 1e6:,.1f} MB",
            columns,
            [Row("multiqa auto", figures)],
            [
                f"Difference: to the vector of its first {settings.limit_tokens} word pieces.",
                "Pause: the longest gap of a thread that wakes up every millisecond; idle: the "
                "same while nothing is encoded.",
            ],
        )
    ]


def chunk(session: Session) -> list[Table]:
    """Measure chunking by itself, and what it takes away from the speed of encoding."""
    settings = session.settings
    # Chunking is so much faster than encoding that it needs more text to be measured.
    texts = mixed_lengths(settings.texts, settings.text_field, 5 * settings.samples)
    file = session.write("chunk", texts)
    runs = session.rounds("chunk", texts=file, samples=settings.samples)
    encode_s = [run["encode_s"] for run in runs]
    both_s = [run["both_s"] for run in runs]
    chunks = runs[0]["chunks"]
    share = Column("share of encode alone", 3)
    rows = [
        Row("chunk, texts over 250 word pieces", {"MB/s": [run["long_mb_per_s"] for run in runs]}),
        Row("chunk, all texts", {"MB/s": [run["all_mb_per_s"] for run in runs]}),
        Row("encode chunks made before", {"chunks/s": [chunks / s for s in encode_s]}),
        Row(
            "chunk and encode",
            {
                "chunks/s": [chunks / s for s in both_s],
                share.name: speed_ratios(both_s, encode_s),
            },
        ),
    ]
    title = (
        f"Chunking {len(texts):,} texts, {runs[0]['long_share']:.0%} of them over 250 word "
        f"pieces; encoding the first {min(len(texts), settings.samples):,} ({chunks:,} chunks)"
    )
    return [Table("chunk", title, [Column("MB/s", 2), Column("chunks/s", 1), share], rows)]
