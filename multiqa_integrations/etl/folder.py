"""A folder of documents as a source: each file is a record, its relative path the id."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from multiqa_integrations._optional import require
from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.etl.records import BadRecord, Record, SourceItem
from multiqa_integrations.texts import repair_surrogates

_LINES = ("br", "li", "tr", "dt", "dd")
_BLOCKS = [
    *_LINES,
    *("p", "div", "section", "article", "header", "footer", "main", "aside", "table", "ul", "ol"),
    *("dl", "pre", "blockquote", "figure", "h1", "h2", "h3", "h4", "h5", "h6"),
]
SUFFIXES = (".txt", ".md", ".html", ".htm", ".rst")


class Folder:
    """The documents in a folder and those below it, in the order of their paths.

    A record has the fields `id` (the path from the folder, with slashes), `text`, `path`, and for
    HTML `title`. Hidden files and folders are left out.
    """

    def __init__(self, folder: Path, glob: str | None = None) -> None:
        """Find the files.

        Raises:
            ConfigurationError: The pattern is none, or selects files of other kinds.
        """
        self.name = str(folder)
        self._folder = folder
        try:
            found = folder.glob(glob or "**/*")
            paths = [path.relative_to(folder) for path in found if path.is_file()]
        except (ValueError, NotImplementedError) as error:
            raise ConfigurationError(f"glob is {glob!r}: {error}.") from error
        visible = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
        self._paths = sorted(path for path in visible if path.suffix.lower() in SUFFIXES)
        if glob is not None and len(self._paths) < len(visible):
            other = min(set(visible) - set(self._paths))
            raise ConfigurationError(
                f"{glob!r} selects {other} too, expected {', '.join(SUFFIXES)} only."
            )
        if any(path.suffix.lower() in (".html", ".htm") for path in self._paths):
            require("bs4", purpose="reading HTML")
        self.total: int | None = len(self._paths)
        self._read = 0

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning."""
        for number, path in enumerate(self._paths, start=1):
            self._read = number
            try:
                content = (self._folder / path).read_bytes()
            except OSError as error:
                raise SourceError(
                    f"{path} in {self.name} cannot be read ({error}).",
                    source=self.name,
                    line=number,
                ) from error
            yield _record(number, path, content)

    def fraction(self) -> float | None:
        """Tell how much of it has been read."""
        return self._read / self.total if self.total else None


def _record(number: int, path: Path, content: bytes) -> SourceItem:
    name = repair_surrogates(path.as_posix())  # of names that are not UTF-8
    if path.suffix.lower() in (".html", ".htm"):
        return _html(number, name, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return BadRecord(number, f"line {line} of {name} is not UTF-8", id=name)
    return Record(number, {"id": name, "text": text, "path": name})


def _html(number: int, name: str, content: bytes) -> SourceItem:
    from bs4 import BeautifulSoup
    from bs4.dammit import EncodingDetector
    from bs4.element import PreformattedString

    # Beautiful Soup would guess, and differently by what else is installed.
    content, marked = EncodingDetector.strip_byte_order_mark(content)
    declared = marked or EncodingDetector.find_declared_encoding(content, is_html=True) or "utf-8"
    try:
        codec = codecs.lookup(declared).name
        # What browsers read where a page says Latin 1 (the Encoding Standard of the WHATWG).
        markup = content.decode("cp1252" if codec in ("ascii", "iso8859-1") else codec)
    except (LookupError, UnicodeDecodeError):
        return BadRecord(number, f"{name} is not in {declared}, as it says or by default", id=name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "looks like a URL", "looks like XML": it is a page here
        page = BeautifulSoup(markup, "html.parser")
    title = " ".join(page.title.get_text().split()) if page.title else ""
    for unseen in page(["script", "style", "template", "noscript", "title"]):
        unseen.decompose()
    for words in page.find_all(string=True):
        if isinstance(words, PreformattedString):  # comments, the document type, …
            words.extract()
        elif words.find_parent("pre") is None:
            words.replace_with(re.sub(r"\s+", " ", words))
    for block in page.find_all(_BLOCKS):
        block.append("\n" if block.name in _LINES else "\n\n")
    text = re.sub(r" *\n *", "\n", page.get_text())
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    fields = {"id": name, "text": text, "path": name}
    return Record(number, {**fields, "title": title} if title else fields)
