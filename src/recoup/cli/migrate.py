"""`recoup migrate`: brings the database to this version."""

import typer


def migrate() -> None:
    """Brings the database to this version; safe to run twice and from several hosts."""
    from recoup import settings
    from recoup.store import migrate as steps
    from recoup.store.engines import open_engine

    engine = open_engine(settings.read().database_url)
    try:
        taken = steps.upgrade(engine)
    finally:
        engine.dispose()
    typer.echo(f"took {', '.join(taken)}" if taken else "the database is at this version already")
