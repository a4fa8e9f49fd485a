"""URIs and patterns are taken apart without mistaking one part for another."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from multiqa_integrations.distributed.uris import (
    escaped,
    escaped_name,
    matches,
    split_options,
    split_pattern,
    with_option,
    without_secrets,
)


@pytest.mark.parametrize(
    ("uri", "folder", "pattern"),
    [
        ("s3://b/a.jsonl", "s3://b/a.jsonl", ""),
        ("s3://b/a.jsonl?scheme=http", "s3://b/a.jsonl?scheme=http", ""),
        ("s3://b/what?.jsonl", "s3://b/what?.jsonl", ""),  # a "?" alone is no pattern
        ("s3://b/*.jsonl", "s3://b/", "*.jsonl"),
        ("s3://b/x/[ab]/c?/*.jsonl?scheme=http", "s3://b/x/?scheme=http", "[ab]/c?/*.jsonl"),
        ("s3://k:s@b/x/**/a.jsonl", "s3://k:s@b/x/", "**/a.jsonl"),
        ("s3://b/x%20y/*%20%C3%BC%2A.jsonl", "s3://b/x%20y/", "* ü[*].jsonl"),
    ],
)
def test_the_folder_before_a_pattern_keeps_the_options(uri: str, folder: str, pattern: str) -> None:
    assert split_pattern(uri) == (folder, pattern)


def test_options_begin_where_a_name_has_a_value() -> None:
    assert split_options("s3://b/a?.jsonl?x=1&y=2") == ("s3://b/a?.jsonl", "?x=1&y=2")
    assert split_options("s3://b/a?.jsonl") == ("s3://b/a?.jsonl", "")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("gs://b/a", "gs://b/a?limit=3"),
        ("gs://b/a?x=1", "gs://b/a?x=1&limit=3"),
        ("gs://b/a?limit=9", "gs://b/a?limit=9"),
        ("gs://b/a?x=1&limit=9", "gs://b/a?x=1&limit=9"),
    ],
)
def test_an_option_that_is_given_stays(uri: str, expected: str) -> None:
    assert with_option(uri, "limit", 3) == expected


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("a.jsonl", "*.jsonl", True),
        ("x/a.jsonl", "*.jsonl", False),
        ("x/a.jsonl", "*/*.jsonl", True),
        ("a.jsonl", "**/*.jsonl", True),
        ("x/y/a.jsonl", "**/*.jsonl", True),
        ("x/y/a.jsonl", "x/**", True),
        ("A.jsonl", "a.jsonl", False),
    ],
)
def test_a_pattern_means_what_it_means_on_disk(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, pattern) is expected


@pytest.mark.parametrize(
    "uri",
    [
        "s3://me:secret@bucket/a.jsonl",
        "s3://secret@bucket/a.jsonl?key=secret",
        "s3://me:secret/with=slashes+secret@bucket/a.jsonl?scheme=http&key=secret",
        "s3://me:secret@secret@bucket/a.jsonl",
        "s3://me:a secret@bucket/a.jsonl",
        "s3://me:secret?secret=@bucket/a.jsonl",
    ],
)
def test_what_is_shown_has_no_secret(uri: str) -> None:
    assert without_secrets(uri) == "s3://bucket/a.jsonl"


def test_what_is_shown_names_the_place() -> None:
    assert without_secrets("s3://bucket:9000/a@b/*.jsonl") == "s3://bucket:9000/a@b/*.jsonl"
    container = "abfs://container@account.dfs.core.windows.net/a.jsonl"
    assert without_secrets(f"{container}?tenant_id=secret") == container
    assert without_secrets("abfs://account:secret@container/a.jsonl") == "abfs://container/a.jsonl"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://b/a b/ü.jsonl", "s3://b/a%20b/%C3%BC.jsonl"),
        ("s3://b/a#1.jsonl?scheme=http", "s3://b/a%231.jsonl?scheme=http"),
        ("s3://b/100%.jsonl", "s3://b/100%25.jsonl"),
        ("s3://k:s@b:9000/a%20b+c,d&e=f.jsonl", "s3://k:s@b:9000/a%20b+c,d&e=f.jsonl"),
    ],
)
def test_names_need_no_escapes_but_may_have_them(uri: str, expected: str) -> None:
    assert escaped(uri) == expected
    assert escaped(expected) == expected


def test_a_name_that_was_found_can_be_given() -> None:
    name = "a%20b?x=1*[c]#d.jsonl"
    uri = f"s3://b/{escaped_name(name)}?scheme=http"
    assert split_pattern(uri) == (uri, "")
    assert split_options(uri)[1] == "?scheme=http"
    assert unquote(split_options(uri)[0]) == f"s3://b/{name}"
