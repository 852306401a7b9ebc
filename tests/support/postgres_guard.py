"""Keeps one throw-away PostgreSQL server alive for as long as its owner lives, then takes it away.

Run as a program: `postgres_guard.py HOME BIN OWNER_PID USER`. It writes HOME/ready once the server answers or
HOME/failed with the reason, and leaves nothing behind: when the owner dies (even by SIGKILL) or sends SIGTERM,
the server is stopped and HOME removed. Standard library only, so that it starts at once.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROLE = "recoup"
START_SECONDS = 60.0
LOOK_SECONDS = 0.2

# Durability is what a thrown-away database can do without; everything else stays as in production.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class _Told(Exception):
    """SIGTERM came: the owner is done."""


def _on_term(_signal: int, _frame: object) -> None:
    raise _Told


def _over(owner: int) -> Callable[[], bool]:
    """A question that answers True once process `owner` has ended, reaped or not."""
    if not hasattr(os, "pidfd_open"):  # not Linux
        return lambda: not _exists(owner)
    try:
        descriptor = os.pidfd_open(owner)
    except ProcessLookupError:
        return lambda: True
    return lambda: bool(select.select([descriptor], [], [], 0)[0])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _as_user(user: str) -> dict[str, object]:
    """Popen arguments that drop to `user`; none when we already are an ordinary user."""
    if os.geteuid() != 0:
        return {}
    return {"user": user, "group": user if user != "nobody" else "nogroup", "extra_groups": []}


def _initdb(home: Path, binaries: Path, drop: dict[str, object]) -> None:
    command = [
        str(binaries / "initdb"),
        *("-D", str(home / "data"), "-U", ROLE, "--auth=trust", "--no-sync"),
        *("--encoding=UTF8", "--locale=C", "--no-instructions"),
    ]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, **drop)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")


def _start(home: Path, binaries: Path, drop: dict[str, object]) -> subprocess.Popen[bytes]:
    command = [str(binaries / "postgres"), "-D", str(home / "data"), "-k", str(home)]
    for name, value in SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    with (home / "log").open("wb") as log:
        server: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **drop
        )
    return server


def _wait_ready(home: Path, server: subprocess.Popen[bytes]) -> None:
    """`postmaster.pid` says `ready` on its eighth line once connections are taken."""
    deadline = time.monotonic() + START_SECONDS
    note = home / "data" / "postmaster.pid"
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        lines = note.read_text().splitlines() if note.exists() else []
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return
        time.sleep(0.02)
    raise RuntimeError("PostgreSQL did not start: " + (home / "log").read_text(errors="replace")[-2000:])


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return
    server.send_signal(signal.SIGINT)  # fast shutdown: open sessions are cut off
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def guard(home: Path, binaries: Path, owner: int, user: str) -> None:
    """Start the server in `home`, hold it until `owner` is gone or says so, remove `home`."""
    signal.signal(signal.SIGTERM, _on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests first; they end us
    over = _over(owner)
    server = None
    drop = _as_user(user)
    try:
        _initdb(home, binaries, drop)
        server = _start(home, binaries, drop)
        _wait_ready(home, server)
        (home / "ready").touch()
        while not over() and server.poll() is None:
            time.sleep(LOOK_SECONDS)
    except _Told:
        pass
    except (RuntimeError, OSError) as error:
        (home / "failed").write_text(str(error))
        while not over():  # the reason stays readable until the run is over
            time.sleep(LOOK_SECONDS)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if server is not None:
            _stop(server)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    guard(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
