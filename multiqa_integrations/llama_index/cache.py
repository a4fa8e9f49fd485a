"""A cache of embeddings that keeps models apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore


class KeyedCache(BaseKVStore):
    """A key-value store whose keys start with the name of what computed the vectors.

    LlamaIndex's embedding classes use the text alone as the key: two models that share a cache
    would get each other's vectors.
    """

    def __init__(self, store: BaseKVStore, prefix: Callable[[], str]) -> None:
        """Wrap `store`; `prefix` is called on first use."""
        self.store = store
        self._make_prefix = prefix
        self._prefix: str | None = None

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Store a value."""
        self.store.put(self._key(key), val, collection)

    async def aput(
        self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION
    ) -> None:
        """Store a value."""
        await self.store.aput(self._key(key), val, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return a value; None where there is none."""
        return self.store.get(self._key(key), collection)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return a value; None where there is none."""
        return await self.store.aget(self._key(key), collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return all values of this model."""
        return self._of_this_model(self.store.get_all(collection))

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return all values of this model."""
        return self._of_this_model(await self.store.aget_all(collection))

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete a value."""
        return self.store.delete(self._key(key), collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete a value."""
        return await self.store.adelete(self._key(key), collection)

    def _key(self, key: str) -> str:
        if self._prefix is None:
            self._prefix = self._make_prefix() + "/"
        return self._prefix + key

    def _of_this_model(self, values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        prefix = self._key("")
        return {
            key.removeprefix(prefix): value
            for key, value in values.items()
            if key.startswith(prefix)
        }
