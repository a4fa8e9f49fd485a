"""The same jobs on a cluster of Ray: the engine schedules, reading to writing is `etl`'s.

Examples:
    >>> from multiqa_integrations.distributed import sync
    >>> report = sync(  # doctest: +SKIP
    ...     "s3://articles/2026/*.parquet",
    ...     "articles",
    ...     url="http://qdrant:6333",
    ...     address="auto",
    ...     workers=8,
    ... )
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiqa_integrations._lazy import attach

if TYPE_CHECKING:
    from multiqa_integrations.distributed.jobs import plan as plan
    from multiqa_integrations.distributed.jobs import sync as sync
    from multiqa_integrations.distributed.jobs import verify as verify

__getattr__, __dir__, __all__ = attach(__name__, {"jobs": ["plan", "sync", "verify"]})
