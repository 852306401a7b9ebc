"""Every relative link in the project's Markdown leads to a file that is there, and to a heading it has."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def pages() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "*.md"], cwd=ROOT, capture_output=True, check=True
    )
    return [path for path in listed.stdout.decode().split("\0") if path and (ROOT / path).is_file()]


def anchors(text: str) -> set[str]:
    """Anchors as code hosts make them: lower case, spaces to hyphens, punctuation gone."""
    heads = [re.sub(r"[`*]|\]\([^)]*\)|\[", "", head) for head in HEADING.findall(FENCE.sub("", text))]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(page: Path) -> list[str]:
    """Links of `page` that lead nowhere."""
    found = []
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        if not there.exists() or (
            anchor and there.suffix == ".md" and anchor not in anchors(there.read_text())
        ):
            found.append(target)
    return found


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    assert broken(ROOT / page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "there.md").write_text("# Here `and` now\n")
    page.write_text(
        "# Top\n[a](there.md) [b](there.md#here-and-now) [c](#top) [d](https://example.com/x)\n"
        "[e](gone.md) [f](there.md#elsewhere) ![g](gone.png)\n```\n[h](in-code.md)\n```\n"
    )
    assert broken(page) == ["gone.md", "there.md#elsewhere", "gone.png"]
