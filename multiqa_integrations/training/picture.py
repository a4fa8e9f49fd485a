"""The picture of a training: what the loss did, and what it brought."""

from __future__ import annotations

from pathlib import Path

from multiqa_integrations.evaluation.pictures import Change, draw_training
from multiqa_integrations.training.report import SHOWN, TrainReport


def write_picture(report: TrainReport, file: Path) -> None:
    """Draw a report into a file of SVG."""
    metric = SHOWN[0]
    changes = [
        Change(found.name, found.before[metric], found.after[metric], found.low, found.high)
        for found in (report.measured, report.general)
        if found is not None
    ]
    draw_training(file, report.loss, changes, metric=metric)
