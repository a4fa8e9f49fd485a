"""Filters, as the server at hand is to be asked."""

from __future__ import annotations

from qdrant_client import models

from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.filters import PayloadEquals, check_filter
from multiqa_integrations.qdrant.indexes import IndexedTest, check_indexes, indexed_tests
from multiqa_integrations.qdrant.server import features
from multiqa_integrations.qdrant.server.calls import Connected
from multiqa_integrations.qdrant.server.collection_requests import describe
from multiqa_integrations.qdrant.server.nulls import with_plain_nulls


def prepare_filter(
    self: Connected, collection: str, filter: models.Filter | None
) -> Steps[models.Filter | None]:
    """Return a filter as this server is to be asked.

    Raises:
        ConfigurationError: It would ignore it, or read it in another way than other engines.
    """
    check_filter(filter)
    yield from features.check_filter_is_known(self, filter)
    tests = indexed_tests(filter)
    if filter is None or self.local:
        return filter
    if tests:
        yield from _check_indexes(self, collection, tests)
    return with_plain_nulls(filter, self.version)


def _check_indexes(self: Connected, collection: str, tests: set[IndexedTest]) -> Steps[None]:
    info = self.known.get(collection)
    texts = {test.key for test in tests if test.kind == "text"}
    if info is None or not texts <= (info.payload_indexes or {}).keys():
        info = self.known[collection] = yield from describe(self, collection, brief=True)
    check_indexes(tests, info.payload_indexes or {})


def all_match(matches: PayloadEquals) -> models.Filter:
    """Return the filter of payload keys that must all have given values."""
    return models.Filter(
        must=[
            models.FieldCondition(
                key=key,
                match=models.MatchValue(value=value)
                if isinstance(value, str)
                else models.MatchAny(any=list(value)),
            )
            for key, value in matches.items()
        ]
    )
