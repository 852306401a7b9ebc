"""Alerts in the figures are found by a process of its own: the worker stays small, and nothing that happens there harms it."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import pytest

from recoup.engine.house import House
from recoup.insight import alerts, extract, staff_mail
from recoup.insight.alerts import Alert
from recoup.insight.apart import Apart
from recoup.store import alerts as stored
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.worker import loop
from tests.casework.looking import grown, look_held_up, weeks
from tests.insight.crafted import NOW, keep, standing_at_now
from tests.support import house as houses
from tests.support.waiting import until

FRANCE = "failure_spike:country:FR"


@pytest.fixture
def house(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("RECOUP_INSIGHT_DIR", str(tmp_path))
    with houses.standing(database_url, clock=houses.FakeClock(NOW)) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    made = standing_at_now(house)
    keep(house, made, weeks(outage=True))
    return made


@contextmanager
def held_up(house: House, merchant: Merchant) -> Iterator[None]:
    """Whoever looks at this merchant waits meanwhile."""
    here = extract.home(house.db) / merchant.id
    here.mkdir(parents=True, exist_ok=True)
    with (here / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked about yet (a zombie) has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _looks_like_a_worker(house: House, merchant: Merchant, *, apart: bool) -> tuple[list[str], float, bool]:
    """In a process that has done nothing before: the alerts found, by how much its memory grew, whether it holds DuckDB."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    url = house.db.url.render_as_string(hide_password=False)
    child = context.Process(target=grown, args=(url, merchant.id, apart, theirs))
    child.start()
    theirs.close()
    found: tuple[list[str], float, bool] = ours.recv()
    child.join()
    return found


def test_the_same_is_found_and_the_worker_does_not_grow_by_it(house: House, merchant: Merchant) -> None:
    kinds, grown_apart, loaded = _looks_like_a_worker(house, merchant, apart=True)
    assert FRANCE in kinds
    assert not loaded, "DuckDB is of no use to a worker"
    assert grown_apart < 20
    within, grown_within, loaded = _looks_like_a_worker(house, merchant, apart=False)
    assert within == kinds
    assert loaded
    assert grown_within > grown_apart + 20, "the measure sees what a look takes"


def test_a_process_serves_one_round_and_is_gone_after_it(house: House, merchant: Merchant) -> None:
    looks = Apart()
    looks.holding(house, merchant)
    pid = looks.pid or 0
    looks.holding(house, merchant)
    assert looks.pid == pid
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0), "it gives way"
    looks.let_go()
    assert gone(pid)


def test_where_little_fails_no_process_is_started(house: House) -> None:
    looks = Apart()
    assert looks.holding(house, standing_at_now(house)) == []
    assert looks.pid is None


def _asked_while_held_up(
    house: House, merchant: Merchant, looks: Apart, then: Callable[[int], object]
) -> list[list[Alert] | None]:
    found: list[list[Alert] | None] = []
    with held_up(house, merchant):
        asking = Thread(target=lambda: found.append(looks.holding(house, merchant)))
        asking.start()
        until(lambda: looks.pid, "a process that looks")
        pid = looks.pid
        assert pid is not None
        then(pid)
        asking.join()
        assert gone(pid)
    return found


def test_a_process_that_is_killed_is_no_fault_of_the_worker(
    house: House, merchant: Merchant, capfd: pytest.CaptureFixture[str]
) -> None:
    """What stood goes on standing, for nobody knows better; and the next look is as any other."""
    looks = Apart()
    staff_mail.look_after(house, merchant, looks.holding)
    looks.let_go()
    assert _asked_while_held_up(house, merchant, looks, lambda pid: os.kill(pid, signal.SIGKILL)) == [None]
    assert "exit code -9" in "".join(capfd.readouterr())
    staff_mail.look_after(house, merchant, lambda house, merchant: None)
    with reading(house.db) as tx:
        kept = stored.standing(tx, merchant.id)
    assert kept[FRANCE].cleared_at is None
    assert FRANCE in {a.kind for a in looks.holding(house, merchant) or ()}
    looks.let_go()
    staff_mail.look_after(house, merchant, lambda house, merchant: [])
    with reading(house.db) as tx:
        assert stored.standing(tx, merchant.id)[FRANCE].cleared_at is not None


def test_a_look_that_takes_too_long_is_ended(
    house: House, merchant: Merchant, capfd: pytest.CaptureFixture[str]
) -> None:
    looks = Apart(patience_s=0.1)
    assert _asked_while_held_up(house, merchant, looks, lambda pid: until(lambda: gone(pid))) == [None]
    assert "no answer within" in "".join(capfd.readouterr())


def test_a_fault_at_one_merchant_is_told_and_the_next_is_looked_at(
    house: House, merchant: Merchant, capfd: pytest.CaptureFixture[str]
) -> None:
    looks = Apart()
    here = extract.home(house.db) / merchant.id
    here.mkdir(parents=True)
    (here / "lock").mkdir()
    assert looks.holding(house, merchant) is None
    assert "IsADirectoryError" in "".join(capfd.readouterr())
    pid = looks.pid
    (here / "lock").rmdir()
    assert looks.holding(house, merchant)
    assert looks.pid == pid
    looks.let_go()


def test_a_stopping_worker_ends_it_at_once(
    house: House, merchant: Merchant, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "EVERY_S", 0.01)
    worker = loop.Worker(house)
    with held_up(house, merchant):
        worker.start()
        until(lambda: worker._figures.pid, "a process that looks")
        pid = worker._figures.pid or 0
        worker.stop()
        assert gone(pid)
    assert "figures_not_looked_at" not in "".join(capfd.readouterr()), "a stop is no fault"


def test_a_running_worker_raises_what_the_process_finds(
    house: House, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EVERY_S", 0.01)
    worker = loop.Worker(house)
    worker.start()
    try:

        def raised() -> bool:
            with reading(house.db) as tx:
                return FRANCE in stored.standing(tx, merchant.id)

        until(raised, "the alert")
    finally:
        worker.stop()


def test_it_ends_with_a_worker_that_is_killed(house: House, merchant: Merchant) -> None:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    url = house.db.url.render_as_string(hide_password=False)
    with held_up(house, merchant):
        worker = context.Process(target=look_held_up, args=(url, merchant.id, theirs))
        worker.start()
        pid: int = ours.recv()
        worker.kill()
        worker.join()
        until(lambda: gone(pid), "the end of the process")


def test_one_worker_of_many_looks_after_staff(house: House, merchant: Merchant) -> None:
    """Each worker would refresh the figures of its own machine; one of them is enough."""
    from recoup.worker.watch import STAFF_EVERY, Watch

    asked: list[str] = []

    def by(name: str) -> Callable[[House, Merchant], list[Alert]]:
        return lambda house, merchant: asked.append(name) or []  # type: ignore[func-returns-value]

    one, other = Watch(house, by("one")), Watch(house, by("other"))
    one.staff_round()
    other.staff_round()
    assert asked == ["one"]
    houses.clock_of(house).forward(STAFF_EVERY)
    other.staff_round()
    one.staff_round()
    assert asked == ["one", "other"]
    assert alerts.OF_FIGURES in FRANCE
