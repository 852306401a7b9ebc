"""Puts a world behind every door of a house, and a step at everything that takes its time while messages are sent."""

from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from recoup.engine import compose, letters, looking, outcomes, speak
from recoup.engine.house import House
from recoup.engine.pushing import PushDoor
from recoup.psp import port
from recoup.psp.sandbox import Sandbox
from recoup.store import leaving
from recoup.store.boxes import OutItem
from tests.properties.late_world import CONNECTIONS, World
from tests.support.interleaving import Condition, Lock, Pool, watched


class Steps:
    """What is called in the place of the house's own functions: each tells the strand what it is at, and calls them."""

    def __init__(self, world: World) -> None:
        self.world, self.turns = world, world.turns
        self._debt, self._facts_of, self._message = Sandbox.debt, letters.facts_of, speak._Sending._message
        self._look, self._glance, self._put_out = looking.look, leaving.glance, outcomes.put_out

    def stand_in(self, houses: Iterable[House], monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on, for all houses of this process."""
        world, turns = self.world, self.turns
        for house in houses:
            watched(turns, house.db)
            for door in ("mail_door", "sms_door"):
                monkeypatch.setattr(house, door, lambda house, merchant: world)
        monkeypatch.setattr(PushDoor, "send_batch", lambda _, messages: world.send_batch(messages))
        monkeypatch.setattr(PushDoor, "connections", CONNECTIONS, raising=False)
        monkeypatch.setattr(speak, "FEW", 3)
        monkeypatch.setattr(speak, "Lock", partial(Lock, turns))
        monkeypatch.setattr(speak, "ThreadPoolExecutor", partial(Pool, turns))
        monkeypatch.setattr(outcomes, "threading", SimpleNamespace(Condition=partial(Condition, turns)))
        # A bound method would not be told whose it is.
        monkeypatch.setattr(Sandbox, "debt", lambda bank, debt_id: self.debt(bank, debt_id))  # noqa: PLW0108
        monkeypatch.setattr(speak._Sending, "_message", lambda batch, item: self.message(batch, item))  # noqa: PLW0108
        monkeypatch.setattr(compose, "facts_of", self.facts_of)
        monkeypatch.setattr(speak, "look", self.look)
        monkeypatch.setattr(leaving, "glance", self.glance)
        monkeypatch.setattr(outcomes, "put_out", self.put_out)

    def debt(self, bank: Sandbox, debt_id: str) -> Any:
        """The biller is asked; what was paid there it says."""
        case_id = f"c_{debt_id.removeprefix('in_')}"
        me = self.turns.strand
        if me is not None:
            self.at(case_id, "asking")
            me.asked[case_id] = self.turns.steps
        answer = self._debt(bank, debt_id)
        if case_id in self.world.at_biller and isinstance(answer, port.DebtState):
            return msgspec.structs.replace(answer, status="paid")
        return answer

    def at(self, case_id: str, phase: str) -> None:
        """After this somebody has to look once more."""
        me = self.turns.strand
        if me is not None:
            me.at_hand, me.phase, me.mark = me.at_hand | {case_id}, phase, None
            self.turns.step()

    def facts_of(self, house: House, merchant: Any, case: Any, *rest: Any, **more: Any) -> Any:
        """A letter is written."""
        self.at(case.id, "writing")
        return self._facts_of(house, merchant, case, *rest, **more)

    def look(self, house: House, tx: Any, merchant: Any, items: Any, now: Any) -> Any:
        """A batch that was taken is looked at, or one message again."""
        me = self.turns.strand
        if me is not None and not me.phase:
            me.at_hand, me.phase, me.looks = frozenset(item.case_id for item in items), "taken", True
        else:
            self.looks()
        return self._look(house, tx, merchant, items, now)

    def glance(self, tx: Any, merchant_id: str, whom: Any) -> Any:
        """The one short look before it leaves."""
        self.looks()
        return self._glance(tx, merchant_id, whom)

    def looks(self) -> None:
        """The next statement is the look that counts."""
        me = self.turns.strand
        if me is not None:
            me.looks, me.phase = True, "looking"

    def put_out(self, house: House, merchant: Any, left: Any, *rest: Any) -> None:
        """What left is written down."""
        self._put_out(house, merchant, left, *rest)
        self.world.written(one.item.once_key for one in left)

    def message(self, sending: speak._Sending, item: OutItem) -> Any:
        """A message is made: alone or as a digest of several."""
        found = self._message(sending, item)
        if found is not None:
            told = (other.item.once_key for other in found[0].told)
            self.world.digests[item.once_key] = frozenset(told)
        return found
