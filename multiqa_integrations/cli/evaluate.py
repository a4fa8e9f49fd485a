"""`multiqa evaluate`: measure retrieval quality on sets in the format of BEIR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from multiqa_integrations import evaluation
from multiqa_integrations._optional import require
from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.configurations import configurations
from multiqa_integrations.cli.options import (
    EncoderOptions,
    StoreOptions,
    TestModel,
    choose_model,
    options,
)
from multiqa_integrations.cli.outputs import check_file, check_folder, keep_fonts_out_of_home
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.evaluation import (
    METRICS,
    Evaluation,
    Report,
    encoding,
    read_dataset,
    write_run,
)
from multiqa_integrations.evaluation.evaluator import hits_wanted
from multiqa_integrations.evaluation.numerals import interval, signed
from multiqa_integrations.qdrant.settings import Quantization


@options
def evaluate(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folders with corpus.jsonl, queries.jsonl and qrels, as in BEIR."
        ),
    ],
    *,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,…",
            help="Compare with a configuration that differs in this, such as dtype=int8 or "
            "search=hnsw,hnsw_ef=256; may be repeated.",
        ),
    ] = None,
    mode: Annotated[
        Literal["dense", "bm25", "hybrid"], typer.Option(help="By meaning, by words, or both.")
    ] = "dense",
    search: Annotated[
        Literal["exact", "hnsw"], typer.Option(help="Every document, or the graph of a store.")
    ] = "exact",
    hnsw_ef: Annotated[int | None, typer.Option(help="How widely the graph is followed.")] = None,
    quantization: Annotated[
        Quantization | None,
        typer.Option(
            help="The vectors of the graph; TurboQuant by its bits for each dimension.",
            show_default="int8",
        ),
    ] = None,
    rescore: Annotated[
        bool | None,
        typer.Option(
            "--rescore/--no-rescore",
            help="Score the hits of smaller vectors again by the originals.",
            show_default="they are",
        ),
    ] = None,
    oversampling: Annotated[
        float | None, typer.Option(help="How many times as many hits are taken for that; 2.")
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(help="Hits that each list brings to a hybrid search; 5 times --limit."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Hits of each query, at least 10.",
            show_default="1000; 100 where a graph is searched",
        ),
    ] = None,
    encoder: EncoderOptions,
    test_model: TestModel = False,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of the hub.")] = None,
    max_seq_length: Annotated[
        int | None, typer.Option(help="Longest text in word pieces.", show_default="the model's")
    ] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Word pieces of a batch.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Processors to use.", show_default="all")
    ] = None,
    store: StoreOptions,
    split: Annotated[str, typer.Option(help="Judgements of qrels/SPLIT.tsv.")] = "test",
    ignore_identical_ids: Annotated[
        bool,
        typer.Option(
            "--ignore-identical-ids", help="Leave out the document with the id of the query."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the test and the confidence interval.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots here.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the hits here, in the format of TREC.")
    ] = None,
) -> None:
    """Measure retrieval quality.

    How well the right documents are found: nDCG@10, MRR@10, recall@100, MAP.
    """
    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None:
            check_file(file, option)
    for option, folder in (("--run-dir", run_dir), ("--path", store.path)):
        if folder is not None:
            check_folder(folder, option)
    keep_fonts_out_of_home()
    packages = ["ir_measures", "pytrec_eval"]
    packages += ["scipy.stats"] if against else []
    packages += ["jinja2", "matplotlib"] if html_file is not None else []
    for package in packages:
        require(package, purpose="multiqa evaluate")
    compared = configurations(
        {
            "model": choose_model(encoder.model, test_model),
            "revision": revision,
            "backend": encoder.backend,
            "dtype": encoder.dtype,
            "device": encoder.device,
            "max_seq_length": max_seq_length,
            "batch_tokens": batch_tokens,
            "threads": threads,
            "mode": mode,
            "search": search,
            "hnsw_ef": hnsw_ef,
            "quantization": quantization,
            "rescore": rescore,
            "oversampling": oversampling,
            "candidates": candidates,
        },
        against or [],
        offline=encoder.offline,
    )
    in_store = store.url is not None or store.path is not None
    if in_store and not any(configuration.needs_store for configuration in compared):
        raise ConfigurationError(
            "--url and --path name a store, but nothing would be searched there. Pass --search "
            "hnsw, --mode bm25 or hybrid, or leave them out."
        )
    if store.connection and not in_store:
        raise ConfigurationError("options of a connection go with --url.")
    settings = {
        "split": split,
        "limit": hits_wanted(compared, limit),
        "seed": seed,
        "ignore_identical_ids": ignore_identical_ids,
    }
    console, errors = terminal.stdout(), terminal.stderr()
    # All are read before the first is encoded: a damaged one is found out at once.
    with errors.status("reading the sets"):
        datasets = [read_dataset(folder, split=split) for folder in folders]
    report = Report(datasets, compared, **settings)
    with store.open(creates=True) if in_store else nullcontext() as opened:
        try:
            _write(report, json_file, html_file)
            for dataset in datasets:
                with _bar(errors) as progress:
                    found = evaluation.evaluate(
                        dataset,
                        compared,
                        limit=limit,
                        store=opened,
                        ignore_identical_ids=ignore_identical_ids,
                        seed=seed,
                        progress=progress,
                    )
                report.add(found)
                _show(found, console)
                _write(report, json_file, html_file)
                if run_dir is not None:
                    run_dir.mkdir(parents=True, exist_ok=True)
                    for result in found.results:
                        write_run(dataset, result, run_dir)
        except KeyboardInterrupt:
            _write(report, json_file, html_file)  # it may have come while these were written
            missing = ", ".join(report.missing)
            errors.print(f"not finished: {missing}; what was found before is kept")
            raise


def _write(report: Report, json_file: Path | None, html_file: Path | None) -> None:
    if json_file is not None:
        report.write_json(json_file)
    if html_file is not None:
        report.write_page(html_file)


@contextmanager
def _bar(console: Console) -> Iterator[encoding.Progress]:
    """Show one bar, for whatever is being done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    disable = not terminal.shows_progress()
    with Progress(*columns, console=console, transient=True, disable=disable) as bars:
        task = bars.add_task("")
        shown = ""

        def progress(what: str, done: int, total: int) -> None:
            nonlocal shown
            if what != shown:
                shown = what
                bars.reset(task, description=what, total=total or None)
            bars.update(task, completed=done)

        yield progress


def _show(found: Evaluation, console: terminal.Terminal) -> None:
    dataset = found.dataset
    size = (
        f"  {terminal.count(len(dataset.document_ids), 'document')}, "
        f"{len(dataset.queries):,} {'query' if len(dataset.queries) == 1 else 'queries'}, up to "
        f"{found.limit:,} hits each"
    )
    console.print(Text.assemble("\n", (terminal.one_line(dataset.name), "bold"), size))
    table = Table()
    table.add_column("")
    for name in METRICS:
        table.add_column(name, justify="right")
    if len(found.results) > 1:
        for name in (f"difference in {METRICS[0]}", "95 % interval", "p", "better", "worse"):
            table.add_column(name, justify="right")
    for number, result in enumerate(found.results):
        cells = [f"{result.mean(metric):.4f}" for metric in METRICS]
        if number:
            compared = found.comparison(result.name)
            p_value = "–" if compared.p_value is None else f"{compared.p_value:.4f}"
            cells += [signed(compared.mean, 4), interval(compared.low, compared.high), p_value]
            cells += [f"{compared.better:,}", f"{compared.worse:,}"]
        table.add_row(Text(result.name), *cells)
    console.table(table)
    for remark in found.remarks:
        console.prose(f"• {remark}")
