"""What looks at figures in a process of its own: nine weeks with an outage, and processes that ask as a worker does."""

import signal
import sys
from multiprocessing.connection import Connection as Wire
from pathlib import Path
from threading import Thread

from recoup.insight.apart import Apart
from recoup.insight.holding import holding
from recoup.store import merchants
from recoup.store.engines import reading
from tests.insight.crafted import NOW, Story, story
from tests.support import house as houses
from tests.support.waiting import until


def weeks(outage: bool) -> list[Story]:
    """Eight usual weeks of 25 failures a day in two countries, and a ninth."""
    told = []
    for week in range(9):
        for country, usual in (("DE", 30), ("FR", 25)):
            many = usual * 3 if outage and week == 0 and country == "FR" else usual
            told += [
                story(
                    f"{week}{country}{k}",
                    "O" if week < 1 else "R",
                    age=7 * week + 0.4,
                    customer__country=country,
                )
                for k in range(many)
            ]
    return told


def _peak_mb() -> float:
    told = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    return int(told) / 1024


def grown(url: str, merchant_id: str, apart: bool, wire: Wire) -> None:
    with houses.standing(url, clock=houses.FakeClock(NOW)) as house:
        with reading(house.db) as tx:
            merchant = merchants.get(tx, merchant_id)
        looks = Apart()
        before = _peak_mb()
        found = looks.holding(house, merchant) if apart else holding(house, merchant)
        looks.let_go()
        wire.send(([a.kind for a in found or ()], _peak_mb() - before, "duckdb" in sys.modules))


def look_held_up(url: str, merchant_id: str, wire: Wire) -> None:
    with houses.standing(url, clock=houses.FakeClock(NOW)) as house:
        with reading(house.db) as tx:
            merchant = merchants.get(tx, merchant_id)
        looks = Apart()
        Thread(target=looks.holding, args=(house, merchant), daemon=True).start()
        until(lambda: looks.pid, "a process that looks")
        wire.send(looks.pid)
        signal.pause()
