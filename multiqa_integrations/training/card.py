"""The model card: recipe, data by digest, figures before and after. It quotes no text."""

from __future__ import annotations

import json
from collections.abc import Iterator

from multiqa_integrations import __version__
from multiqa_integrations.evaluation.numerals import interval, signed
from multiqa_integrations.training.recipe import SCALE
from multiqa_integrations.training.report import SHOWN, Measured, TrainReport


def model_card(report: TrainReport, *, picture: str | None, hub_name: str | None) -> str:
    """Write the card.

    Args:
        report: Of the training.
        picture: The name of its picture, if there is one.
        hub_name: The base's name on the hub, if it has one.
    """
    return "\n".join(_lines(report, picture, hub_name)) + "\n"


def _lines(report: TrainReport, picture: str | None, hub_name: str | None) -> Iterator[str]:
    yield "---"
    yield "library_name: sentence-transformers"
    yield "pipeline_tag: sentence-similarity"
    if hub_name:
        yield f"base_model: {json.dumps(hub_name)}"
    yield "tags: [sentence-transformers, feature-extraction, sentence-similarity]"
    yield "---"
    yield ""
    yield "# A model for semantic search, fine-tuned"
    yield ""
    yield f"Made by `multiqa train` (multiqa-integrations {__version__}) from {_code(report.base)}."
    yield "Unit vectors of 384 numbers; mean pooling; compare them by dot product."
    yield ""
    yield "| | fingerprint |"
    yield "|---|---|"
    yield f"| base | `{report.base_fingerprint}` |"
    yield f"| this model | `{report.fingerprint}` |"
    yield ""
    yield "Its vectors cannot be compared with those of its base: encode a collection anew."
    yield ""
    yield "## Before and after"
    for measured in filter(None, (report.measured, report.general)):
        yield ""
        yield from _table(measured)
    yield ""
    if not report.better:
        yield "**On the held-out queries it is not better than its base beyond noise.**"
        yield ""
    if picture:
        yield f"![Loss by step, and nDCG@10 before and after]({picture})"
        yield ""
    yield "## Data"
    yield ""
    yield "| set | weight | pairs | with negatives | groups | sha256 of the pairs |"
    yield "|---|---|---|---|---|---|"
    for counts in report.sets:
        yield (
            f"| {_cell(counts.name)} | {counts.weight:g} | {counts.pairs:,} | "
            f"{counts.with_negatives:,} | {counts.groups:,} | `{counts.digest[:16]}…` |"
        )
    yield ""
    yield f"{report.pairs:,} pairs were trained on, {report.held_out:,} held out to measure with."
    yield ""
    yield "## Recipe"
    yield ""
    settings = report.settings
    yield (
        f"MultipleNegativesRankingLoss on cosine similarity, scale {SCALE:g}: symmetric for pairs, "
        "one way for triplets; no two examples of a batch may be right for each other. "
        f"{report.steps:,} steps of {settings['batch_size']:,} examples, {report.epochs:.1f} "
        f"epochs; AdamW, learning rate {settings['learning_rate']:g}, linear, "
        f"{settings['warmup']:.0%} warm-up; texts of up to {settings['max_length']} word pieces; "
        f"embeddings {'frozen' if settings['freeze_embeddings'] else 'trained'}; "
        f"seed {settings['seed']}."
    )
    if report.blend != 1:
        yield (
            f"The weights are {report.blend:.0%} those that were trained and "
            f"{1 - report.blend:.0%} the base's."
        )
    yield "All settings are in `training.json`."


def _table(measured: Measured) -> Iterator[str]:
    yield (
        f"{_cell(measured.name)}: {measured.queries:,} queries over {measured.documents:,} "
        "documents"
    )
    yield ""
    yield "| | before | after |"
    yield "|---|---|---|"
    for metric in SHOWN:
        yield f"| {metric} | {measured.before[metric]:.4f} | {measured.after[metric]:.4f} |"
    yield ""
    p_value = "–" if measured.p_value is None else f"{measured.p_value:.4f}"
    yield (
        f"Difference in {SHOWN[0]}: {signed(measured.difference, 4)}, 95 % interval "
        f"{interval(measured.low, measured.high)}, p {p_value}."
    )


def _code(text: str) -> str:
    return f"`{_cell(text).replace('`', '')}`"


def _cell(text: str) -> str:
    """Return a name as it can stand in a table of Markdown."""
    return " ".join(text.replace("|", "∣").replace("<", "‹").split())
