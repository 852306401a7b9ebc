"""Plays the sandbox's customers against a house on a test clock: they fail to pay, read, act, and sometimes leave."""

import heapq
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from recoup.domain.case import CLOSED, Case
from recoup.domain.instants import text
from recoup.domain.view import Trigger
from recoup.engine import operate, receive, timeline
from recoup.engine.house import House
from recoup.lab.lives import Failure, fresh_card
from recoup.lab.town import LEAVES_IN
from recoup.psp.sandbox import Sandbox
from recoup.psp.sandbox_cards import AS_LIVED
from recoup.store import cases, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant

SEEN = frozenset({"sent", "delivered", "opened", "clicked"})

Deed = Literal["fails", "updater", "pays", "leaves"]


class Act(msgspec.Struct, frozen=True, order=True):
    """Something a customer or their bank does at an instant."""

    at: datetime
    case_id: str
    deed: Deed


class People:
    """Everybody around one merchant. `play_until` moves the merchant's test clock and everyone's lives with it."""

    def __init__(self, house: House, merchant: Merchant, sandbox: Sandbox, failures: list[Failure]) -> None:
        self._house = house
        self._id = merchant.id
        self._sandbox = sandbox
        self._failures = {f.view.case_id: f for f in failures}
        self._acts = [Act(f.at, f.view.case_id, "fails") for f in failures]
        heapq.heapify(self._acts)
        self._open: set[str] = set()
        """Cases that have begun and are not known to be over."""
        self._read: dict[str, int] = {}
        self._leaving: set[str] = set()

    @property
    def open_cases(self) -> set[str]:
        """Cases that have begun and were not over at the last look."""
        return set(self._open)

    def play_until(self, end: datetime, watch: Callable[[datetime], None] = lambda now: None) -> None:
        """Plays everything that happens up to `end`, in order; `watch` is told each instant."""
        while True:
            merchant = self._merchant()
            timeline.settle(self._house, merchant.id)
            self._look(merchant)
            alarm = timeline.next_alarm(self._house, merchant)
            coming = min(
                (t for t in (alarm, self._acts[0].at if self._acts else None) if t is not None), default=end
            )
            if coming > end:
                self._set_clock(end)
                watch(end)
                return
            self._set_clock(coming)
            watch(coming)
            while self._acts and self._acts[0].at <= coming:
                self._do(heapq.heappop(self._acts))

    def _merchant(self) -> Merchant:
        return receive.merchant_named(self._house, self._id)

    def _set_clock(self, to: datetime) -> None:
        with writing(self._house.db) as tx:
            now = merchants.get(tx, self._id).clock_now
            if now is not None and to > now:
                merchants.change(tx, self._id, clock_now=to)

    def _look(self, merchant: Merchant) -> None:
        """What each open case's customer makes of what has reached them since the last look."""
        assert merchant.clock_now is not None
        with reading(self._house.db) as tx:
            found = cases.load(tx, merchant.id, sorted(self._open))
        for case in found.values():
            if case.state in CLOSED:
                self._open.discard(case.id)
                continue
            life = self._failures[case.id].life
            reached = [m for m in case.messages if m.status in SEEN]
            for number in range(self._read.get(case.id, 0) + 1, len(reached) + 1):
                acts_at = life.acts_on(number, merchant.clock_now)
                if acts_at is not None:
                    heapq.heappush(self._acts, Act(acts_at, case.id, "pays"))
            self._read[case.id] = len(reached)
            declines = sum(a.trigger is Trigger.RECOUP for a in case.attempts)
            told = [m.at for m in reached]
            if case.id not in self._leaving and life.leaves_after(told, declines):
                self._leaving.add(case.id)
                heapq.heappush(self._acts, Act(merchant.clock_now + LEAVES_IN, case.id, "leaves"))

    def _do(self, act: Act) -> None:
        failure = self._failures[act.case_id]
        if act.deed == "fails":
            self._sandbox.bank.register(failure.view.debt, failure.life)
            self._open.add(act.case_id)
            self._tell(
                "payment.failed", act, msgspec.to_builtins(msgspec.structs.replace(failure.view, now=act.at))
            )
            for at, deed in ((failure.life.updater_at, "updater"), (failure.life.self_cure_at, "pays")):
                if at is not None:
                    heapq.heappush(self._acts, Act(at, act.case_id, deed))  # type: ignore[arg-type]  # one of the deeds this loop names
        elif act.deed == "leaves":
            self._tell("subscription.canceled", act, {"subscription_id": failure.view.debt.subscription_id})
        else:
            case = self._case(act.case_id)
            if case is not None and case.state not in CLOSED:
                self._new_card(case, failure, pays=act.deed == "pays")

    def _tell(self, kind: str, act: Act, data: object) -> None:
        merchant = self._merchant()
        raw, headers = self._sandbox.notice(
            kind,
            event_id=f"evt_{act.case_id}_{act.deed}",
            at=act.at,
            data=data,
            sent_at=self._house.clock.now(),
        )
        receive.webhook(self._house, merchant, raw, headers)

    def _case(self, case_id: str) -> Case | None:
        with reading(self._house.db) as tx:
            return cases.load(tx, self._id, [case_id]).get(case_id)

    def _new_card(self, case: Case, failure: Failure, *, pays: bool) -> None:
        """The customer gives a new card and pays, or names the day their money comes; or the updater brings a card."""
        merchant = self._merchant()
        now = merchant.clock_now
        assert now is not None
        day = failure.life.pays_on(now) if pays else None
        try:
            if day is not None:
                operate.promise(self._house, merchant, case.id, actor="customer", pay_at=day)
                return
            card = fresh_card(failure, now, len(case.methods))
            self._sandbox.bank.keep_method(case.customer.id, card, AS_LIVED)
            actor = "customer" if pays else "provider:sandbox"
            operate.give_method(self._house, merchant, case.id, card, actor=actor)
            if pays:
                operate.retry(
                    self._house,
                    merchant,
                    case.id,
                    actor="customer",
                    trigger=Trigger.CUSTOMER,
                    method_id=card.id,
                )
        except operate.NotAllowed:
            return


def stamp(at: datetime) -> str:
    """An instant for a progress line."""
    return text(at)[:16].replace("T", " ")
