"""The encoder as a LlamaIndex embedding model."""

from __future__ import annotations

from typing import Any

from llama_index.core import Settings
from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.embeddings.loading import RECOGNIZED_EMBEDDINGS
from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from multiqa_integrations.arguments import path_to_str
from multiqa_integrations.coroutines import in_thread
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.llama_index.cache import KeyedCache
from multiqa_integrations.model import MULTI_QA, default_model

# The encoder makes its own batches, by word pieces: the more texts it sees, the better.
_TEXTS_PER_CALL = 512

_SETTINGS = (
    *("revision", "backend", "dtype", "device", "max_seq_length", "batch_tokens"),
    *("on_truncation", "cache_folder", "local_files_only", "threads"),
)


class MultiQAEmbedding(BaseEmbedding):
    """Embed with `multi-qa-MiniLM-L6-cos-v1`; vectors have length 1.

    No argument is needed. Every setting of `MultiQAEncoder` is a field here; see there for what
    they mean. The model is not part of this object: it is loaded on first use, once per process for
    the same settings, so that copies, pickles, dictionaries and worker processes carry settings
    only.

    Examples:
        >>> from llama_index.core import Settings
        >>> Settings.embed_model = MultiQAEmbedding()
        >>> Settings.embed_model.model_name
        'sentence-transformers/multi-qa-MiniLM-L6-cos-v1'
    """

    _kept: tuple[dict[str, Any], MultiQAEncoder] | None = PrivateAttr(default=None)

    # A cache or a setting may be given later too.
    model_config = ConfigDict(validate_assignment=True)

    model_name: str = Field(
        default_factory=default_model,
        validation_alias=AliasChoices("model_name", "model"),
        description="A hub name, or a directory.",
    )
    embed_batch_size: int = Field(
        default=_TEXTS_PER_CALL,
        gt=0,
        le=2048,
        description="Texts per call of the encoder, which makes its own batches.",
    )
    revision: str | None = Field(default=None, description="Commit, tag or branch of the hub.")
    backend: str = Field(
        default="auto", description="openvino, torch, sentence-transformers or auto."
    )
    dtype: str = Field(default="auto", description="float32, bfloat16, float16, int8 or auto.")
    device: str = Field(default="auto", description="cpu, a torch device, or auto.")
    max_seq_length: int | None = Field(default=None, description="Limit in word pieces.")
    batch_tokens: int | None = Field(default=None, description="Word pieces per batch.")
    on_truncation: str = Field(default="warn", description="warn, error or ignore.")
    cache_folder: str | None = Field(default=None, description="The hub cache.")
    local_files_only: bool = Field(default=False, description="Never use the network.")
    threads: int | None = Field(default=None, description="Processors to use.")

    _from_path = field_validator("model_name", "cache_folder", mode="before")(path_to_str)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: Any) -> Any:
        # The base class silently drops them.
        known = cls.model_fields.keys() | {"model", "class_name"}
        if isinstance(values, dict) and (unknown := values.keys() - known):
            raise ConfigurationError(
                f"unknown settings: {', '.join(sorted(unknown))}. Expected some of "
                f"{', '.join(sorted(cls.model_fields))}."
            )
        return values

    @model_validator(mode="after")
    def _check(self) -> MultiQAEmbedding:
        _ = self.encoder  # checks the settings; nothing is loaded
        cache = self.embeddings_cache
        if cache is not None and not isinstance(cache, KeyedCache):
            # Not by assignment, which would validate again.
            object.__setattr__(self, "embeddings_cache", KeyedCache(cache, self._cache_key))
        return self

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex knows the class by."""
        return "MultiQAEmbedding"

    @property
    def encoder(self) -> MultiQAEncoder:
        """An encoder of these settings; all of them share one loaded model."""
        # What was not given is left to the encoder, whose defaults these are.
        given = {name: getattr(self, name) for name in _SETTINGS if name in self.model_fields_set}
        if "model_name" in self.model_fields_set:
            given["model"] = self.model_name
        # Kept, since a model may be dropped with the last encoder of it. It is pickled as its
        # settings; a copy with other settings gets another.
        if self._kept is None or self._kept[0] != given:
            self._kept = given, MultiQAEncoder(**given)
        return self._kept[1]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the weights: vectors are comparable where it is equal."""
        return self.encoder.fingerprint

    @property
    def dimension(self) -> int:
        """Length of a vector: 384."""
        return MULTI_QA.dimension

    def _cache_key(self) -> str:
        """Return a name of everything that changes a vector: weights, arithmetic, limit."""
        encoder = self.encoder
        return f"{encoder.fingerprint}/{encoder.compute.dtype}/{encoder.max_seq_length}"

    def _get_query_embedding(self, query: str) -> Embedding:
        embedded: Embedding = self.encoder.encode_query([query])[0].tolist()
        return embedded

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await in_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await in_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        embedded: list[Embedding] = self.encoder.encode_document(texts).tolist()
        return embedded

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await in_thread(self._get_text_embeddings, texts)


def embedding_of_settings() -> MultiQAEmbedding:
    """Return the embedding model of LlamaIndex's `Settings`; the default one where none is set.

    Raises:
        ConfigurationError: It is of another class.
    """
    chosen = Settings._embed_model  # its public name would make OpenAI's where none is chosen
    if chosen is None:
        return MultiQAEmbedding()
    if isinstance(chosen, MultiQAEmbedding):
        return chosen
    raise not_multiqa_error(chosen)


def not_multiqa_error(embedding: object) -> ConfigurationError:
    """Build the error for an embedding model of another class."""
    return ConfigurationError(
        f"the embedding is {type(embedding).__name__}, expected MultiQAEmbedding: its weights and "
        "its tokenizer count. Pass embedding=MultiQAEmbedding(...), the one of your index."
    )


# For load_embed_model(embedding.to_dict()).
RECOGNIZED_EMBEDDINGS[MultiQAEmbedding.class_name()] = MultiQAEmbedding
