"""Runs the real commands, in a directory and with settings of the test's; in this process or in one of their own."""

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import structlog

from recoup.cli.main import answered

SECRET = "commands-of-the-tests-are-sealed-with-this-0123456789"
RECOUP = (sys.executable, "-c", "from recoup.cli.main import run; run()")


class Ended(NamedTuple):
    """How a command ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode()


class Desk:
    """Where commands are typed: a working directory and a database."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.home = home
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RECOUP_")}
        self.env = {
            **kept,
            "RECOUP_DATABASE_URL": database_url,
            "RECOUP_SECRET_KEY": SECRET,
            "COLUMNS": "120",
        }

    def run(self, *args: str, stdin: str | bytes = "", env: Mapping[str, str] | None = None) -> Ended:
        """The command in this process, with its own directory, settings and streams: what it wrote, and its exit code."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        logs = structlog.get_config()
        with (
            chdir(self.home),
            patch.dict(os.environ, {**self.env, **(env or {})}, clear=True),
            patch.multiple(
                sys, argv=["recoup", *args], stdin=io.TextIOWrapper(io.BytesIO(given)), stdout=out, stderr=err
            ),
        ):
            code = answered()
        structlog.configure(**logs)
        return Ended(code, _text(out), _text(err))

    def spawn(self, *args: str, stdin: bytes = b"") -> Ended:
        """The same in a process of its own."""
        ended = subprocess.run(
            [*RECOUP, *args],
            cwd=self.home,
            env=self.env,
            input=stdin,
            capture_output=True,
            timeout=300,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def done(self, *args: str, stdin: str | bytes = "") -> str:
        """The output of a command that must succeed."""
        ended = self.run(*args, stdin=stdin)
        assert ended.returncode == 0, (args, ended.stdout, ended.stderr)
        return ended.stdout

    def json(self, *args: str) -> dict[str, Any]:
        """The same, as JSON."""
        return dict(json.loads(self.done(*args)))

    def merchant(self, name: str = "acme", *more: str) -> dict[str, Any]:
        """A migrated database with a merchant whose billing does not answer."""
        self.done("migrate")
        return self.json(
            "merchant", "add", name, "--psp", "generic", "--url", "http://127.0.0.1:9", "--token", "t", *more
        )

    def typed(self, *args: str, columns: int = 80) -> tuple[str, int]:
        """What a person sees in a real terminal, and the exit code."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        env = {k: v for k, v in self.env.items() if k != "COLUMNS"} | {"TERM": "xterm-256color"}
        process = subprocess.Popen(
            [*RECOUP, *args], cwd=self.home, env=env, stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        seen = b""
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
        os.close(leader)
        return seen.decode(), process.wait(timeout=60)
