"""The encoder as LangChain embeddings."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr, field_validator

from multiqa_integrations.arguments import path_to_str
from multiqa_integrations.coroutines import in_thread
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.model import default_model
from multiqa_integrations.texts import check_text
from multiqa_integrations.types import Encoder

_OWN_FIELDS = {"show_progress", "encoder"}


class MultiQAEmbeddings(Serializable, Embeddings):
    """Embed texts with `multi-qa-MiniLM-L6-cos-v1`; vectors have length 1.

    No argument is needed. Every setting of `MultiQAEncoder` is a field here; see there for what
    they mean. The model is loaded on first use, once per process for the same settings, however
    many embeddings, stores and encoders use it. Pickles, copies and LangChain's serialisation keep
    the settings.

    Examples:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> embeddings = MultiQAEmbeddings(encoder=FakeEncoder())
        >>> vector = embeddings.embed_query("How many people live in London?")
        >>> len(vector), type(vector[0])
        (384, <class 'float'>)
    """

    model_config = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    model: str = Field(
        default_factory=default_model, validation_alias=AliasChoices("model", "model_name")
    )
    """A hub name, or a directory. `model_name` is the same."""
    revision: str | None = None
    """Commit, tag or branch of the hub repository."""
    backend: str = "auto"
    """"openvino", "torch", "sentence-transformers" or "auto"."""
    dtype: str = "auto"
    """"float32", "bfloat16", "float16", "int8" or "auto"."""
    device: str = "auto"
    """"cpu", a torch device such as "cuda:1", or "auto"."""
    max_seq_length: int | None = None
    """Limit in word pieces; by default the checkpoint's own."""
    batch_tokens: int | None = None
    """Word pieces per batch; by default the backend's."""
    on_truncation: str = "warn"
    """What happens to longer texts: "warn", "error" or "ignore"."""
    cache_folder: str | None = None
    """The hub cache; by default the hub library's own."""
    local_files_only: bool = False
    """Never use the network."""
    threads: int | None = None
    """Processors to use; by default all that the process may use."""
    show_progress: bool = False
    """Show a progress bar while documents are embedded."""
    encoder: Encoder | None = None
    """An encoder to use instead, such as `FakeEncoder()` in tests; excludes the settings above."""

    _encoder: Encoder = PrivateAttr()

    _from_path = field_validator("model", "cache_folder", mode="before")(path_to_str)

    def model_post_init(self, context: Any, /) -> None:
        """Check the settings; nothing is loaded yet.

        Raises:
            ConfigurationError: A setting is unknown or out of range, or excludes another.
        """
        if self.encoder is None:
            self._encoder = MultiQAEncoder(**self._settings())
            return
        excluded = self.model_fields_set - _OWN_FIELDS
        if excluded:
            raise ConfigurationError(
                f"encoder has its own settings: leave {', '.join(sorted(excluded))} out."
            )
        self._encoder = self.encoder

    @property
    def model_name(self) -> str:
        """The model: a hub name, or a directory."""
        return self.model

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the weights: vectors are comparable where it is equal.

        A good namespace for `CacheBackedEmbeddings`.
        """
        return self._encoder.fingerprint

    @property
    def dimension(self) -> int:
        """Length of a vector: 384."""
        return self._encoder.dimension

    @property
    def used_encoder(self) -> Encoder:
        """The encoder that computes the vectors."""
        return self._encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents; one vector of 384 Python floats for each.

        Raises:
            TextError: `texts` is not a list of strings; `.index` is the place.
            ModelError: The model is missing, damaged or of another architecture.
        """
        vectors = self._encoder.encode_document(texts, show_progress=self.show_progress)
        embedded: list[list[float]] = vectors.tolist()
        return embedded

    def embed_query(self, text: str) -> list[float]:
        """Embed a query: 384 Python floats.

        Raises:
            TextError: It is not a string.
            ModelError: As `embed_documents`.
        """
        embedded: list[float] = self._encoder.encode_query([check_text(text, 0)])[0].tolist()
        return embedded

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents, without blocking the event loop."""
        return await in_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query, without blocking the event loop."""
        return await in_thread(self.embed_query, text)

    # --- LangChain's serialisation: by the settings -----------------------------------------

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: `dumpd` and `load` work."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Return where LangChain finds the class again."""
        return ["multiqa_integrations", "langchain"]

    def to_json(self) -> Any:
        """Serialise the settings; a given encoder cannot be serialised."""
        return super().to_json() if self.encoder is None else self.to_json_not_implemented()

    def _settings(self) -> dict[str, Any]:
        # What was not given is left to the encoder, whose defaults these are.
        return {name: getattr(self, name) for name in self.model_fields_set - _OWN_FIELDS}
