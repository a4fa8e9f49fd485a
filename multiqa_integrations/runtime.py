"""Loaded models: at most one per process for the same settings, shared by all encoders.

A forked child must not touch the parent's models: threads do not survive a fork, so whatever
waits for the library's threads hangs. The child therefore forgets the models without freeing
them, and loads its own at its first call. A fork waits for a model that is being loaded: a
library half imported by a thread that is gone could never be imported again in the child.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from multiqa_integrations import backends
from multiqa_integrations.backends import Backend, Compute
from multiqa_integrations.checkpoint import Checkpoint, resolve
from multiqa_integrations.gathering import Gatherer
from multiqa_integrations.native import native_call
from multiqa_integrations.settings import LoadSettings
from multiqa_integrations.tokenizer import WordPieceTokenizer
from multiqa_integrations.weights import Weights, open_weights

logger = logging.getLogger(__name__)


class Runtime:
    """One model: its files, tokenizer and backend, each loaded at its first use.

    What fails to load is tried again at the next use.
    """

    def __init__(self, settings: LoadSettings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._checkpoint: Checkpoint | None = None
        self._weights: Weights | None = None
        self._named: str | None = None  # the digest of the weights, once it was told
        self._tokenizer: WordPieceTokenizer | None = None
        self._compute: Compute | None = None
        self._backends: dict[bool, Backend] = {}  # by `one_batch`
        self._queries: Gatherer | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The model's files; found, and fetched if need be, at the first use."""
        # Read once without the lock: attributes are set only when they are complete.
        checkpoint = self._checkpoint
        if checkpoint is None:
            with self._lock:
                checkpoint = self._checkpoint
                if checkpoint is None:
                    checkpoint = self._checkpoint = resolve(
                        self.settings.model,
                        revision=self.settings.revision,
                        cache_folder=self.settings.cache_folder,
                        local_files_only=self.settings.local_files_only,
                    )
        return checkpoint

    @property
    def weights(self) -> Weights:
        """The model's weights: opened once, the same for all that is loaded and named."""
        weights = self._weights
        if weights is None:
            with self._lock, self._loaded_anew_after_failure():
                weights = self._weights
                if weights is None:
                    weights = open_weights(self.checkpoint.weights)
                    if self._named is not None and self._named != weights.sha256:
                        raise weights.changed_error("has been replaced")
                    self._weights = weights
        return weights

    @property
    def weights_sha256(self) -> str:
        """The digest of the weights; it stays the same once it was told."""
        if self._named is None:
            self._named = self.weights.sha256
        return self._named

    @property
    def is_current(self) -> bool:
        """Whether the weights file is the one that was opened, as far as it was."""
        if self._weights is None:
            return self._named is None
        return self._weights.is_current

    @property
    def tokenizer(self) -> WordPieceTokenizer:
        """The model's tokenizer."""
        tokenizer = self._tokenizer
        if tokenizer is None:
            with self._lock, self._loaded_anew_after_failure():
                tokenizer = self._tokenizer
                if tokenizer is None:
                    checkpoint = self.checkpoint
                    tokenizer = self._tokenizer = WordPieceTokenizer(
                        checkpoint.tokenizer_file, vocabulary=checkpoint.spec.vocabulary
                    )
        return tokenizer

    @property
    def compute(self) -> Compute:
        """What computes the vectors on this machine."""
        if self._compute is None:
            with self._lock:
                if self._compute is None:
                    with _loading, native_call:
                        self._compute = backends.choose(
                            self.settings.backend, self.settings.dtype, self.settings.device
                        )
        return self._compute

    @property
    def backend(self) -> Backend:
        """The loaded model, for many batches."""
        return self._backend(one_batch=False)

    @property
    def queries(self) -> Gatherer:
        """The loaded model, for one batch that is wanted soon.

        OpenVINO keeps two compiled models, since one that computes several batches at the same
        time takes twice as long for a single one.
        """
        if self._queries is None:
            backend = self._backend(one_batch=self.compute.backend == "openvino")
            with self._lock:
                if self._queries is None:
                    self._queries = Gatherer(
                        backend.embed,
                        batch_tokens=self.compute.batch_tokens,
                        max_texts=self.compute.batch_texts,
                        limit=self.checkpoint.spec.max_positions,
                        step=self.compute.query_step,
                    )
        return self._queries

    def _backend(self, *, one_batch: bool) -> Backend:
        backend = self._backends.get(one_batch)
        if backend is None:
            with self._lock, self._loaded_anew_after_failure():
                backend = self._backends.get(one_batch)
                if backend is None:
                    checkpoint, weights, compute = self.checkpoint, self.weights, self.compute
                    if not self._backends:  # once a model, not for each way to run it
                        backends.warn_of_slowness(compute)
                    began = time.monotonic()
                    with _loading, native_call:
                        backend = self._backends[one_batch] = backends.load(
                            checkpoint,
                            weights,
                            compute,
                            threads=self.settings.threads,
                            one_batch=one_batch,
                        )
                    logger.info(
                        "loaded %s in %.2f s: %s, %s, on %s",
                        checkpoint.directory,
                        time.monotonic() - began,
                        compute.backend,
                        compute.dtype,
                        compute.device,
                    )
        return backend

    @contextmanager
    def _loaded_anew_after_failure(self) -> Iterator[None]:
        """Forget the files if one of them cannot be used: it may be mended before the next try."""
        try:
            yield
        except BaseException:
            if not self._backends:
                self._checkpoint = self._weights = self._tokenizer = None
            raise

    def forget(self) -> None:
        """Forget what a forked child cannot use; it is loaded anew at the next use."""
        self._lock = threading.RLock()
        for backend in self._backends.values():
            backend.abandon()
        self._backends = {}
        self._queries = None


_loading = threading.RLock()  # held while a native library is imported or set up
_lock = threading.Lock()
_runtimes: weakref.WeakValueDictionary[LoadSettings, Runtime] = weakref.WeakValueDictionary()
# All of them, also those whose weights have been replaced.
_living: weakref.WeakSet[Runtime] = weakref.WeakSet()
# Kept alive: making an encoder per request must not load a model per request.
_latest: Runtime | None = None


def runtime_for(settings: LoadSettings) -> Runtime:
    """Return the process's runtime for these settings, which loads nothing yet.

    It lives as long as an encoder holds it, and at least until other settings are asked for. Where
    the weights have been replaced since they were opened, it is a new one: encoders that hold the
    old one go on with the old weights, under their fingerprint.
    """
    global _latest
    with _lock:
        runtime = _runtimes.get(settings)
        if runtime is None or not runtime.is_current:
            runtime = _runtimes[settings] = Runtime(settings)
            _living.add(runtime)
        _latest = runtime
        return runtime


def _wait_for_loads() -> None:
    _loading.acquire()


def _go_on_in_parent() -> None:
    _loading.release()


def _forget_in_child() -> None:
    global _loading, _lock
    _loading, _lock = threading.RLock(), threading.Lock()
    backends.note_fork()
    for runtime in list(_living):
        runtime.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_wait_for_loads,
        after_in_parent=_go_on_in_parent,
        after_in_child=_forget_in_child,
    )
