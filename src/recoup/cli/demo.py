"""`recoup demo`: a small company in the sandbox, its failed renewals recovered before your eyes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.lab.lives import Failure
    from recoup.lab.people import People
    from recoup.store.merchants import Merchant

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
CUSTOMERS = 400
HOME = Path("recoup-demo")
LOGIN, PASSWORD = "demo", "recoup-demo-1"
DAY_LASTS_S = 2.0
"""How long a day of the story takes when it is watched."""


def demo(
    days: Annotated[int, typer.Option(help="How many days to play.", min=1, max=365)] = 60,
    seed: Annotated[int, typer.Option(help="Another seed, another story.")] = 1,
    headless: Annotated[
        bool, typer.Option("--headless", help="Play at full speed, print the result, end.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where the dashboard listens.", min=0, max=65535)] = 8080,
) -> None:
    """Plays a small company's failed renewals in a sandbox: SQLite, captured e-mails, the dashboard."""
    from recoup.cli import results
    from recoup.lab.company import failures

    found = failures(seed, BEGINS, days, CUSTOMERS)
    end = BEGINS + timedelta(days=days)
    if headless:
        house, merchant, people = opened(found, port)
        _play(people, end, days)
        results.show(house, merchant, found, end, days, seed)
        house.db.dispose()
    else:
        with story(found, port) as played:
            _watch(played, end, port)


def opened(found: "list[Failure]", port: int) -> "tuple[House, Merchant, People]":
    """A fresh house in the demo's own folder, with one merchant on a test clock."""
    from recoup.cli import accounts
    from recoup.engine import receive
    from recoup.lab.company import COMPANY, SUPPORT
    from recoup.lab.people import People
    from recoup.psp.sandbox import Sandbox
    from recoup.settings import Settings
    from recoup.store import migrate
    from recoup.wiring import assemble

    HOME.mkdir(exist_ok=True)
    for old in HOME.glob("*.db*"):
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink()
    settings = Settings(database_url=f"sqlite:///{HOME}/demo.db", base_url=f"http://127.0.0.1:{port}")
    house = assemble(settings)
    migrate.upgrade(house.db)
    brand = {"name": COMPANY, "support": SUPPORT}
    account = {"path": str(HOME / "bank.db")}
    accounts.add(house, COMPANY, "sandbox", account, brand, policy="default", test_clock=BEGINS.isoformat())
    merchant = receive.merchant_named(house, COMPANY)
    sandbox = house.gateway(merchant)
    assert isinstance(sandbox, Sandbox)
    return house, merchant, People(house, merchant, sandbox, found)


def _play(people: "People", end: datetime, days: int) -> None:
    """The whole story at full speed, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("day {task.completed:.0f} of {task.total:.0f}"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("playing", total=days)
        people.play_until(end, lambda now: bar.update(task, completed=(now - BEGINS) / timedelta(days=1)))


def _let_in(house: "House") -> None:
    """Makes the demo's own login, so that there is nothing to set up before looking."""
    from recoup.web.auth import accept, setup_link

    link = setup_link(house)
    if link is not None:
        accept(house, link.rsplit("/", 1)[1], LOGIN, PASSWORD)


def _staffed(house: "House") -> None:
    """One more login for each role, with the same password, so that every desk can be sat at."""
    from recoup.domain.authority import ROLES
    from recoup.web.auth import NotGood, accept, invite

    for role in ROLES:
        if role != "admin":
            with suppress(NotGood):
                accept(house, invite(house, role).rsplit("/", 1)[1], role, PASSWORD)


def _proving(house: "House", merchant: "Merchant") -> None:
    """The holdout of messages from the first day on, and a test of two policies: something to be proved."""
    from recoup.domain.experiment import Arm
    from recoup.engine import policies
    from recoup.insight import experiments_run as run

    gentle = policies.accept(house, merchant, policies.text_of("gentle")[0], activate=False)
    arms = (Arm(name="now", share=0.5, policy=merchant.policy), Arm(name="gentle", share=0.5, policy=gentle))
    run.holdout(house, merchant, on=True, actor=f"staff:{LOGIN}", at_once=True)
    run.start(
        house, merchant, id="gentle-first", name="Gentler and later", kind="policy", arms=arms, actor=f"staff:{LOGIN}",
        effect=0.2, anyway=True,
    )  # fmt: skip


class Story:
    """The company with its people at their desks, on its first day; `house` and `merchant` for whoever looks at it."""

    def __init__(self, house: "House", merchant: "Merchant", people: "People") -> None:
        from recoup.lab.desk import Desk
        from recoup.worker.watch import Watch

        self.house, self.merchant = house, merchant
        self._people, self._desk, self._beside = people, Desk(house, merchant), Watch(house)

    def days(self, end: datetime) -> Iterator[datetime]:
        """Plays a day at a time until `end` and answers what time it is then."""
        now = BEGINS
        while now < end:
            now = min(now + timedelta(days=1), end)
            self._people.play_until(now)
            self._desk.day(self._people.open_cases)
            self._beside.tests_round()
            self._beside.staff_round()
            yield now


@contextmanager
def story(found: "list[Failure]", port: int) -> Iterator[Story]:
    """The demo's company as the dashboard shows it, while the block lasts: a login for each role, something to be proved,
    and the pulse of a worker. Kept in `HOME` under the current directory; what was there before is gone."""
    from recoup.worker.pulse import Pulse

    house, merchant, people = opened(found, port)
    pulse = Pulse(house)  # the story does a worker's work
    pulse.start()
    try:
        _let_in(house)
        _staffed(house)
        _proving(house, merchant)
        yield Story(house, merchant, people)
    finally:
        pulse.stop()
        house.db.dispose()


def _watch(played: Story, end: datetime, port: int) -> None:
    """The story behind the dashboard: its first third at full speed, then day by day; afterwards the dashboard stays open."""
    import threading

    from recoup.cli.serve import doors, logs
    from recoup.settings import Settings

    logs(Settings())
    over = threading.Event()

    def tell() -> None:
        for now in played.days(end):
            if over.is_set():
                return
            if now >= BEGINS + (end - BEGINS) / 3:
                over.wait(DAY_LASTS_S)
        typer.echo(f"recoup: the {(end - BEGINS).days} days are over; the dashboard stays open", err=True)

    teller = threading.Thread(target=tell, name="story", daemon=True)
    teller.start()
    typer.echo(f"recoup: sign in as {LOGIN} with the password {PASSWORD}", err=True)
    typer.echo(
        "recoup: finance, agent, revops, engineer and the other roles have the same password", err=True
    )
    typer.echo(
        f"recoup: one day passes every {DAY_LASTS_S:g} seconds; everything happens in {HOME}/", err=True
    )
    try:
        doors(played.house, "127.0.0.1", port)
    finally:
        over.set()
        teller.join(30)
