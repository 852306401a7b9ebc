"""`recoup serve` and `recoup worker`: the doors and the hands of the house, in one process or in many."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.settings import Settings

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only the doors; start `recoup worker` beside it.")
    ] = False,
) -> None:
    """Runs the HTTP API, the dashboard, the hosted pages and a worker."""
    from recoup import settings as settings_of
    from recoup.wiring import assemble
    from recoup.worker.loop import Worker
    from recoup.worker.pulse import Pulse

    settings = settings_of.read()
    logs(settings)
    house = assemble(settings, doors_only=no_worker)
    _at_this_version(house, settings)
    # Doors charge too (a subscriber who pays at once), so they have a heart of their own when no worker beats here.
    hands = Pulse(house) if no_worker else Worker(house, concurrency=settings.concurrency)
    hands.start()
    try:
        doors(house, host, port)
    finally:
        hands.stop()
        house.db.dispose()


def worker() -> None:
    """Runs a worker alone; start as many as you like, on as many hosts as you like."""
    import signal
    import threading

    from recoup import settings as settings_of
    from recoup.wiring import assemble
    from recoup.worker.loop import Worker

    settings = settings_of.read()
    logs(settings)
    house = assemble(settings)
    _at_this_version(house, settings)
    asked = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: asked.set())
    hands = Worker(house, concurrency=settings.concurrency)
    hands.start()
    typer.echo(f"recoup: worker {house.worker_id} at work; stop it with Ctrl-C", err=True)
    while not asked.wait(3600):
        pass
    typer.echo("recoup: stopping; waiting for answers that are on the way", err=True)
    hands.stop()
    house.db.dispose()


def doors(house: "House", host: str, port: int) -> None:
    """Serves the doors of the house until a signal comes; says where on stderr, with the set-up link of a new house."""
    import socket

    import uvicorn

    from recoup.cli.faults import UNREACHABLE, Fault
    from recoup.web.app import create_app
    from recoup.web.auth import setup_link
    from recoup.web.pages.insight import begin

    config = uvicorn.Config(
        create_app(house), host=host, port=port, log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=10,
    )  # fmt: skip
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as e:
        why = f"{host}:{port} cannot be listened on ({e.strerror}); choose another --port"
        raise Fault(why, UNREACHABLE) from e
    where = f"http://{host}:{listening.getsockname()[1]}"
    typer.echo(f"recoup: at {where}; stop it with Ctrl-C", err=True)
    link = setup_link(house)
    if link is not None:
        typer.echo(f"recoup: nobody can sign in yet; make the first login once at {link}", err=True)
    begin(house)
    uvicorn.Server(config).run(sockets=[listening])


def logs(settings: "Settings") -> None:
    """Log lines on stderr, as text or JSON; they carry ids, never personal data."""
    import sys

    import structlog

    shape = (
        structlog.processors.JSONRenderer()
        if settings.log == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shape,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _at_this_version(house: "House", settings: "Settings") -> None:
    """An embedded database is brought to this version by itself; a server's is only looked at."""
    from recoup.cli.faults import FOUND, Fault
    from recoup.store import migrate

    if house.db.dialect.name == "sqlite":
        migrate.upgrade(house.db)
    elif not migrate.is_current(house.db):
        raise Fault("the database is not at this version; nothing was started; run `recoup migrate`", FOUND)
