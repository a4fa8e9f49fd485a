"""A collection that is large enough for a graph."""

from __future__ import annotations

import pytest

from multiqa_integrations.evaluation import Configuration, evaluate
from multiqa_integrations.testing import FakeEncoder
from tests.support.retrieval_set import MakeSet

WORDS = "amber birch cedar delta ember fjord grove heath inlet jetty".split()


@pytest.mark.slow
def test_losses_of_the_graph_are_seen(make_set: MakeSet) -> None:
    """7,000 documents of four words; 8-bit vectors alone give other scores than the originals."""
    names = {
        f"d{n}": ("", " ".join(f"{word}{n // 10**i % 10}" for i, word in enumerate(WORDS[:4])))
        for n in range(7000)
    }
    queries = {f"q{n}": names[f"d{n}"][1] for n in range(0, 7000, 70)}
    folder = make_set(
        documents=names, queries=queries, qrels=[(q, f"d{q[1:]}", 1) for q in queries]
    )
    encoder = FakeEncoder()
    found = evaluate(
        folder,
        [
            Configuration(encoder=encoder, name="exact"),
            Configuration(encoder=encoder, search="hnsw", name="graph"),
            Configuration(encoder=encoder, search="hnsw", quantization="none", name="float32"),
            Configuration(
                encoder=encoder, search="hnsw", rescore=False, oversampling=1.0, name="rough"
            ),
        ],
    )
    exact, graph, plain, rough = found.results
    assert not [remark for remark in found.remarks if "in the graph" in remark]
    assert exact.mean("nDCG@10") == graph.mean("nDCG@10") == plain.mean("nDCG@10") == 1
    # Scores of 8-bit vectors are not those of the originals.
    assert graph.hits.scores[:, 0] == pytest.approx(exact.hits.scores[:, 0], abs=1e-5)
    assert abs(rough.hits.scores[:, 0] - exact.hits.scores[:, 0]).max() > 1e-5
