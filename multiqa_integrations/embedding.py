"""From tokenised texts to vectors: batch by batch, in as many threads as the backend uses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations.batching import plan_batches
from multiqa_integrations.errors import ModelError, ModelIntegrityError
from multiqa_integrations.native import native_call
from multiqa_integrations.runtime import Runtime
from multiqa_integrations.tokenizer import TokenizedTexts
from multiqa_integrations.types import Vectors


def embed(
    tokenized: TokenizedTexts,
    runtime: Runtime,
    *,
    batch_tokens: int,
    advance: Callable[[int], object] = lambda texts: None,
    meanwhile: Callable[[Callable[[], bool]], None] | None = None,
) -> Vectors:
    """Compute the vectors of texts.

    Args:
        tokenized: The texts.
        runtime: The model.
        batch_tokens: Size of a batch in word pieces.
        advance: Called after each batch with the number of its texts.
        meanwhile: For a window of many texts: called while batches are computed, with a function
            that tells whether they still are.

    Returns:
        Unit vectors, float32 `(n, 384)`; row i is text i.

    Raises:
        ModelError: The model cannot be loaded, or a vector has not length 1.
    """
    spec, compute = runtime.checkpoint.spec, runtime.compute
    batches = plan_batches(
        tokenized.lengths,
        batch_tokens=batch_tokens,
        max_texts=compute.batch_texts,
        limit=spec.max_positions,
    )
    vectors = np.empty((len(tokenized), spec.dimension), np.float32)

    is_window = meanwhile is not None and compute.on_accelerator
    if len(batches) == 1 and not is_window:
        # A query: no pool, and no switch of threads where it is alone.
        (rows,) = batches
        vectors[rows] = runtime.queries.embed(*tokenized.pad(rows, spec.max_positions))
        advance(len(rows))
        return _checked(vectors, runtime)
    backend = runtime.backend

    def embed_batch(rows: NDArray[np.intp]) -> int:
        ids, mask = tokenized.pad(rows, spec.max_positions)
        with native_call:
            vectors[rows] = backend.embed(ids, mask)
        return len(rows)

    with ThreadPoolExecutor(min(backend.parallelism, len(batches))) as pool:
        try:  # Ctrl-C may come while batches are still being handed over
            futures = _submit(pool, embed_batch, batches)
            # The last one first: while it is not done, it is the only one that is asked.
            if meanwhile is not None:
                meanwhile(lambda: not all(future.done() for future in reversed(futures)))
            for future in as_completed(futures):
                advance(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _checked(vectors, runtime)


def _checked(vectors: Vectors, runtime: Runtime) -> Vectors:
    """Return vectors that have length 1.

    Weights may overflow, or be all zero, without being NaN anywhere.
    """
    squares = np.einsum("ij,ij->i", vectors, vectors)
    is_wrong = ~(abs(squares - 1) < 0.01)  # NaN is too
    if is_wrong.any():
        name, wrong = runtime.checkpoint.spec.name, squares[is_wrong]
        if runtime.compute.dtype == "float16" and not np.isfinite(wrong).all():
            raise ModelError(
                f"the model {name} computed numbers beyond 65,504, the largest of float16. Pass "
                "dtype='float32' (--dtype)."
            )
        raise ModelIntegrityError(
            f"the model {name} computed a vector of length {wrong[0] ** 0.5:g} instead of 1: its "
            "weights are damaged, or not those of this model. Fetch the checkpoint again."
        )
    return vectors


def _submit(
    pool: ThreadPoolExecutor,
    embed_batch: Callable[[NDArray[np.intp]], int],
    batches: list[NDArray[np.intp]],
) -> list[Future[int]]:
    """Hand the batches over to a pool; where it takes none any more, compute them here.

    Once the program is ending, as in an atexit handler, no thread can be started.
    """
    futures: list[Future[int]] = []
    for rows in batches:
        try:
            futures.append(pool.submit(embed_batch, rows))
        except RuntimeError:
            done: Future[int] = Future()
            done.set_result(embed_batch(rows))
            futures.append(done)
    return futures
