"""The bar of the house, read from the tracked files: sizes, names, docstrings, `Any`, words that do not belong."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MOST_FILE_LINES = 450
MOST_FUNCTION_LINES = 50
ANY_ALLOWED = (
    "src/recoup/psp/",
    "src/recoup/web/",
    "src/recoup/store/",
    "src/recoup/domain/fold.py",  # the changes of a frozen struct, by field name
    "src/recoup/domain/policy.py",  # what a policy file may hold before it is checked
)
EMPTY_NAMES = re.compile(r"^_*(utils?|helpers?|managers?|services?)$")

# Written in pieces, so that this file does not find itself.
FOREIGN = {
    "a path of somebody's machine": re.compile(
        "|".join(["/" + r"work/(main|shared)", "/" + r"root/", r"/" + r"home/\w+/", r"\.\./" + "shared"])
    ),
    "a package registry": re.compile(
        "|".join(
            [
                "pypi" + r"\.org",
                "pythonhosted" + r"\.org",
                "npmjs" + r"\.(org|com)",
                r"--(extra-)?" + "index-url",
            ]
        )
    ),
    "an open end": re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"])),
    "a word of its making": re.compile(
        "|".join(["examin" + r"(er|ation)", "(closes|fixes|resolves) " + r"#\d+", "Co-authored" + "-by"]),
        re.IGNORECASE,
    ),
}
# The Makefile and set-up script say how locks are made; the licence is not ours to word.
MAY_NAME_OPTIONS = ("Makefile",)
NOT_OURS = ("LICENSE",)


def tracked(*patterns: str) -> list[str]:
    """Paths git keeps that match, and that are still there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=True
    )
    return [path for path in listed.stdout.decode().split("\0") if path and (ROOT / path).is_file()]


PYTHON = tracked("*.py")
HOUSE = [path for path in PYTHON if path.startswith("src/")]
TREES = {path: ast.parse((ROOT / path).read_text(), path) for path in PYTHON}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring not counted."""
    last = function.end_lineno or function.lineno
    told = function.body[0] if ast.get_docstring(function) is not None else None
    docstring = (told.end_lineno or told.lineno) - told.lineno + 1 if told else 0
    return last - function.lineno + 1 - docstring


def any_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "typing"
            and "Any" in [a.name for a in node.names]
        ):
            yield node.lineno
        if isinstance(node, ast.Attribute) and node.attr == "Any":
            yield node.lineno


def test_there_is_a_house_to_look_at() -> None:
    assert len(HOUSE) > 12


def test_a_file_can_be_read_in_five_minutes() -> None:
    sizes = {path: len((ROOT / path).read_text().splitlines()) for path in PYTHON}
    assert {path: lines for path, lines in sizes.items() if lines > MOST_FILE_LINES} == {}


def test_a_function_can_be_seen_at_once() -> None:
    long = {
        f"{path}:{function.lineno} {function.name}": length(function)
        for path, tree in TREES.items()
        for function in functions(tree)
        if length(function) > MOST_FUNCTION_LINES
    }
    assert long == {}


def test_a_module_says_what_it_is_for() -> None:
    assert [path for path in HOUSE if not ast.get_docstring(TREES[path])] == []


def test_names_come_from_the_trade() -> None:
    parts = {(part, path) for path in PYTHON for part in Path(path).with_suffix("").parts}
    assert sorted(path for part, path in parts if EMPTY_NAMES.match(part)) == []


def test_any_stays_at_the_edges() -> None:
    found = [
        f"{path}:{line}"
        for path in HOUSE
        if not path.startswith(ANY_ALLOWED)
        for line in any_lines(TREES[path])
    ]
    assert found == []


@pytest.mark.parametrize("what", FOREIGN)
def test_the_project_speaks_of_itself_alone(what: str) -> None:
    found = []
    for path in tracked():
        data = (ROOT / path).read_bytes()
        if path in NOT_OURS or b"\0" in data or (what == "a package registry" and path in MAY_NAME_OPTIONS):
            continue
        lines = data.decode().splitlines()
        found += [f"{path}:{number}" for number, line in enumerate(lines, 1) if FOREIGN[what].search(line)]
    assert found == []


@pytest.mark.parametrize(("lock", "extra"), [("requirements.lock", None), ("requirements-dev.lock", "dev")])
def test_the_locks_hold_what_the_project_asks_for(lock: str, extra: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))
    wanted = {
        str(need): (pins.get(canonicalize_name(need.name)), need.specifier)
        for need in map(Requirement, asked)
    }
    stale = [text for text, (pin, allowed) in wanted.items() if pin is None or pin not in allowed]
    assert stale == [], f"{lock} is out of step with pyproject.toml; run: make lock"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f():\n    return 1", 2),
        ('def f():\n    """Says\n    much."""\n    return 1', 2),
        ("@wrapped\nasync def f(\n    a,\n):\n    return a", 4),
    ],
)
def test_the_measure_of_a_function(source: str, lines: int) -> None:
    assert [length(function) for function in functions(ast.parse(source))] == [lines]


def test_the_eye_for_any() -> None:
    source = "from typing import Any, cast\nimport typing\nx: typing.Any = 1\ny: object = any([x])"
    assert list(any_lines(ast.parse(source))) == [1, 3]
