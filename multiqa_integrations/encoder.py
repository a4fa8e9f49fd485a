"""The encoder: texts in, unit vectors out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multiqa_integrations.backends import BackendName, Compute, DType
from multiqa_integrations.embedding import embed
from multiqa_integrations.errors import ConfigurationError, TextTypeError
from multiqa_integrations.model import MULTI_QA, ModelSpec, default_model
from multiqa_integrations.runtime import runtime_for
from multiqa_integrations.settings import EncoderSettings
from multiqa_integrations.similarity import similarity
from multiqa_integrations.texts import check_texts
from multiqa_integrations.tokenizer import TokenizedTexts, WordPieceTokenizer
from multiqa_integrations.truncation import Truncation
from multiqa_integrations.types import OnTruncation, SimilarityScore, Vectors
from multiqa_integrations.windows import Windows


class MultiQAEncoder:
    """Encode texts with `multi-qa-MiniLM-L6-cos-v1`, or a checkpoint fine-tuned from it.

    Any number of threads may use one encoder. The model is loaded at the first use, and shared
    by all encoders of the process with the same settings. Pickling keeps the settings only;
    forked and spawned processes load their own model.

    Vectors are float32 of length 1, so that the dot product is the cosine. Texts longer than
    `max_seq_length` word pieces are truncated, with a warning (`on_truncation`); split them with
    `multiqa_integrations.chunking.chunk`. Empty and whitespace-only texts are encoded as
    `[CLS] [SEP]`, all to the same vector. Lone surrogates are replaced by U+FFFD.

    Source: the model card, https://huggingface.co/sentence-transformers/multi-qa-MiniLM-L6-cos-v1

    Examples:
        >>> from multiqa_integrations import MultiQAEncoder
        >>> encoder = MultiQAEncoder()  # doctest: +SKIP
        >>> query = encoder.encode_query(["How many people live in London?"])  # doctest: +SKIP
        >>> documents = encoder.encode_document(  # doctest: +SKIP
        ...     ["Around 9 million people live in London", "London is known for its theatres"]
        ... )
        >>> encoder.similarity(query, documents)  # doctest: +SKIP
        array([[0.9156, 0.4948]], dtype=float32)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        backend: BackendName = "auto",
        dtype: DType = "auto",
        device: str = "auto",
        max_seq_length: int | None = None,
        batch_tokens: int | None = None,
        on_truncation: OnTruncation = "warn",
        cache_folder: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        threads: int | None = None,
    ) -> None:
        """Check the settings; nothing is loaded yet.

        Args:
            model: A hub name, or a directory; by default what the environment variable
                MULTIQA_MODEL names, else the model itself.
            revision: Commit, tag or branch of the hub repository; for the model itself the one
                that this package is tested with, for others "main".
            backend: "openvino" (CPU, no torch), "torch" (extra `torch`: CUDA, MPS, …),
                "sentence-transformers" (the model as that library runs it), or "auto":
                "torch" where it can use an accelerator, else "openvino".
            dtype: "auto" is bfloat16 where the processor computes it natively, else float32; on
                CUDA bfloat16, or float16 on GPUs that lack it. "int8" has 8-bit weights: less
                memory, vectors a little less exact, and more speed on processors with VNNI but
                without AMX.
            device: "auto", "cpu", or a torch device such as "cuda:1".
            max_seq_length: Limit in word pieces, [CLS] and [SEP] included, 3 to 512; by
                default the checkpoint's own.
            batch_tokens: Size of a batch in word pieces; by default the backend's.
            on_truncation: What to do about longer texts: "warn" once per call, raise an "error"
                before anything is computed, or "ignore".
            cache_folder: The hub cache; by default the hub library's own.
            local_files_only: Never use the network.
            threads: Processors to use; by default all that the process may use, container
                quotas respected.

        Raises:
            ConfigurationError: A setting is unknown or out of range, or two exclude each other.
        """
        self._settings = EncoderSettings.checked(
            model=default_model() if model is None else model,
            revision=revision,
            backend=backend,
            dtype=dtype,
            device=device,
            max_seq_length=max_seq_length,
            batch_tokens=batch_tokens,
            on_truncation=on_truncation,
            cache_folder=cache_folder,
            local_files_only=local_files_only,
            threads=threads,
        )
        self._runtime = runtime_for(self._settings.load)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_from_settings, (type(self), self.settings))

    def __repr__(self) -> str:
        settings = self.settings
        shown = [repr(settings.pop("model"))]
        shown += [
            f"{name}={value!r}"
            for name, value in settings.items()
            if value not in (None, "auto", False)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that it was made with; `MultiQAEncoder(**encoder.settings)` is its equal."""
        return self._settings.to_dict()

    @property
    def dimension(self) -> int:
        """Length of a vector: 384."""
        return MULTI_QA.dimension

    @property
    def spec(self) -> ModelSpec:
        """The contract, read from the checkpoint's own files."""
        return self._runtime.checkpoint.spec

    @property
    def max_seq_length(self) -> int:
        """Longest text in word pieces, [CLS] and [SEP] included; longer ones are truncated."""
        limit = self._settings.max_seq_length
        if limit is not None and limit > self.spec.max_positions:
            raise ConfigurationError(
                f"max_seq_length is {limit}, the checkpoint {self.spec.name} computes at most "
                f"{self.spec.max_positions} word pieces."
            )
        return limit or self.spec.max_seq_length

    @property
    def fingerprint(self) -> str:
        """Names the weights, the pooling and the normalisation.

        Vectors are comparable where it is equal, whatever the backend and dtype, and wherever
        the checkpoint was found. It is that of the weights which this encoder computes with,
        also after their file was replaced; an encoder made later takes the new ones.
        """
        return self.spec.fingerprint(self._runtime.weights_sha256)

    @property
    def compute(self) -> Compute:
        """Backend, dtype and device in use on this machine, and why."""
        return self._runtime.compute

    @property
    def tokenizer(self) -> WordPieceTokenizer:
        """The model's tokenizer, for chunking and counting."""
        return self._runtime.tokenizer

    def load(self) -> MultiQAEncoder:
        """Load the model for queries now instead of at the first one; returns the encoder."""
        _ = self._runtime.tokenizer, self._runtime.queries
        return self

    def encode(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode texts.

        Args:
            texts: A list of strings, or an array or column of strings.
            show_progress: Show a progress bar.

        Returns:
            Unit vectors, float32 `(n, 384)`; row i is `texts[i]`. `(0, 384)` for an empty list.

        Raises:
            TextError: `texts` is not a list of strings; `.index` is the position of what is wrong.
            TruncationError: A text is too long and `on_truncation="error"`.
            ModelError: The model cannot be found, or is damaged or of another kind.
        """
        return self._encode(texts, None, show_progress)

    def encode_query(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode search queries: `encode`, with the checkpoint's query prompt if it has one."""
        return self._encode(texts, "query", show_progress)

    def encode_document(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        """Encode texts to be found: `encode`, with the document prompt if there is one."""
        return self._encode(texts, "document", show_progress)

    def encode_stream(
        self, texts: Iterable[str], *, show_progress: bool = False
    ) -> Iterator[Vectors]:
        """Encode documents as they come, in bounded memory.

        Args:
            texts: Any iterable of strings, endless ones included.
            show_progress: Show a progress bar.

        Returns:
            An iterator of float32 `(n_k, 384)`, in input order, one for each window of about
            2,000 texts. While one is computed, the texts of the next are read and tokenised.

        Raises:
            TextError: As `encode`; what came before that text's window has been yielded.

        Examples:
            >>> lines = open("corpus.txt", encoding="utf-8")  # doctest: +SKIP
            >>> for vectors in MultiQAEncoder().encode_stream(lines):  # doctest: +SKIP
            ...     print(vectors.shape)
        """
        if isinstance(texts, str | bytes | bytearray) or not isinstance(texts, Iterable):
            raise TextTypeError(
                f"expected an iterable of texts, got {type(texts).__name__}. Pass [text]."
            )
        return self._stream(texts, show_progress)

    def similarity(self, a: ArrayLike, b: ArrayLike, score: SimilarityScore = "dot") -> Vectors:
        """Score vectors against each other; greater is closer. See `similarity.similarity`."""
        return similarity(a, b, score)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count word pieces, [CLS] and [SEP] included, before any cut; shape `(n,)`."""
        return self.tokenizer.count(check_texts(texts))

    def _encode(
        self, texts: Sequence[str], role: Literal["query", "document"] | None, show_progress: bool
    ) -> Vectors:
        checked = check_texts(texts)
        if not checked:
            return np.empty((0, self.dimension), np.float32)
        truncation = Truncation(self._settings.on_truncation)
        with _progress(len(checked), show_progress) as bar:
            if (
                not self.compute.on_accelerator
                or len(checked) <= self.compute.batch_texts
                or truncation.on_truncation == "error"  # before anything is computed
            ):
                tokenized = self._tokenize(checked, role)
                truncation.count(tokenized.full_lengths, self.max_seq_length)
                truncation.warn(stacklevel=3)  # the caller of encode()
                return self._embed(tokenized, bar)
            # An accelerator would wait until everything is tokenised.
            vectors = np.empty((len(checked), self.dimension), np.float32)
            done = 0
            try:
                for part in self._windows(checked, role, truncation, bar):
                    vectors[done : done + len(part)] = part
                    done += len(part)
            finally:
                truncation.warn(stacklevel=3)
            return vectors

    def _stream(self, texts: Iterable[str], show_progress: bool) -> Iterator[Vectors]:
        truncation = Truncation(self._settings.on_truncation)
        try:
            total = len(texts) if isinstance(texts, Sized) else None
            with _progress(total, show_progress) as bar:
                yield from self._windows(texts, "document", truncation, bar)
        finally:  # once per call, also where the reader stops early
            truncation.warn(stacklevel=2)

    def _windows(
        self,
        texts: Iterable[str],
        role: Literal["query", "document"] | None,
        truncation: Truncation,
        bar: Any,
    ) -> Iterator[Vectors]:
        """Compute window after window, while the next one is read and tokenised."""
        windows = Windows(texts, lambda window: self._tokenize(window, role))
        while (tokenized := windows.take()) is not None:
            truncation.count(tokenized.full_lengths, self.max_seq_length)
            yield self._embed(tokenized, bar, meanwhile=windows.read_ahead)

    def _tokenize(
        self, texts: list[str], role: Literal["query", "document"] | None
    ) -> TokenizedTexts:
        spec = self.spec
        # As sentence-transformers: a role without a prompt of its own has none.
        prompt = spec.prompts.get(role or spec.default_prompt_name or "")
        if prompt:
            texts = [prompt + text for text in texts]
        return self.tokenizer.encode(texts, max_length=self.max_seq_length)

    def _embed(
        self,
        tokenized: TokenizedTexts,
        bar: Any,
        *,
        meanwhile: Callable[[Callable[[], bool]], None] | None = None,
    ) -> Vectors:
        return embed(
            tokenized,
            self._runtime,
            batch_tokens=self._settings.batch_tokens or self.compute.batch_tokens,
            advance=bar.update,
            meanwhile=meanwhile,
        )


def _from_settings(kind: type[MultiQAEncoder], settings: dict[str, Any]) -> MultiQAEncoder:
    return kind(**settings)


def _progress(total: int | None, show: bool) -> Any:
    if not show:
        return nullcontext(_NoBar())
    from tqdm.auto import tqdm  # 30 ms that most calls need not pay

    return tqdm(total=total, desc="Encoding", unit="text")


class _NoBar:
    def update(self, n: int) -> None:
        """Show nothing."""
