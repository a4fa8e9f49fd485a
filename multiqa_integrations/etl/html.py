"""The text of a page of HTML, in time and memory that grow with its length."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from multiqa_integrations.etl.records import BadRecord, Record, SourceItem

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_LINES = ("br", "li", "tr", "dt", "dd")
_BLOCKS = {
    *("p", "div", "section", "article", "header", "footer", "main", "aside", "table", "ul", "ol"),
    *("dl", "pre", "blockquote", "figure", "h1", "h2", "h3", "h4", "h5", "h6"),
}
_UNSEEN = {"script", "style", "template", "noscript", "title"}

# The parser looks through all that it was fed for the end of each tag: pages of some kinds took
# it hours in one piece.
_PIECE_CHARACTERS = 32_768
# What is left at the end of a page, in a tag that never ends, is looked through from each "<" in
# it: time that grows with the square of this.
_UNCLOSED_CHARACTERS = 8_192


def parse_html(number: int, name: str, content: bytes) -> SourceItem:
    """Make a record of a page: its text, and its title if it has one."""
    from bs4.dammit import EncodingDetector

    # Beautiful Soup would guess, and differently by what else is installed.
    content, marked = EncodingDetector.strip_byte_order_mark(content)
    declared = marked or EncodingDetector.find_declared_encoding(content, is_html=True) or "utf-8"
    try:
        codec = codecs.lookup(declared).name
        if codec in ("idna", "punycode"):  # of domain names; the time grows with the square
            raise LookupError(codec)
        # What browsers read where a page says Latin 1 (the Encoding Standard of the WHATWG).
        markup = content.decode("cp1252" if codec in ("ascii", "iso8859-1") else codec)
    except (LookupError, ValueError):  # the latter also of a name with NUL in it
        return BadRecord(number, f"{name} is not in {declared}, as it says or by default", id=name)
    try:
        page = _parse(markup)
        title = " ".join(page.title.get_text().split()) if page.title else ""
        text = re.sub(r" *\n *", "\n", "".join(_pieces(page)))
    except Exception as error:  # noqa: BLE001  (of a parser, by whatever a page may hold)
        return BadRecord(number, f"{name} cannot be read as HTML ({error})", id=name)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    fields = {"id": name, "text": text, "path": name}
    return Record(number, {**fields, "title": title} if title else fields)


def _parse(markup: str) -> BeautifulSoup:
    from bs4 import BeautifulSoup
    from bs4.builder._htmlparser import BeautifulSoupHTMLParser, HTMLParserTreeBuilder

    class PiecewiseParser(BeautifulSoupHTMLParser):
        def feed(self, data: str) -> None:
            start = 0
            while start < len(data):
                # A long tag (an image in it) is looked through again with each piece.
                size = max(_PIECE_CHARACTERS, len(self.rawdata))
                super().feed(data[start : start + size])
                start += size
            if len(self.rawdata) > _UNCLOSED_CHARACTERS:
                raise ValueError(f"{self.rawdata[:20]!r}… is not closed")

    class Builder(HTMLParserTreeBuilder):
        def feed(self, markup: Any, _parser_class: Any = PiecewiseParser) -> None:
            super().feed(markup, _parser_class)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "looks like a URL", "looks like XML": it is a page here
        return BeautifulSoup(markup, builder=Builder())


def _pieces(page: Tag) -> Iterator[str]:
    """Yield the texts of a page, and line breaks where its lines and blocks end."""
    from bs4 import Tag
    from bs4.element import PreformattedString

    # Not by recursion, and without a look at the parents of each text: unclosed tags nest deep.
    stack = [(page, iter(page.contents))]
    preformatted = 0
    while stack:
        tag, contents = stack[-1]
        element = next(contents, None)
        if element is None:
            stack.pop()
            preformatted -= tag.name == "pre"
            if tag.name in _LINES:
                yield "\n"
            elif tag.name in _BLOCKS:
                yield "\n\n"
        elif isinstance(element, Tag):
            if element.name not in _UNSEEN:
                stack.append((element, iter(element.contents)))
                preformatted += element.name == "pre"
        elif not isinstance(element, PreformattedString):  # comments, the document type, …
            text = str(element)
            yield text if preformatted else re.sub(r"\s+", " ", text)
