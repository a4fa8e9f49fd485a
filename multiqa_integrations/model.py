"""The contract of the model: what a checkpoint must be so that its vectors can be used here."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from multiqa_integrations.errors import ModelContractError, ModelIntegrityError, ModelNotFoundError
from multiqa_integrations.reading import read_json
from multiqa_integrations.types import SimilarityScore

# The largest numbers of config.json that are believed: far above those of any checkpoint
# fine-tuned from this model, and small enough that a hostile one costs no memory.
_MOST = {
    "num_hidden_layers": 48,
    "num_attention_heads": 384,
    "intermediate_size": 12_288,
    "vocab_size": 500_000,
    "max_position_embeddings": 8_192,
}
_LEAST = {"max_position_embeddings": 3}  # a word piece between [CLS] and [SEP]
_FOLDER = re.compile(r"\w[\w.-]{0,59}")  # shorter than any file system allows

_NO_PROMPTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is fixed about a model.

    The defaults are those of `multi-qa-MiniLM-L6-cos-v1`; source: its model card and
    configuration files, https://huggingface.co/sentence-transformers/multi-qa-MiniLM-L6-cos-v1.

    Attributes:
        name: Hub name, or the directory it was read from.
        revision: Commit of the hub repository; None for a directory.
        dimension: Length of a vector.
        layers: Transformer layers.
        heads: Attention heads a layer.
        intermediate: Width of the feed-forward layers.
        vocabulary: Number of word pieces.
        layer_norm_eps: Epsilon inside the root of every layer norm.
        pooling: How token vectors become one: the mean over the real tokens.
        normalize: Vectors have length 1.
        similarities: Scores that make sense, the preferred one first. On unit vectors dot is
            cosine, and Euclidean distance is monotone in it: d² = 2 − 2·dot.
        max_seq_length: Longest text in word pieces, [CLS] and [SEP] included, that the
            checkpoint asks for.
        max_positions: Longest text in word pieces that it can compute.
        trained_length: Longest text in word pieces that it was trained on; longer texts may
            work less well.
        prompts: Text put before an input, by the input's role ("query", "document").
        default_prompt_name: The prompt that plain `encode` uses.
    """

    name: str
    revision: str | None = None
    dimension: int = 384
    layers: int = 6
    heads: int = 12
    intermediate: int = 1536
    vocabulary: int = 30522
    layer_norm_eps: float = 1e-12
    pooling: str = "mean"
    normalize: bool = True
    similarities: tuple[SimilarityScore, ...] = ("dot", "cosine", "euclidean")
    max_seq_length: int = 512
    max_positions: int = 512
    trained_length: int = 250
    # Not in the hash: a mapping has none. Equal specs still have equal hashes.
    prompts: Mapping[str, str] = field(default_factory=lambda: _NO_PROMPTS, hash=False)
    default_prompt_name: str | None = None

    def fingerprint(self, weights_sha256: str) -> str:
        """Name the vectors of weights with this digest: those of equal names are comparable.

        Examples:
            >>> MULTI_QA.fingerprint("12ab")
            'sha256:12ab/mean/l2'
        """
        normalisation = "l2" if self.normalize else "none"
        return f"sha256:{weights_sha256}/{self.pooling}/{normalisation}"

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy does not pickle; the fields that it protects do.
        values = {name: getattr(self, name) for name in self.__slots__}
        values["prompts"] = dict(self.prompts)
        return (_spec_from, (values,))

    @classmethod
    def from_directory(
        cls, directory: Path, *, name: str | None = None, revision: str | None = None
    ) -> ModelSpec:
        """Read the contract from a checkpoint's own configuration files.

        Args:
            directory: A sentence-transformers checkpoint.
            name: What to call it; the directory by default.
            revision: The commit that it is.

        Raises:
            ModelContractError: It is a checkpoint of another kind; says what was found.
            ModelIntegrityError: A configuration file is not a JSON object, or far too large.
            ModelNotFoundError: A configuration file is missing.
        """
        found = _Checkpoint(directory)
        found.check_architecture()
        found.check_modules()
        found.check_pooling()
        prompts, default_prompt = found.prompts()
        return cls(
            name=name or str(directory),
            revision=revision,
            layers=found.integer("num_hidden_layers"),
            heads=found.integer("num_attention_heads"),
            intermediate=found.integer("intermediate_size"),
            vocabulary=found.integer("vocab_size"),
            layer_norm_eps=found.layer_norm_eps(),
            max_seq_length=found.max_seq_length(),
            max_positions=found.integer("max_position_embeddings"),
            prompts=MappingProxyType(prompts),
            default_prompt_name=default_prompt,
        )


MULTI_QA = ModelSpec(
    name="sentence-transformers/multi-qa-MiniLM-L6-cos-v1",
    revision="b207367332321f8e44f96e224ef15bc607f4dbf0",
)
"""The model that this package is made for, at the revision it is tested with."""


def default_model() -> str:
    """Return the hub name or directory that is used where none is given.

    It is what the environment variable MULTIQA_MODEL names, else `MULTI_QA.name`.
    """
    return os.environ.get("MULTIQA_MODEL") or MULTI_QA.name


def _spec_from(values: dict[str, Any]) -> ModelSpec:
    return ModelSpec(**{**values, "prompts": MappingProxyType(values["prompts"])})


class _Checkpoint:
    """The configuration files of one checkpoint, and the questions put to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = self.read("config.json")

    def read(self, path: str, *, required: bool = True) -> dict[str, Any]:
        value = self._json(path, required=required)
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            raise ModelIntegrityError(f"{self.directory / path} does not hold a JSON object.")
        return value

    def _json(self, path: str, *, required: bool) -> Any:
        try:
            return read_json(self.directory / path)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not required:
                return None
            raise ModelNotFoundError(
                f"{self.directory} is not a sentence-transformers checkpoint: {path} is missing. "
                "Give a directory made by `multiqa download --to DIR` or by "
                "SentenceTransformer.save()."
            ) from error

    def contract_error(self, what: str, found: object, needed: object) -> ModelContractError:
        return ModelContractError(
            f"the checkpoint {self.directory} cannot be used: {what} is {_short(found)}, needed is "
            f"{needed!r}. This package encodes with {MULTI_QA.name} and checkpoints "
            "fine-tuned from it; use sentence-transformers for others."
        )

    def integer(self, key: str) -> int:
        value = self.config.get(key)
        least, most = _LEAST.get(key, 1), _MOST[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            needed = f"a whole number from {least} to {most:,}"
            raise self.contract_error(f"{key} in config.json", value, needed)
        return value

    def layer_norm_eps(self) -> float:
        value = self.config.get("layer_norm_eps", 1e-12)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1:
            raise self.contract_error(
                "layer_norm_eps in config.json", value, "a small positive number"
            )
        return float(value)

    def check_architecture(self) -> None:
        fixed: dict[str, tuple[object, object]] = {  # key: (default of BERT, needed)
            "model_type": (None, "bert"),
            "hidden_size": (None, MULTI_QA.dimension),
            "hidden_act": ("gelu", "gelu"),
            "position_embedding_type": ("absolute", "absolute"),
            "is_decoder": (False, False),  # a decoder sees the words before only
        }
        for key, (default, needed) in fixed.items():
            if (value := self.config.get(key, default)) != needed:
                raise self.contract_error(f"{key} in config.json", value, needed)
        heads = self.integer("num_attention_heads")
        if MULTI_QA.dimension % heads:
            raise self.contract_error(
                "num_attention_heads in config.json", heads, "a divisor of 384"
            )

    def check_modules(self) -> None:
        modules = self._json("modules.json", required=True)
        needed = ["Transformer", "Pooling", "Normalize"]
        try:
            # sentence-transformers moved these classes between releases; the last part stayed.
            # A class from elsewhere is code that the checkpoint brings along.
            kinds = [
                kind.rpartition(".")[2] if kind.startswith("sentence_transformers.") else kind
                for kind in (module["type"] for module in modules)
            ]
        except (TypeError, KeyError, AttributeError) as error:
            raise ModelIntegrityError(
                f"{self.directory / 'modules.json'} is not a list of modules. "
                "Fetch the checkpoint again."
            ) from error
        if kinds != needed:
            raise self.contract_error("the list of modules in modules.json", kinds, needed)
        if modules[0].get("path"):
            # Before sentence-transformers 2 the files lay there, and not beside modules.json.
            raise self.contract_error(
                "the folder of the Transformer module", modules[0]["path"], ""
            )
        for module in modules[1:]:
            if not is_folder_name(path := module.get("path") or "1_Pooling"):
                what = "the path of a module in modules.json"
                raise self.contract_error(what, path, "the name of a folder in the checkpoint")
        self.pooling_path = modules[1].get("path") or "1_Pooling"

    def check_pooling(self) -> None:
        path = f"{self.pooling_path}/config.json"
        pooling = self.read(path)
        dimension = pooling.get("word_embedding_dimension", pooling.get("embedding_dimension"))
        if dimension != MULTI_QA.dimension:
            raise self.contract_error(f"the dimension in {path}", dimension, MULTI_QA.dimension)
        # Before sentence-transformers 6: one boolean a mode. Since then: one name or a list.
        mode = pooling.get("pooling_mode")
        if mode is None:
            modes = [key for key in pooling if key.startswith("pooling_mode_") and pooling[key]]
        else:
            modes = [mode] if isinstance(mode, str) else mode
        if not isinstance(modes, list):
            raise self.contract_error(f"the pooling in {path}", modes, [MULTI_QA.pooling])
        # "pooling_mode_mean_tokens", but "pooling_mode_cls_token".
        modes = [
            str(m).removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
            for m in modes
        ]
        if modes != [MULTI_QA.pooling]:
            raise self.contract_error(f"the pooling in {path}", modes, [MULTI_QA.pooling])
        if pooling.get("include_prompt", True) is not True:
            raise self.contract_error(f"include_prompt in {path}", pooling["include_prompt"], True)

    def max_seq_length(self) -> int:
        positions = self.integer("max_position_embeddings")
        settings = self.read("sentence_bert_config.json", required=False)
        # sentence-transformers 6 keeps the limit with the tokenizer instead.
        tokenizer = self.read("tokenizer_config.json", required=False)
        for limit in (settings.get("max_seq_length"), tokenizer.get("model_max_length")):
            if isinstance(limit, int) and limit >= 3:
                return min(limit, positions)
        return positions

    def prompts(self) -> tuple[dict[str, str], str | None]:
        settings = self.read("config_sentence_transformers.json", required=False)
        prompts = settings.get("prompts") or {}
        default = settings.get("default_prompt_name")
        if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
            raise ModelIntegrityError(
                f"prompts in {self.directory / 'config_sentence_transformers.json'} must map "
                f"names to texts, found {_short(prompts)}."
            )
        if default is not None and (not isinstance(default, str) or default not in prompts):
            raise ModelIntegrityError(
                f"default_prompt_name {_short(default)} is not one of {_short(sorted(prompts))} in "
                f"{self.directory / 'config_sentence_transformers.json'}."
            )
        return {name: prompt for name, prompt in prompts.items() if prompt}, (
            default if prompts.get(default) else None
        )


def is_folder_name(path: object) -> bool:
    """Check that a path from a foreign file names a folder, and leads nowhere else."""
    return isinstance(path, str) and _FOLDER.fullmatch(path) is not None


def _short(value: object) -> str:
    """Show a value of a foreign file, in the bounds of a message."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = shown.maxlong = 120
    return shown.repr(value)
