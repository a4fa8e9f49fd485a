"""Write a checkpoint: the base's files with other weights, and nothing of what was trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from multiqa_integrations import hub_cache
from multiqa_integrations.checkpoint import Checkpoint
from multiqa_integrations.errors import ModelIntegrityError
from multiqa_integrations.training.room import RESUME, write_error

_PREFIXES = ("0.auto_model.", "0.model.")


def base_tensors(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint by the names of its file."""
    return dict(load_file(checkpoint.weights))


def trained_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of a sentence-transformers model by the names that BERT gives them."""
    named = {}
    for name, tensor in state.items():
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                named[name.removeprefix(prefix)] = tensor.detach().cpu().clone()
    return named


def blend(
    base: Mapping[str, torch.Tensor], trained: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Average the weights of the base and of the trained model.

    Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.

    Args:
        base: By the names of the base's file.
        trained: By BERT's own names.
        share: Of the trained weights, from 0 to 1.

    Raises:
        ModelIntegrityError: A trained tensor has no place in the base's file, or is not finite.
    """
    prefix = "bert." if any(name.startswith("bert.") for name in base) else ""
    blended = dict(base)
    for name, tensor in trained.items():
        old = base.get(prefix + name)
        if old is None or old.shape != tensor.shape:
            if name.startswith("pooler.") or name.endswith(("position_ids", "token_type_ids")):
                continue  # of no use to the vectors
            raise ModelIntegrityError(f"the trained tensor {name!r} has no place in the base.")
        if not old.is_floating_point():
            continue
        if not torch.isfinite(tensor).all():
            raise ModelIntegrityError(f"the trained tensor {name!r} is not finite.")
        mixed = tensor.float() if share == 1 else torch.lerp(old.float(), tensor.float(), share)
        blended[prefix + name] = mixed.to(old.dtype).contiguous()
    return blended


def write_checkpoint(folder: Path, base: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a checkpoint into a new folder: what an encoder needs, and no more.

    Args:
        folder: Where.
        base: Whose configuration it has.
        tensors: Its weights.

    Raises:
        TrainingError: It cannot be written.
    """
    try:
        _write_checkpoint(folder, base, tensors)
    except (OSError, SafetensorError) as error:
        raise write_error(
            f"the model cannot be written to {str(folder)!r}",
            error,
            folder,
            sum(tensor.nbytes for tensor in tensors.values()),
            again=RESUME,
        ) from error


def _write_checkpoint(folder: Path, base: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> None:
    folder.mkdir()
    source = base.directory
    pooling = json.loads((source / "modules.json").read_text(encoding="utf-8"))[1].get("path")
    names = [*hub_cache.REQUIRED, *hub_cache.OPTIONAL, f"{pooling or '1_Pooling'}/config.json"]
    for name in names:
        if name != hub_cache.WEIGHTS and (source / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    _change(folder / "tokenizer.json", truncation=None, padding=None)
    _change(folder / "sentence_bert_config.json", max_seq_length=base.spec.max_seq_length)
    save_file(dict(tensors), folder / hub_cache.WEIGHTS, metadata={"format": "pt"})
    # safetensors makes its file for the owner alone; whoever may read the others may read it.
    (folder / hub_cache.WEIGHTS).chmod((folder / "config.json").stat().st_mode & 0o777)


def _change(file: Path, **values: object) -> None:
    old = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.write_text(json.dumps({**old, **values}, ensure_ascii=False), encoding="utf-8")
