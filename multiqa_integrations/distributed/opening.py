"""Open a job for workers: its source found and cut, its cluster, and what does not go with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from multiqa_integrations.deadline import StoppedError, until
from multiqa_integrations.distributed.driver import Parts, Pool, Work
from multiqa_integrations.distributed.found import Found
from multiqa_integrations.distributed.ids import SourceIds
from multiqa_integrations.distributed.sources import find
from multiqa_integrations.distributed.splits import Split, cut, cut_blocks
from multiqa_integrations.distributed.worker import encoder_of_worker
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError, SyncIncompleteError
from multiqa_integrations.etl.job import JobOptions, open_job
from multiqa_integrations.etl.reports import SyncReport


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where workers are, and what each of them gets: see `sync`."""

    address: str | None
    workers: int | None
    cpus: float
    gpus: float


def pool_of(cluster: Cluster) -> Pool:
    """Return the workers of a cluster, none of which is started yet.

    Raises:
        ConfigurationError: What was asked for is none.
    """
    from multiqa_integrations.distributed.ray import RayPool

    return RayPool(
        cluster.address,
        workers=cluster.workers,
        worker_cpus=cluster.cpus,
        worker_gpus=cluster.gpus,
    )


@contextmanager
def opened(
    source: object,
    collection: str,
    cluster: Cluster,
    options: JobOptions,
    stop: threading.Event | None,
) -> Iterator[Work]:
    """Find a source, connect to a cluster and open the job.

    Raises:
        ConfigurationError: One of the options does not go with workers.
        SourceError: There is no such source.
        SyncIncompleteError: It was stopped meanwhile.
    """
    _check(options)
    encoder = MultiQAEncoder() if options.encoder is None else options.encoder
    of_worker = encoder_of_worker(encoder, cpus=cluster.cpus, gpus=cluster.gpus)
    pool = pool_of(cluster)
    with ExitStack() as stack:
        if type(source).__module__.startswith("ray.data"):
            stack.enter_context(pool)
            several, name, splits = False, "Dataset", _cut_dataset(source, pool, options)
        else:
            found, splits = _look(source, collection, options, stop)
            several = len(found) > 1
            name = found[0].name if len(found) == 1 else f"{len(found):,} files"
            stack.enter_context(pool)
        parts = Parts(name, splits)
        of_driver = replace(options, encoder=encoder, format=None, glob=None)
        job = stack.enter_context(open_job(parts, collection, of_driver, stop))
        yield Work(
            job=job,
            splits=splits,
            parts=parts,
            ids=stack.enter_context(SourceIds(options.fields, splits)),
            pool=pool,
            encoder=of_worker,
            several=several,
        )


def _look(
    source: object, collection: str, options: JobOptions, stop: threading.Event | None
) -> tuple[list[Found], list[Split]]:
    """Find the files of a source and cut them; a stop does not wait for a store that is away.

    Raises:
        SyncIncompleteError: It was stopped meanwhile.
    """

    def look() -> tuple[list[Found], list[Split]]:
        found = find(source, format=options.format, glob=options.glob)
        return found, cut(found)

    try:
        return until(stop or threading.Event(), look)
    except StoppedError as error:
        raise SyncIncompleteError(
            "nothing was done: it was stopped while its source was looked for. Run it again.",
            report=SyncReport(collection=collection, source=options.source_name),
        ) from error


def _cut_dataset(dataset: object, pool: Pool, options: JobOptions) -> list[Split]:
    for name in ("format", "glob"):
        if getattr(options, name) is not None:
            raise ConfigurationError(f"{name} goes with a path, not with a Dataset.")
    return cut_blocks("Dataset", pool.blocks_of(dataset))


def _check(options: JobOptions) -> None:
    """Refuse what does not go with workers.

    Raises:
        ConfigurationError: One of the options does not.
    """
    if options.path is not None:
        raise ConfigurationError(
            f"path is {str(options.path)!r}, a folder of embedded collections, which one process "
            "at a time can open. Workers need a server: give url (--url); or leave Ray out."
        )
    for name in ("client", "store"):
        if getattr(options, name) is not None:
            raise ConfigurationError(
                f"{name} belongs to this process, and workers connect by themselves. Give url."
            )
    if options.url is None:
        raise ConfigurationError("url is missing: workers need a server. Give url (--url).")
    if options.limit is not None:
        raise ConfigurationError(
            "limit does not go with workers, which read all parts of a source at once. One process "
            "is enough for the first records: leave Ray out (without --ray; etl)."
        )
