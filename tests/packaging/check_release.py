"""Check that a release is ready: python tests/packaging/check_release.py v1.2.3

The tag names the version of pyproject.toml, and the changelog has a section for it with a date and
something in it, and nothing left under "Unreleased".
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def faults(tag: str, pyproject: str, changelog: str) -> list[str]:
    """Return what stands against releasing `tag`."""
    found = []
    version = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    named = version[1] if version else "none"
    if tag != f"v{named}":
        found.append(f"The tag is {tag}, the version in pyproject.toml {named}.")
    if not re.fullmatch(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", tag):
        found.append(f"{tag} is no tag such as v1.2.3 or v1.2.3rc1.")
    # "## [1.2.3] - 2026-01-31" and what follows, up to the next section.
    sections = {
        name: (date, text.strip())
        for name, date, text in re.findall(
            r"^## \[(.+?)\](?: - (\S+))?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
        )
    }
    date, text = sections.get(tag.removeprefix("v"), ("", ""))
    if not text:
        found.append(f"CHANGELOG.md has no section for {tag.removeprefix('v')}, or an empty one.")
    elif not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        found.append(
            f"The section for {tag.removeprefix('v')} has no date: ## [1.2.3] - 2026-01-31"
        )
    if sections.get("Unreleased", ("", ""))[1]:
        found.append('CHANGELOG.md still has entries under "Unreleased".')
    return found


if __name__ == "__main__":
    against = faults(
        sys.argv[1],
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    )
    print("\n".join(against) or f"{sys.argv[1]} is ready.")
    sys.exit(bool(against))
