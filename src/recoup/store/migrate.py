"""Brings a database to this version: every missing step in one transaction, whoever else tries at the same moment."""

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine

from recoup.store import report_tables as _reports  # noqa: F401  # the tables are only whole with these
from recoup.store import said as _said  # noqa: F401
from recoup.store.engines import is_postgres, reading, writing

STEPS = Path(__file__).parent / "migrations"
_LOCK = 0x7265636F7570  # "recoup"; one number for every host that brings the same database up


class DatabaseAhead(RuntimeError):
    """A newer version of Recoup has changed this database; this one does not know how to use it."""


def upgrade(engine: Engine) -> list[str]:
    """Takes every missing step; the names of those taken, none when the database is current.

    Safe to run twice and from several hosts at once: the second waits for the first and finds nothing to do. All
    steps and their record are one transaction. Raises `DatabaseAhead`.
    """
    script = _script()
    with writing(engine) as connection:
        _alone(connection)
        have = _refuse_newer(script, connection)
        taken = [s.revision for s in reversed(list(script.iterate_revisions("head", have or "base")))]
        if taken:
            _run(script, connection)
        return taken


def is_current(engine: Engine) -> bool:
    """Whether the database stands exactly where this version wants it."""
    with reading(engine) as connection:
        return _revision(connection) == _script().get_current_head()


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(STEPS))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _alone(connection: Connection) -> None:
    """Waits for anybody who is bringing the same database up. SQLite's one write lock is held from the beginning."""
    if is_postgres(connection):
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(script: ScriptDirectory, connection: Connection) -> str | None:
    have = _revision(connection)
    known = {s.revision for s in script.walk_revisions()}
    if have is not None and have not in known:
        raise DatabaseAhead(
            f"the database is at step {have}, which this version does not know; run the newer Recoup that made it"
        )
    return have


def _run(script: ScriptDirectory, connection: Connection) -> None:
    def steps(revision: object, context: MigrationContext) -> list[RevisionStep]:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]  # Alembic wants its own union

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection)
        with environment.begin_transaction():
            environment.run_migrations()
