"""Groups of options of `train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from multiqa_integrations.cli.job_options import Format

_RECIPE = "Recipe"


@dataclass(frozen=True)
class PairOptions:
    """How pairs are read."""

    query_field: Annotated[str, typer.Option(metavar="FIELD", help="Field of the query.")] = "query"
    positive_field: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of the text that answers it.")
    ] = "positive"
    negative_field: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of a text that does not; may be missing.")
    ] = "negative"
    negatives_field: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of a list of such texts; may be missing.")
    ] = "negatives"
    group_field: Annotated[
        str,
        typer.Option(
            metavar="FIELD",
            help="Field of what pairs have in common that answer each other; may be missing.",
        ),
    ] = "group"
    format: Annotated[
        Format | None, typer.Option(help="Format of the files.", show_default="by their names")
    ] = None
    max_errors: Annotated[
        int, typer.Option(help="Train nothing when more records than this are rejected.")
    ] = 1_000
    dead_letter: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Append rejected records to this file.", show_default="nowhere"
        ),
    ] = None

    @property
    def fields(self) -> dict[str, str]:
        """Return the fields as `PairFields(**…)` takes them."""
        suffix = "_field"
        return {
            name.removesuffix(suffix): value
            for name, value in vars(self).items()
            if name.endswith(suffix)
        }


@dataclass(frozen=True)
class RecipeOptions:
    """What may be chosen of the recipe."""

    steps: Annotated[
        int | None,
        typer.Option(
            help="Steps to train, however long they take.",
            show_default="as --minutes allows",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    epochs: Annotated[
        float, typer.Option(help="How often a pair is seen at most.", rich_help_panel=_RECIPE)
    ] = 3.0
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Examples of a batch.",
            show_default="32; 1024 on an accelerator",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    learning_rate: Annotated[
        float, typer.Option(help="The highest learning rate.", rich_help_panel=_RECIPE)
    ] = 2e-5
    warmup: Annotated[
        float,
        typer.Option(help="Share of the steps of the warm-up.", rich_help_panel=_RECIPE),
    ] = 0.1
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Word pieces of a text that are trained on.",
            show_default="250; less where the time is short",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    freeze_embeddings: Annotated[
        bool | None,
        typer.Option(
            "--freeze-embeddings/--train-embeddings",
            help="Whether the vectors of word pieces stay as they are.",
            show_default="frozen on a processor",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    seed: Annotated[
        int, typer.Option(help="Of split, batches and dropout.", rich_help_panel=_RECIPE)
    ] = 0
    device: Annotated[
        str,
        typer.Option(help="auto, cpu, or a torch device such as cuda:0.", rich_help_panel=_RECIPE),
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option(help="Processors to use.", show_default="all", rich_help_panel=_RECIPE),
    ] = None
