"""What the worker of `concurrency` does: many at once ask one encoder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmark import implementations

_TICK = 0.01
# Of a vector to the same text's computed alone: bfloat16 rounds differently in another batch.
_LEAST_COSINE = 0.9999


def concurrency(
    *, implementation: str, model: str, limit_tokens: int, texts: str, threads: int, queries: int
) -> dict[str, Any]:
    """Let threads, then coroutines, ask one encoder, and compare with one query after another.

    Args:
        implementation: Who answers.
        model: Directory of the checkpoint.
        limit_tokens: Longest text in word pieces.
        texts: JSON file of different queries.
        threads: Threads, and coroutines.
        queries: Queries of each.
    """
    pool: list[str] = json.loads(Path(texts).read_text(encoding="utf-8"))
    # Every thread asks in another order, so that different queries meet.
    orders = [[(17 * t + q) % len(pool) for q in range(queries)] for t in range(threads)]
    ask, ask_async = _askers(implementation, model, limit_tokens)
    # Whatever is loaded for one query, and for many at once, is there before the clock runs.
    ask(pool[0])
    _in_threads(ask, pool, [[0]] * threads)
    begin = time.perf_counter()
    alone = [ask(text) for text in pool]
    result: dict[str, Any] = {
        "alone_per_s": len(pool) / (time.perf_counter() - begin),
        "threads": _judge(_in_threads(ask, pool, orders), alone, orders),
    }
    if ask_async is not None:
        import asyncio

        result["coroutines"] = _judge(
            asyncio.run(_in_coroutines(ask_async, pool, orders)), alone, orders
        )
    return result


_Answers = tuple[float, Sequence[Sequence[Any]], float | None]


def _askers(
    implementation: str, model: str, limit_tokens: int
) -> tuple[Callable[[str], Any], Callable[[str], Awaitable[Any]] | None]:
    from tests.benchmark import peers

    if implementation == "langchain-huggingface":
        embeddings = peers.langchain_embeddings(model, limit_tokens)
        return embeddings.embed_query, embeddings.aembed_query
    if implementation == "llama-index-embeddings-huggingface":
        embedding = peers.llama_index_embedding(model, limit_tokens)
        return embedding.get_query_embedding, embedding.aget_query_embedding
    if (
        implementation in implementations.OURS
        and implementations.why_absent("MultiQAEmbeddings") is None
    ):
        from multiqa_integrations.langchain import MultiQAEmbeddings

        encoder = implementations.our_encoder(
            implementations.OURS[implementation], model, limit_tokens
        )
        ours = MultiQAEmbeddings(encoder=encoder)
        return ours.embed_query, ours.aembed_query
    encode = implementations.load(implementation, model, limit_tokens).encode
    return lambda text: encode([text])[0], None


def _in_threads(
    ask: Callable[[str], Any], pool: list[str], orders: Sequence[Sequence[int]]
) -> _Answers:
    start = threading.Barrier(len(orders) + 1)

    def ask_all(order: Sequence[int]) -> list[Any]:
        start.wait()
        return [_answer_or_error(ask, pool[i]) for i in order]

    with ThreadPoolExecutor(len(orders)) as executor:
        futures = [executor.submit(ask_all, order) for order in orders]
        start.wait()
        begin = time.perf_counter()
        answers = [future.result() for future in futures]
        return time.perf_counter() - begin, answers, None


def _answer_or_error(ask: Callable[[str], Any], text: str) -> Any:
    try:
        return ask(text)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is what is counted
        return error


async def _in_coroutines(
    ask: Callable[[str], Awaitable[Any]], pool: list[str], orders: Sequence[Sequence[int]]
) -> _Answers:
    import asyncio  # 40 ms that other jobs, cold start above all, need not pay

    late = [0.0]

    async def tick() -> None:
        while True:
            due = time.perf_counter() + _TICK
            await asyncio.sleep(_TICK)
            late.append(time.perf_counter() - due)

    async def ask_all(order: Sequence[int]) -> list[Any]:
        return [await _await_answer_or_error(ask, pool[i]) for i in order]

    ticker = asyncio.create_task(tick())
    begin = time.perf_counter()
    answers = await asyncio.gather(*map(ask_all, orders))
    seconds = time.perf_counter() - begin
    ticker.cancel()
    return seconds, answers, 1000 * max(late)


async def _await_answer_or_error(ask: Callable[[str], Awaitable[Any]], text: str) -> Any:
    try:
        return await ask(text)
    except Exception as error:  # noqa: BLE001 - as above
        return error


def _judge(
    found: _Answers, alone: Sequence[Any], orders: Sequence[Sequence[int]]
) -> dict[str, Any]:
    seconds, answers, late_ms = found
    errors, cosines = [], []
    for given, order in zip(answers, orders, strict=True):
        for answer, index in zip(given, order, strict=True):
            if isinstance(answer, Exception):
                errors.append(f"{type(answer).__name__}: {answer}")
            else:
                cosines.append(float(np.dot(answer, alone[index])))  # all have length 1
    return {
        "per_s": sum(map(len, orders)) / seconds,
        "wrong": int((np.array(cosines) < _LEAST_COSINE).sum()),
        "least_cosine": min(cosines, default=None),
        "errors": len(errors),
        "error": errors[0] if errors else "",
        "late_ms": late_ms,
    }
