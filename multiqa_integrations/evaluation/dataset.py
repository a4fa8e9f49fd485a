"""Read a retrieval set in the format of BEIR: a folder of documents, queries and judgements.

corpus.jsonl      {"_id", "title", "text"}, one document per line; the title may be missing
queries.jsonl     {"_id", "text"}, one query per line
qrels/test.tsv    query-id, corpus-id and score between tabs, below a header; or qrels.tsv

Source: Thakur et al., BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information
Retrieval Models, NeurIPS 2021; https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from multiqa_integrations.errors import SourceError
from multiqa_integrations.reading import decode_record
from multiqa_integrations.texts import repair_surrogates

_HEADER = "query-id, corpus-id and score between tabs"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A retrieval set. Its documents stay on disk and are read when they are needed.

    Attributes:
        name: Of the folder.
        folder: Where it is.
        document_ids: In the order of the file.
        queries: Texts of the judged queries by id.
        qrels: Judgements: document ids and their grades by query id; above 0 is relevant.
        unjudged: Queries without any judgement: they cannot be scored and are not searched.
        unknown_queries: Queries that are judged but not there; they cannot be searched.
        unknown_documents: Documents that are judged but not there; what is relevant among them
            counts as not found, as in trec_eval.
        without_relevant: Judged queries of which nothing is relevant; they count as 0, as in
            trec_eval.
    """

    name: str
    folder: Path
    document_ids: list[str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    unjudged: tuple[str, ...] = ()
    unknown_queries: tuple[str, ...] = ()
    unknown_documents: tuple[str, ...] = ()
    without_relevant: tuple[str, ...] = ()

    def texts(self) -> Iterator[str]:
        """Read the documents' texts: title and text with a blank between, as BEIR joins them."""
        for _, record in _records(self.folder / "corpus.jsonl"):
            yield f"{record.get('title') or ''} {record['text']}".strip()

    @property
    def remarks(self) -> list[str]:
        """What is to be known about the judgements, in sentences."""
        remarks = []
        for what, ids in (
            ("Queries without judgements, not searched", self.unjudged),
            ("Judged queries that are not in queries.jsonl, left out", self.unknown_queries),
            (
                "Judged documents that are not in corpus.jsonl; relevant ones count as not found",
                self.unknown_documents,
            ),
            ("Judged queries without a relevant document; they count as 0", self.without_relevant),
        ):
            if ids:
                shown = ", ".join(map(repr, ids[:3])) + (", …" if len(ids) > 3 else "")
                remarks.append(f"{what}: {len(ids):,} ({shown}).")
        return remarks


def read_dataset(folder: str | Path, *, split: str = "test") -> Dataset:
    """Read and check a folder.

    Args:
        folder: With corpus.jsonl, queries.jsonl and qrels.
        split: Which judgements: those of qrels/<split>.tsv, or of qrels.tsv where there is no
            such file.

    Raises:
        SourceError: A file is missing, empty or damaged; `.source` and `.line` tell where.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SourceError(
            f"{folder} is not a directory. Expected a folder with corpus.jsonl, queries.jsonl and "
            "qrels, as BEIR has them.",
            source=str(folder),
        )
    document_ids = list(_texts_by_id(folder / "corpus.jsonl", keep_texts=False))
    queries = _texts_by_id(folder / "queries.jsonl", keep_texts=True)
    qrels = _judgements(folder, split)
    documents = frozenset(document_ids)
    judged = {query: grades for query, grades in qrels.items() if query in queries}
    if not judged:
        raise SourceError(
            f"{folder}: none of the {len(qrels):,} judged queries is in queries.jsonl. Are they of "
            "another set, or of another --split?",
            source=str(folder),
        )
    named = dict.fromkeys(document for grades in judged.values() for document in grades)
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        document_ids=document_ids,
        queries={query: text for query, text in queries.items() if query in judged},
        # In the order of the queries, as all results are.
        qrels={query: judged[query] for query in queries if query in judged},
        unjudged=tuple(query for query in queries if query not in judged),
        unknown_queries=tuple(query for query in qrels if query not in queries),
        unknown_documents=tuple(document for document in named if document not in documents),
        without_relevant=tuple(q for q, grades in judged.items() if max(grades.values()) < 1),
    )


def _texts_by_id(file: Path, *, keep_texts: bool) -> dict[str, str]:
    texts: dict[str, str] = {}
    for line, record in _records(file):
        if record["_id"] in texts:
            _fail(file, line, f"the _id {record['_id']!r} occurs a second time")
        texts[record["_id"]] = record["text"] if keep_texts else ""
    if not texts:
        _fail(file, None, "it is empty")
    return texts


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read checked records with their line numbers; blank lines are skipped."""
    for line, text in _lines(file):
        try:
            record = decode_record(text)
        except (ValueError, RecursionError) as error:
            _fail(file, line, f"not JSON ({error})")
        if not isinstance(record, dict):
            _fail(file, line, f"a JSON {type(record).__name__}, expected an object")
        for field in ("_id", "text"):
            if not isinstance(record.get(field), str):
                _fail(file, line, f"{field!r} is {record.get(field)!r}, expected a string")
        if not isinstance(record.get("title") or "", str):
            _fail(file, line, f"'title' is {record['title']!r}, expected a string")
        # An _id that no file could be written with would fail much later.
        record["_id"] = repair_surrogates(record["_id"])
        yield line, record


def _judgements(folder: Path, split: str) -> dict[str, dict[str, int]]:
    file = folder / "qrels" / f"{split}.tsv"
    if not file.exists():
        file = folder / "qrels.tsv"
    if not file.exists():
        raise SourceError(
            f"{folder} has neither qrels/{split}.tsv nor qrels.tsv. Put the judgements there "
            f"({_HEADER}), or name another --split.",
            source=str(folder),
        )
    grades: dict[str, dict[str, int]] = {}
    for line, text in _lines(file):
        fields = text.rstrip("\r\n").split("\t")
        if len(fields) != 3:
            _fail(file, line, f"{len(fields)} fields, expected {_HEADER}")
        query, document, score = fields
        try:
            grade = int(score)
        except ValueError:
            if line == 1:
                continue  # the header
            _fail(file, line, f"the score is {score!r}, expected a whole number")
        if grades.setdefault(query, {}).setdefault(document, grade) != grade:
            _fail(file, line, f"{query!r} and {document!r} were judged otherwise before")
    if not grades:
        _fail(file, None, "there is no judgement in it")
    return grades


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    line = 0
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for line, text in enumerate(lines, 1):
                if text.strip():
                    yield line, text
    except OSError as error:
        _fail(file, None, f"it cannot be read ({error.strerror})", error)
    except UnicodeDecodeError as error:
        _fail(file, line + 1, f"not UTF-8 ({error})", error)


def _fail(file: Path, line: int | None, what: str, cause: Exception | None = None) -> NoReturn:
    raise SourceError(
        f"{file}{f', line {line}' if line else ''}: {what}.", source=str(file), line=line
    ) from cause
