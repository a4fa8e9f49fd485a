"""Find hard negatives: what the base finds for a query that is not known to answer it.

Some of it answers the query all the same, and training on that does harm. What is nearly as close
as the known answer is left out for that reason, and so is everything of the query's group.

Source: Moreira et al., NV-Retriever: Improving text embedding models with effective hard-negative
mining, 2024 (positive-aware mining, 95 %).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from multiqa_integrations.evaluation import search_exactly
from multiqa_integrations.evaluation.encoding import Progress
from multiqa_integrations.training.pairs import Pair, text_key
from multiqa_integrations.types import Encoder

_NEAR = 0.95
_LOOKED_AT = 64  # hits of a query


def mine(pairs: Sequence[Pair], encoder: Encoder, count: int, progress: Progress) -> list[Pair]:
    """Give each pair without negatives up to so many, from the positives of the others.

    Args:
        pairs: To be trained on; nothing that is held out is among them.
        encoder: The base.
        count: Negatives of a pair.
        progress: Called with what is done.
    """
    positives: dict[str, str] = {}
    right: dict[str, set[str]] = defaultdict(set)  # by query
    groups: dict[str, set[tuple[int, str]]] = defaultdict(set)  # by positive
    for pair in pairs:
        key = text_key(pair.positive)
        positives.setdefault(key, pair.positive)
        right[text_key(pair.query)].add(key)
        if pair.group is not None:
            groups[key].add((pair.set, pair.group))
    keys = list(positives)
    row_of = {key: row for row, key in enumerate(keys)}
    progress("encoding positives", 0, len(keys))
    documents = np.concatenate(list(encoder.encode_stream(positives.values())))
    progress("encoding queries", 0, len(pairs))
    queries = encoder.encode_query([pair.query for pair in pairs])
    hits = search_exactly(queries, documents, _LOOKED_AT, progress, "negatives")
    mined = []
    for number, pair in enumerate(pairs):
        if pair.negatives:
            mined.append(pair)
            continue
        known = right[text_key(pair.query)] | {text_key(pair.query)}
        own = float(queries[number] @ documents[row_of[text_key(pair.positive)]])
        found: list[str] = []
        for row, score in zip(hits.rows[number], hits.scores[number], strict=True):
            key = keys[row]
            if len(found) == count:
                break
            if row < 0 or key in known or score > _NEAR * own:
                continue
            if pair.group is not None and (pair.set, pair.group) in groups.get(key, ()):
                continue
            found.append(positives[key])
        mined.append(pair._replace(negatives=tuple(found)))
    return mined
