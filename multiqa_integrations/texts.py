"""Check input texts before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from multiqa_integrations.errors import TextError, TextTypeError


def check_texts(texts: Sequence[str]) -> list[str]:
    """Return `texts` as a list of encodable strings.

    Lone surrogates are repaired (see `repair_surrogates`); nothing else is changed.

    Raises:
        TextTypeError: `texts` is a bare string or not a sequence, or an item is not a `str`.
        TextError: `texts` is an array of more than one dimension.

    Examples:
        >>> check_texts(("a", "b"))
        ['a', 'b']
    """
    if isinstance(texts, str):
        raise TextTypeError(
            f"expected a list of texts, got the single string {short(texts)}. "
            "Pass [text]: a bare string would be read as one text per character."
        )
    if isinstance(texts, np.ndarray):
        if texts.ndim != 1:
            raise TextError(f"expected a one-dimensional array of texts, got shape {texts.shape}.")
        texts = texts.tolist()
    elif not isinstance(texts, Sequence) or isinstance(texts, bytes | bytearray | memoryview):
        to_list = _column_to_list(texts)
        if to_list is None:
            hint = (
                " Generators go to encode_stream(), or pass list(texts)."
                if hasattr(texts, "__iter__") and not isinstance(texts, bytes | bytearray)
                else " Pass a list of str."
            )
            raise TextTypeError(f"expected a list of texts, got {_kind(texts)}.{hint}")
        texts = to_list()
    return [check_text(text, index) for index, text in enumerate(texts)]


def check_text(text: str, index: int) -> str:
    """Return `text`, item `index` of the input, with lone surrogates repaired.

    Raises:
        TextTypeError: It is not a `str`.
    """
    if not isinstance(text, str):
        hint = (
            "decode bytes first"
            if isinstance(text, bytes | bytearray)
            else "drop it or replace it by '' first"
            if text is None or isinstance(text, float)
            else "pass a flat list of str"
        )
        raise TextTypeError(f"text {index} is {_kind(text)}, expected str: {hint}.", index=index)
    return repair_surrogates(text)


def repair_surrogates(text: str) -> str:
    r"""Join surrogate pairs and replace lone surrogates by U+FFFD.

    Lone surrogates come from JSON escapes and broken decoding; neither UTF-8, nor the
    tokenizer, nor a Qdrant payload can hold them.

    Examples:
        >>> repair_surrogates("a\ud83d\ude00b\ud83d")
        'a😀b�'
    """
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _column_to_list(texts: object) -> Callable[[], list[str]] | None:
    """Find how a column becomes a list: that of pandas, Polars or Arrow is not a Sequence."""
    if isinstance(texts, bytes | bytearray | memoryview) or not hasattr(texts, "__len__"):
        return None
    for name in ("tolist", "to_list", "to_pylist"):
        if callable(method := getattr(texts, name, None)):
            return method  # type: ignore[no-any-return]
    return None


def _kind(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {short(value)}"


def short(value: object) -> str:
    """Show a value of anybody's, in the bounds of a message."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  (an integer of 5,000 digits; a class of the user's)
        return f"<not shown: {type(error).__name__}>"
    return text if len(text) <= 40 else text[:37] + "..."
