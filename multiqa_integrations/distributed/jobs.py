"""`sync`, `plan` and `verify` with workers on a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multiqa_integrations.arguments import check_path
from multiqa_integrations.distributed.driver import DistributedRun, Work
from multiqa_integrations.distributed.messages import (
    Compared,
    Outcome,
    Planned,
    WorkerSettings,
)
from multiqa_integrations.distributed.opening import Cluster, opened
from multiqa_integrations.errors import SyncIncompleteError, reporting
from multiqa_integrations.etl.job import JobOptions, check_hooks
from multiqa_integrations.etl.ledger import Ledger
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.pruning import PruneGuard, find_deleted
from multiqa_integrations.etl.read import source_notes
from multiqa_integrations.etl.reports import (
    PlanReport,
    Progress,
    Report,
    SyncReport,
    VerifyReport,
)
from multiqa_integrations.etl.sync import OnError, check_errors
from multiqa_integrations.etl.verify import check_stored
from multiqa_integrations.qdrant.names import collection_not_found_error


def sync(
    source: object,
    collection: str,
    *,
    address: str | None = None,
    workers: int | None = None,
    worker_cpus: float = 1,
    worker_gpus: float = 0,
    prune: bool = False,
    max_delete_share: float = 0.2,
    allow_empty: bool = False,
    on_error: OnError = "continue",
    max_errors: int = 1_000,
    dead_letter: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    options: JobOptions | None = None,
    **settings: Any,
) -> SyncReport:
    """Make a collection equal to its source, as `etl.sync` does, with workers on a cluster of Ray.

    Collection, report and errors are those of `etl.sync`. Whichever processes die, nothing is lost
    and nothing doubled: a split whose worker died is done again by another one.

    Args:
        source: Files that every worker reaches: a path, a pattern, a folder of documents, a URI of
            an object store (`s3://`, `gs://`), a list of these; or a `ray.data.Dataset`, whose
            types are Arrow's.
        collection: Its name; it is created if there is none.
        address: Of the cluster; "local" starts one on this machine. By default that which this
            process is connected to, the environment variable RAY_ADDRESS names, or runs here.
        workers: How many; by default as many as the cluster has room for.
        worker_cpus: Processors of each; its encoder computes with so many threads.
        worker_gpus: Accelerators of each. More than 0 never falls back to the CPU.
        prune: See `etl.sync`, as what follows.
        max_delete_share: See `etl.sync`.
        allow_empty: See `etl.sync`.
        on_error: See `etl.sync`.
        max_errors: See `etl.sync`.
        dead_letter: A file of the driver's machine; see `etl.sync`.
        progress: Called now and then.
        stop: Set it, and the run ends after the batches in hand.
        options: What jobs take alike, but for `limit`. The collection must be on a server: `url`.
        settings: The same as keywords: those of `JobOptions`.

    Returns:
        What was done.

    Raises:
        ClusterError: There is no such cluster, or workers cannot begin on it.
        SyncIncompleteError: As of `etl.sync`, as what follows; also where a split failed for good.
        PruneRefusedError: See `etl.sync`.
        LeaseError: See `etl.sync`.
        CollectionMismatchError: See `etl.sync`; a worker's model counts as well.
        ConfigurationError: An argument is wrong, or does not go with workers.
        SourceError: There is no such source.
        StoreError: The store failed for good.

    Examples:
        >>> report = sync(  # doctest: +SKIP
        ...     "articles/*.jsonl", "articles", url="http://qdrant:6333", address="local"
        ... )
    """
    check_errors(on_error, max_errors)
    check_hooks(progress, stop)
    options = JobOptions.of(options, settings)
    guard = PruneGuard(max_delete_share=max_delete_share, allow_empty=allow_empty)
    if prune:
        guard.check(options)
    letter_file = None if dead_letter is None else check_path("dead_letter", dead_letter)
    if letter_file is not None:
        LetterFile(letter_file).check_writable()
    began = time.monotonic()
    cluster = Cluster(address, workers, worker_cpus, worker_gpus)
    with opened(source, collection, cluster, options, stop) as work:
        run = DistributedRun(
            work,
            progress,
            guard=guard,
            max_errors=0 if on_error == "stop" else max_errors,
            with_records=letter_file is not None,
        )
        return run.carry_out(guard, letter_file, prune=prune, began=began)


def plan(
    source: object,
    collection: str,
    *,
    address: str | None = None,
    workers: int | None = None,
    worker_cpus: float = 1,
    worker_gpus: float = 0,
    prune: bool = False,
    max_delete_share: float = 0.2,
    allow_empty: bool = False,
    progress: Callable[[Progress], None] | None = None,
    options: JobOptions | None = None,
    **settings: Any,
) -> PlanReport:
    """Report what `sync` with the same arguments would do, as `etl.plan`; nothing is written.

    Args:
        source: See `sync`, as what follows.
        collection: Its name; there need not be one yet.
        address: See `sync`.
        workers: See `sync`.
        worker_cpus: See `sync`.
        worker_gpus: See `sync`.
        prune: Whether pruning is meant.
        max_delete_share: See `sync`.
        allow_empty: See `sync`.
        progress: Called now and then.
        options: See `sync`.
        settings: See `sync`.

    Returns:
        What would be done; `tokens_per_second` is that of all workers together.

    Raises:
        SyncIncompleteError: Not all of the source can be read.
        MultiQAError: As of `sync`.
    """
    check_hooks(progress)
    options = JobOptions.of(options, settings)
    guard = PruneGuard(max_delete_share=max_delete_share, allow_empty=allow_empty)
    if prune:
        guard.check(options)
    cluster = Cluster(address, workers, worker_cpus, worker_gpus)
    with opened(source, collection, cluster, options, None) as work:
        job = work.job
        report = PlanReport(collection=collection, source=options.source_name)
        stored = None if job.info() is None else collection
        with _reading(work, report, progress):
            rates: list[float] = []
            for _, outcome in work.each("plan"):
                _take(outcome, report, guard)
                if isinstance(outcome, Planned):
                    guard.add(outcome.documents.total(), outcome.kept)
                    report.documents += outcome.documents
                    report.chunks += outcome.chunks
                    report.tokens += outcome.tokens
                    rates += [outcome.tokens_per_second] if outcome.tokens_per_second else []
            work.sort(report)
            report.warn(source_notes(job, work.ids))
            ledger = Ledger(job.store, stored, options.source_name)
            report.deleted = find_deleted(ledger, work.ids)
            if prune:
                refusal = guard.refusal(report.deleted)
                report.pruning = "done" if refusal is None else guard.status
                report.note = refusal or ""
            if rates:
                report.tokens_per_second = sum(rates) / len(rates) * max(1, work.pool.alive)
    return report


def verify(
    source: object,
    collection: str,
    *,
    address: str | None = None,
    workers: int | None = None,
    worker_cpus: float = 1,
    worker_gpus: float = 0,
    progress: Callable[[Progress], None] | None = None,
    options: JobOptions | None = None,
    **settings: Any,
) -> VerifyReport:
    """Compare a collection with its source, as `etl.verify`; nothing is encoded or written.

    Workers compare documents; the points of the collection are read by the driver.

    Args:
        source: See `sync`, as what follows.
        collection: Its name.
        address: See `sync`.
        workers: See `sync`.
        worker_cpus: See `sync`.
        worker_gpus: See `sync`.
        progress: Called now and then.
        options: See `sync`.
        settings: See `sync`.

    Raises:
        SyncIncompleteError: Not all of the source can be read.
        MultiQAError: As of `sync`.
    """
    check_hooks(progress)
    options = JobOptions.of(options, settings)
    cluster = Cluster(address, workers, worker_cpus, worker_gpus)
    with opened(source, collection, cluster, options, None) as work:
        job = work.job
        if job.info() is None:
            raise collection_not_found_error(collection)
        report = VerifyReport(collection=collection, source=options.source_name)
        with _reading(work, report, progress):
            for _, outcome in work.each("verify"):
                _take(outcome, report)
                if isinstance(outcome, Compared):
                    report.equal += outcome.equal
                    for kind, count in outcome.differences.items():
                        report.differences[kind] += count
                    for kind, ids in outcome.examples.items():
                        examples = report.examples.setdefault(kind, [])
                        examples += ids[: 10 - len(examples)]
            work.sort(report)
            report.warn(source_notes(job, work.ids))
            ledger = Ledger(job.store, collection, options.source_name)
            notify = progress or (lambda _: None)
            for _page in check_stored(job, ledger, work.ids, report):
                notify(Progress("comparing", report.records, 0, report.rejected, None))
    return report


@contextmanager
def _reading(
    work: Work, report: Report, progress: Callable[[Progress], None] | None
) -> Iterator[None]:
    """Start workers and read ids; give errors the report, and the report its time."""
    began = time.monotonic()
    notify = progress or (lambda _: None)
    work.progress = lambda phase: notify(
        Progress(
            phase,
            report.records,
            0,
            report.rejected,
            work.parts.fraction(),
            work.pool.alive,
        )
    )

    def timed() -> Report:
        report.seconds = time.monotonic() - began
        return report

    with reporting(timed):
        work.start(WorkerSettings(collection=report.collection, options=work.job.options))
        work.read_ids()
        yield
    timed()


def _take(outcome: Outcome, report: Report, guard: PruneGuard | None = None) -> None:
    """Take into account what every outcome has.

    Raises:
        SyncIncompleteError: Something could not be read.
    """
    report.records += outcome.records
    for rejection in outcome.rejections:
        report.reject(rejection)
        if guard is not None:
            guard.note(rejection)
    if outcome.unread:
        raise SyncIncompleteError(f"{outcome.unread[0]}.", report=report)
