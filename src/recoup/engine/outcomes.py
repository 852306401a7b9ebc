"""Writes down what became of messages: those that left over several connections at once are written in one transaction."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels import port as mail
from recoup.domain import facts as f
from recoup.domain.case import Case
from recoup.engine import notices, reach, recipients, silence, sms_news
from recoup.engine.house import House
from recoup.engine.looking import Looked
from recoup.engine.planning import ENGINE
from recoup.engine.recheck import Verdict
from recoup.engine.shut import pause
from recoup.engine.together import TOLD, told_of
from recoup.store import boxes, cases, leaving
from recoup.store.boxes import OutItem
from recoup.store.cases import Change
from recoup.store.customers import Contact
from recoup.store.engines import writing, writing_on
from recoup.store.leaving import Gone
from recoup.store.merchants import Merchant

MOST_REFUSALS = 5
GATHER_S = 0.005
"""How long a message that left waits at most for those of the other connections, to be written down with them."""


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way out: by which channel, to whom, the messages that it tells of too, and its sides in tests of words."""

    item: OutItem
    case: Case
    channel: str
    reader: Contact
    told: tuple[Looked, ...] = ()
    arms: tuple[str, ...] = ()

    @property
    def door(self) -> str:
        return silence.door_of(self.channel)


class Book:
    """Where several senders write down that messages left: each waits until its own is kept, and what they have sent at
    about the same time goes into one transaction together."""

    def __init__(self, write: Callable[[list[Leaving]], None], senders: int = 1) -> None:
        self._write = write
        self._senders = senders
        self._turn = threading.Condition()
        self._waiting: list[_Entry] = []
        self._busy = False

    def keep(self, leaving: Leaving) -> None:
        """Returns once it is written down. Raises what kept it from being written."""
        entry = _Entry(leaving)
        with self._turn:
            self._waiting.append(entry)
            self._turn.notify_all()
            while self._busy and not entry.done:
                self._turn.wait()
            if not entry.done:
                self._busy = True
                self._turn.wait_for(lambda: len(self._waiting) >= self._senders, GATHER_S)
                mine, self._waiting = self._waiting, []
        if not entry.done:
            try:
                self._keep_all(mine)
            finally:
                with self._turn:
                    self._busy = False
                    self._turn.notify_all()
        if entry.fault is not None:
            raise entry.fault

    def one_less(self) -> None:
        """A sender has ended: nobody waits for it any more."""
        with self._turn:
            self._senders -= 1
            self._turn.notify_all()

    def _keep_all(self, entries: "list[_Entry]") -> None:
        """All in one transaction; where that fails each in its own, so that one that cannot be written spoils no other."""
        try:
            self._write([entry.leaving for entry in entries])
        except Exception as fault:
            for entry in entries:
                entry.fault = fault if len(entries) == 1 else self._alone(entry)
        except BaseException as fault:
            for entry in entries:
                entry.fault = fault
        for entry in entries:
            entry.done = True

    def _alone(self, entry: "_Entry") -> BaseException | None:
        try:
            self._write([entry.leaving])
        except Exception as fault:
            return fault
        return None


class _Entry:
    def __init__(self, leaving: Leaving) -> None:
        self.leaving = leaving
        self.done = False
        self.fault: BaseException | None = None


def put_out(house: House, merchant: Merchant, left: Sequence[Leaving], connection: Connection) -> None:
    """Writes down that messages left, withdraws what they told of, and queues their copies: one transaction.

    Hardly ever has anyone moved one of these cases since the last look at them: they are taken as they were then, and only
    when the write finds another version are they locked and read again.
    """
    # To write a case locks it. A copy, and what a digest told of, is written without, and needs its case locked first.
    plain = all(one.item.kind == "message" and not one.told for one in left)
    try:
        back = _put_out(house, merchant, left, connection, read_again=not plain)
    except cases.Overtaken:
        back = _put_out(house, merchant, left, connection, read_again=True)
    for key, row in back.items():
        why = reach.notes_of(row.item).back
        if why:
            sms_news.take(house, merchant, mail.SmsNews(what="undelivered", message=key, why=why))


def _put_out(
    house: House, merchant: Merchant, left: Sequence[Leaving], connection: Connection, *, read_again: bool
) -> dict[str, leaving.Waiting]:
    """The text messages among them as they are now."""
    now = merchant.now(house.clock.now())
    found = {case.id: case for one in left for case in (one.case, *(other.case for other in one.told))}
    with writing_on(connection) as tx:
        if read_again:
            found = cases.fresh(tx, merchant.id, found)
        changes = {case_id: cases.change(case) for case_id, case in found.items()}
        for one in left:
            told = _digest(one) or ""
            _note(changes, one.item, "sent", told, now, channel=one.channel, arms=one.arms)
            for item in (item for other in one.told for item in told_of(other)):
                if boxes.told_elsewhere(tx, item, now, why=TOLD):
                    _note(changes, item, "withdrawn", TOLD, now)
        moved = [change for change in changes.values() if change.facts]
        cases.save(tx, moved)
        leaving.gone(tx, [_gone(house, merchant, one) for one in left], now)
        beside = leaving.beside(tx, merchant.id, {one.case.customer.id for one in left})
        if beside.listening:
            notices.tell(house, tx, merchant.id, moved, now)
        if beside.named:
            recipients.copies(tx, merchant, [(one.case, one.item) for one in left], now)
        texts = [one.item.once_key for one in left if one.channel == reach.SMS]
        return leaving.waiting(tx, merchant.id, texts) if texts else {}


def _digest(one: Leaving) -> str | None:
    return f"a digest of {len(one.told) + 1} open payments" if one.told else None


def _gone(house: House, merchant: Merchant, one: Leaving) -> Gone:
    """What is kept of a message that left: also whom the person is counted by, for everybody's budget. A merchant on a test
    clock counts for itself."""
    item, reader = one.item, one.reader
    # A copy keeps saying for whom it is, and a message why it went by another channel.
    said = item.why if item.kind == "copy" or reach.notes_of(item).not_by else _digest(one)
    known = (None, None) if merchant.on_test_clock else (reader.email, reader.phone)
    address, phone = (house.links.address_digest(each) if each else None for each in known)
    return Gone(item=item, channel=one.channel, why=said, address=address, phone=phone)


def sent(
    house: House, merchant: Merchant, book: Book, one: Leaving, result: mail.MailResult, spread: float
) -> None:
    """Writes down what became of one message before the next leaves over its connection."""
    item = one.item
    match result:
        case mail.Sent():
            book.keep(one)
        case mail.Unclear(why=why):
            # Never lost is worth more than never twice: it goes again, under the same name where the channel knows one.
            put_back(house, merchant, item, f"perhaps delivered, perhaps not: {why}", spread)
        case mail.NotSent(why=why):
            now = merchant.now(house.clock.now())
            body = _noted(item, one.channel, now)
            with writing(house.db) as tx:
                boxes.again(tx, item, now + pause(item.tries, spread), why=why, body=body)
        case mail.Refused(permanent=False, text=text) if item.tries < MOST_REFUSALS:
            put_back(house, merchant, item, f"{one.door} said not now: {text}", spread)
        case mail.Refused():
            _refused(house, merchant, one, result)


def _refused(house: House, merchant: Merchant, one: Leaving, refusal: mail.Refused) -> None:
    """A no for good: another channel of the customer's, else another person, never silence."""
    now, item = merchant.now(house.clock.now()), one.item
    why = f"{one.door} refused it: {refusal.text}"
    with writing(house.db) as tx:
        _lock(tx, merchant, item)
        if refusal.about == "recipient":
            silence.refused(house, tx, merchant, one.reader, one.channel, refusal, now)
        by = recipients.another_way(house, tx, merchant, one.case, item, now, not_by=one.channel)
        if by is not None:
            return
        boxes.done(tx, item, now, status="failed", why=why)
        _moved(house, tx, merchant, item, "failed", why, now)
        if refusal.about == "recipient":
            recipients.instead(house, tx, merchant, one.case, item, now)


def not_now(house: House, merchant: Merchant, item: OutItem, case: Case, verdict: Verdict) -> None:
    """Writes down why a message does not leave, and finds somebody else where no channel reaches its customer."""
    if verdict.say == "wait":
        assert verdict.at is not None
        with writing(house.db) as tx:
            boxes.again(tx, item, verdict.at, why=verdict.why, counts=False)
        return
    # One transaction: a crash must not withdraw the message and find nobody else.
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        _lock(tx, merchant, item)
        if not boxes.waits(tx, item):
            return
        boxes.done(tx, item, now, status="withdrawn", why=verdict.why)
        _moved(house, tx, merchant, item, "withdrawn", verdict.why, now)
        if verdict.say == "nobody":
            recipients.instead(house, tx, merchant, case, item, now)


def wait_for(
    house: House, merchant: Merchant, items: Sequence[OutItem], channel: str, now: datetime, until: datetime
) -> None:  # fmt: skip
    """Puts back, untried, what waits at a door that nobody opens, and notes since when: after a while its next channel is tried."""
    why = f"{silence.door_of(channel)} cannot be reached"
    with writing(house.db) as tx:
        cases.lock(tx, merchant.id, {item.case_id for item in items})
        noted = [(item, _noted(item, channel, now)) for item in items]
        leaving.put_back(tx, noted, until, worker=house.worker_id, why=why)


def _noted(item: OutItem, channel: str, now: datetime) -> str:
    return reach.shut_at(item, channel, now) if item.kind == "message" else item.body


def put_back(house: House, merchant: Merchant, item: OutItem, why: str, spread: float) -> None:
    """Has a message go again after a pause that grows with its tries."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        boxes.again(tx, item, now + pause(item.tries, spread), why=why)


def failed(house: House, merchant: Merchant, item: OutItem, why: str) -> None:
    """Writes down that a message cannot be made, in the outbox and in the case's life, in one transaction."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        _lock(tx, merchant, item)
        if boxes.waits(tx, item):
            boxes.done(tx, item, now, status="failed", why=why)
            _moved(house, tx, merchant, item, "failed", why, now)


def _lock(tx: Connection, merchant: Merchant, item: OutItem) -> None:
    """Locks the case of a letter before the letter: see `cases.lock_of_letters`."""
    cases.load(tx, merchant.id, [item.case_id], lock=True)


def _moved(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, status: str, why: str, now: datetime
) -> None:
    change = cases.change(cases.one(tx, merchant.id, item.case_id, lock=True))
    _note({change.case.id: change}, item, status, why, now)
    cases.save(tx, [change])
    notices.tell(house, tx, merchant.id, [change], now)


def _note(
    changes: dict[str, Change], item: OutItem, status: str, why: str, now: datetime, *,
    channel: str | None = None, arms: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """The fact of a message; a copy is no message of the case's own, and stands in the outbox only."""
    if item.kind == "message":
        moved = f.MessageMoved(
            at=now, actor=ENGINE, message_id=item.once_key, status=status, why=why, channel=channel, arms=arms
        )
        changes[item.case_id].add(moved)
