from __future__ import annotations

import pytest

from tests.packaging.check_release import faults

PROJECT = '[project]\nversion = "1.2.3"\n'
CHANGES = """# Changelog

## [Unreleased]

## [1.2.3] - 2026-01-31

- New.

## [1.2.2] - 2026-01-01

- Old.
"""


def test_a_release_that_is_ready() -> None:
    assert faults("v1.2.3", PROJECT, CHANGES) == []


@pytest.mark.parametrize(
    ("tag", "changes", "says"),
    [
        ("v1.2.4", CHANGES.replace("1.2.3", "1.2.4"), "the version in pyproject.toml 1.2.3"),
        ("1.2.3", CHANGES, "no tag such as"),
        ("v1.2.3", CHANGES.replace("[1.2.3]", "[1.2.2]"), "no section for 1.2.3"),
        ("v1.2.3", CHANGES.replace("- New.\n", ""), "an empty one"),
        ("v1.2.3", CHANGES.replace(" - 2026-01-31", ""), "has no date"),
        ("v1.2.3", CHANGES.replace("ed]\n", "ed]\n\n- More.\n"), 'entries under "Unreleased"'),
    ],
)
def test_one_that_is_not(tag: str, changes: str, says: str) -> None:
    assert says in " ".join(faults(tag, PROJECT, changes))
