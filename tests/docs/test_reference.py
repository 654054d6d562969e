"""The generated pages are what the code says, and the links between the pages of the project lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from npucc.docs import PAGES, drifted

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def test_no_page_drifted() -> None:
    stale = [path.name for path in drifted(ROOT / "docs" / "reference")]
    assert stale == [], "run `python -m npucc.docs`"


def test_a_changed_page_is_noticed(tmp_path: Path) -> None:
    for name in PAGES:
        (tmp_path / name).write_text("something else")
    assert {path.name for path in drifted(tmp_path)} == set(PAGES)


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []
