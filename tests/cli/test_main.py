"""The way in: help, versions, one-line errors and exit codes, in pipes and in a real terminal."""

import re
import subprocess

import pytest

from tests.cli.commands import RECOUP, Desk

COMMANDS = (
    "demo", "serve", "worker", "migrate", "merchant", "import", "decide", "explain", "verify", "policy", "doctor",
)  # fmt: skip
HEAVY = {
    "alembic",
    "babel",
    "cryptography",
    "duckdb",
    "jinja2",
    "litestar",
    "msgspec",
    "mjml",
    "sqlalchemy",
    "stripe",
}


def test_help_names_every_command_in_one_line_each(small_desk: Desk) -> None:
    said = small_desk.done("--help")
    for name in COMMANDS:
        lines = [line for line in said.splitlines() if re.match(rf"  {name}\s", line)]
        assert len(lines) == 1, name
        assert len(lines[0]) <= 80, lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(small_desk: Desk, command: str) -> None:
    assert f"Usage: recoup {command}" in small_desk.done(command, "--help")


def test_help_is_there_at_once() -> None:
    """Asking for help loads nothing that takes long to load."""
    loaded = "import sys, recoup.cli.main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ended = subprocess.run([RECOUP[0], "-c", loaded], check=True, capture_output=True, text=True)
    assert set(ended.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("nothing-like-it",), 2, "No such command"),
        (("decide", "--policy", "nope"), 2, "the shipped ones are"),
        (("import", "csv", "missing.csv"), 2, "missing.csv"),
        (("merchant", "list"), 1, "recoup migrate"),
        (("policy", "explain", "bad.toml"), 1, "bad.toml, line 2 (window): not a duration"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    small_desk: Desk, args: tuple[str, ...], code: int, words: str
) -> None:
    (small_desk.home / "bad.toml").write_text('name = "x"\nwindow = 3\n')
    ended = small_desk.run(*args)
    assert ended.returncode == code
    assert ended.stdout == ""
    assert ended.stderr.startswith("recoup: ")
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "Traceback" not in ended.stderr


def test_a_traceback_only_on_request(small_desk: Desk) -> None:
    ended = small_desk.run("merchant", "list", env={"RECOUP_DEBUG": "1"})
    assert "Traceback" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("recoup: ")


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        ({"RECOUP_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}, 3, "cannot be used"),
        ({"RECOUP_DATABASE_URL": "mysql://x"}, 2, "SQLite and PostgreSQL"),
        (
            {"RECOUP_DATABASE_URL": "postgresql://u:hush-hush@127.0.0.1:9/none"},
            3,
            "check RECOUP_DATABASE_URL",
        ),
    ],
)
def test_an_unreachable_database(small_desk: Desk, env: dict[str, str], code: int, words: str) -> None:
    ended = small_desk.run("migrate", env=env)
    assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr
    assert "hush-hush" not in ended.stderr


def test_a_reader_that_leaves_is_no_error(small_desk: Desk) -> None:
    lines = b'{"no": "view"}\n' * 20_000
    piped = subprocess.run(
        ["bash", "-c", f"{RECOUP[0]} -c '{RECOUP[2]}' decide | head -1; echo ${{PIPESTATUS[0]}}"],
        input=lines, capture_output=True, cwd=small_desk.home, env=small_desk.env, check=False,
    )  # fmt: skip
    first, code = piped.stdout.decode().splitlines()
    assert "unknown field" in first
    assert code == "0"
    assert b"Traceback" not in piped.stderr


def test_in_a_real_terminal(small_desk: Desk) -> None:
    small_desk.merchant()
    seen, code = small_desk.typed("merchant", "list")
    assert code == 0
    assert "acme" in seen
    assert "\x1b[" in seen, "a terminal gets colour"
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    assert max(len(line) for line in plain.splitlines()) <= 80
    seen, code = small_desk.typed("merchant", "remove", "nobody")
    assert code == 2
    assert seen.startswith("recoup: no merchant 'nobody'")
