"""Plays a simulation through the whole house: SQLite, the sandbox provider, mails, and the worker's steps on a test clock."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from sqlite3 import Connection

import sqlalchemy as sa

from recoup.cli import accounts
from recoup.cli.faults import USAGE, Fault
from recoup.engine import models, policies, receive
from recoup.engine.house import House
from recoup.lab import clairvoyant
from recoup.lab.in_house import outcomes
from recoup.lab.lives import Failure, failure
from recoup.lab.people import People
from recoup.lab.simulate import Entrant, Say, Shard, Task, policy_of
from recoup.lab.tally import Row, row
from recoup.lab.town import Played
from recoup.psp.sandbox import Sandbox
from recoup.settings import Settings
from recoup.store import merchants, migrate
from recoup.store.engines import writing
from recoup.wiring import assemble

COMPANY = "Simulated"


class InTheHouse:
    """Each task in a house of its own, one for each entrant, in a folder that is gone afterwards."""

    def __call__(self, todo: Sequence[Task], say: Say) -> Iterable[Shard]:
        for one in {e for task in todo for e in task.entrants}:
            _can_be_played(one)
        for task in todo:
            failures = [failure(task.world, task.seed, n) for n in range(task.first, task.first + task.cases)]
            rows = [_rows(task, one, failures) for one in task.entrants]
            yield Shard(best=[clairvoyant.best(task.world, f) for f in failures], rows=rows)
            say(task.cases)


def _can_be_played(one: Entrant) -> None:
    if not one.lawful:
        why = "the house keeps the networks' rules, whatever the policy"
        raise Fault(f"{one.name} is not bound by rules; {why}; play it with --engine local", USAGE)


def _rows(task: Task, one: Entrant, failures: Sequence[Failure]) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="recoup-simulate-") as folder:
        house = assemble(Settings(database_url=f"sqlite:///{folder}/house.db", base_url="http://127.0.0.1"))
        sa.event.listen(house.db, "connect", _unsynced)
        try:
            played = _played(house, Path(folder), task, one, failures)
        finally:
            house.db.dispose()
    world = task.world
    return [
        row(world, n, f, p) for n, f, p in zip(range(task.first, task.first + task.cases), failures, played, strict=True)
    ]  # fmt: skip


def _unsynced(connection: Connection, _: object) -> None:
    """The folder is gone in the end: nothing has to outlive a power failure."""
    connection.execute("PRAGMA synchronous = OFF")


def _played(
    house: House, folder: Path, task: Task, one: Entrant, failures: Sequence[Failure]
) -> list[Played]:
    migrate.upgrade(house.db)
    world = task.world
    begins = world.starts.isoformat()
    accounts.add(house, COMPANY, "sandbox", {"path": str(folder / "bank.db")}, {"name": COMPANY},
                 policy="default", test_clock=begins)  # fmt: skip
    merchant = receive.merchant_named(house, COMPANY)
    policy = policy_of(one)
    with writing(house.db) as tx:
        kept = policies.keep(tx, merchant.id, policy, policies.canonical(policy), house.clock.now())
        merchants.change(tx, merchant.id, policy=kept)
    if one.model is not None:
        models.activate(house, merchant, one.model)
    merchant = receive.merchant_named(house, COMPANY)
    sandbox = house.gateway(merchant)
    assert isinstance(sandbox, Sandbox)
    people = People(house, merchant, sandbox, list(failures))
    end = max(f.at for f in failures) + world.window
    people.play_until(end)
    sandbox.bank.close()
    return outcomes(house, merchant, failures)
