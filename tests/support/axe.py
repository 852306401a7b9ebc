"""The accessibility auditor axe-core, fetched once with npm where there is one; nothing of it ships."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.waiting import HANGS_S

VERSION = "4.14.1"
PATH_VARIABLE = "RECOUP_TEST_AXE"
SERIOUS = ("serious", "critical")


def source(kept: Path) -> str:
    """The auditor's script: the file that `RECOUP_TEST_AXE` names, else the package, kept in `kept`. Skips without either."""
    named = os.environ.get(PATH_VARIABLE)
    if named:
        return Path(named).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm to fetch axe-core with; install it, or set {PATH_VARIABLE} to an axe.min.js")
    packed = subprocess.run(
        [npm, "pack", f"axe-core@{VERSION}", "--silent"],
        cwd=kept,
        capture_output=True,
        timeout=HANGS_S,
        check=False,
    )
    if packed.returncode != 0:
        pytest.skip("npm could not fetch axe-core; no network")
    with tarfile.open(kept / f"axe-core-{VERSION}.tgz") as package:
        found = package.extractfile("package/axe.min.js")
        assert found is not None
        return found.read().decode()


def faults(page: Page, script: str) -> list[str]:
    """Serious and critical faults of the page as it stands, each with the first element that has it."""
    page.evaluate(script)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:160]} ({len(v['nodes'])})"
        for v in found["violations"]
        if v["impact"] in SERIOUS
    ]
