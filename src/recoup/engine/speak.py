"""Carries the outbox out: everything is checked again at the moment of sending, then sent once.

What a batch knows of its messages is read at once. Then each is written, the biller is asked, and one short look says
whether anything has moved since; where it has, everything is read again. Only then it leaves. A door that takes several
connections is sent through by as many threads, and what one person is told goes over one of them.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Lock
from typing import NamedTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from recoup.channels import port as mail
from recoup.channels.facts import BadFacts
from recoup.channels.words import NotToBeSaid, Wording
from recoup.domain.case import State
from recoup.domain.experiment import Plan
from recoup.domain.policy import CHANNELS
from recoup.engine import endings, expiring, outcomes, reach, winback
from recoup.engine.charge import BELIEVE_DUE_FOR
from recoup.engine.compose import Asked, Written, compose, connections_of, door_of
from recoup.engine.house import House
from recoup.engine.looking import Found, Looked, NotOurs, look, unmoved
from recoup.engine.outcomes import Book, Leaving
from recoup.engine.recheck import ANSWER_SOON, RECEIPT, SEND, Verdict, still_due
from recoup.engine.record import bring_up_to_date
from recoup.engine.shut import spread
from recoup.engine.together import WITHIN, companions
from recoup.psp import port
from recoup.store import boxes, cases, experiments, heartbeat, leaving, reserved
from recoup.store import wordings as own_words
from recoup.store.boxes import OutItem
from recoup.store.engines import glancing, reading, writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

OUTAGE = 2
"""So many messages running that a door did not take mean that the others need not be tried now."""
FEW = 10
"""A further connection is opened for every so many messages."""
LOOKS = 3
"""So often a message is made anew because something has moved; then it waits a moment."""
POISON = (sa.exc.DataError, sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.NotSupportedError)
"""What the database says of one wrong value; anything else of its own is trouble that passes, and no fault of a message."""


class Said(NamedTuple):
    """What a batch of messages is said with: the merchant's own words by language, and the tests of other ones."""

    wordings: Mapping[str, Wording]
    tests: Sequence[Plan]


def speak(house: House, merchant: Merchant, *, limit: int = 100) -> int:
    """Carries out up to `limit` due outbox items of `merchant`; how many were taken."""
    real = house.clock.now()
    now = merchant.now(real)
    with writing(house.db) as tx:
        # One turn at a time: what we hold of this merchant already was left behind by a commit whose answer was lost.
        live = [w for w in heartbeat.live(tx, real) if w != house.worker_id]
        items = boxes.take(tx, merchant.id, now, worker=house.worker_id, live=live, limit=limit)
    for item in items:
        if item.kind not in boxes.MESSAGES:
            _carry_out(house, merchant, item)
    letters = [item for item in items if item.kind in boxes.MESSAGES]
    if letters:
        _send_all(house, merchant, letters)
    return len(items)


def _carry_out(house: House, merchant: Merchant, item: OutItem) -> None:
    """An ending, or a notice of a card that expires; one that meets a fault of ours waits, and stops no other."""
    try:
        if item.kind == "ending" and _still_unpaid(house, merchant, item):
            endings.carry_out(house, merchant, item)
        if item.kind == expiring.KIND:
            expiring.carry_out(house, merchant, item)
    except Exception as fault:
        log.exception("outbox item set aside", item=item.once_key, fault=type(fault).__name__)
        why = f"a fault in the house ({type(fault).__name__})"
        outcomes.put_back(house, merchant, item, why, spread())


def _still_unpaid(house: House, merchant: Merchant, item: OutItem) -> bool:
    """Whether the biller could be asked again, where an ending has waited: what was paid meanwhile is taken in, and ends nothing."""
    now = merchant.now(house.clock.now())
    if now - item.created_at <= BELIEVE_DUE_FOR:
        return True
    with reading(house.db) as tx:
        case = cases.one(tx, merchant.id, item.case_id)
    if case.state is not State.LOST:
        return True
    debt = house.gateway(merchant).debt(case.debt.id)
    if isinstance(debt, port.DebtState):
        bring_up_to_date(house, merchant, case.id, debt)
        return True
    why = f"the biller could not be asked whether it is still due: {debt.why}"
    outcomes.put_back(house, merchant, item, why, spread())
    return False


def _send_all(house: House, merchant: Merchant, items: list[OutItem]) -> None:
    """Looks at all at once, and brings each to the door it is meant for now; what cannot be told is said behind the first."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        found = look(house, tx, merchant, items, now)
        customers = {each.case.customer.id for each in found.values() if isinstance(each, Looked)}
        others = leaving.with_others(tx, merchant.id, customers, now + WITHIN)
        said = Said(own_words.by_language(tx, merchant.id), experiments.worded(tx, merchant.id))
    groups: dict[str, list[OutItem]] = {}
    for item in _reserved(house, merchant, items, found, now):
        each = found[item.once_key]
        channel = each.channel if isinstance(each, Looked) else None
        groups.setdefault(channel or reach.EMAIL, []).append(item)
    for channel, mine in groups.items():
        _Sending(house, merchant, channel, said, found, others).send(mine)


def _reserved(
    house: House, merchant: Merchant, items: Sequence[OutItem], found: Found, now: datetime
) -> list[OutItem]:
    """The messages whose people nobody else writes to at this moment; the others are put back for a moment.

    A merchant on a test clock counts for itself, and one worker plays its clock.
    """
    seen = {key: each for key, each in found.items() if isinstance(each, Looked) and each.reader is not None}
    if merchant.on_test_clock or not seen:
        return list(items)
    with writing(house.db) as tx:
        free = reserved.reserve(tx, merchant.id, house.worker_id, [each.whom for each in seen.values()])
    for key in seen.keys() - free:
        beside = Verdict("wait", reserved.BUSY, now + ANSWER_SOON)
        outcomes.not_now(house, merchant, seen[key].item, seen[key].case, beside)
    return [item for item in items if item.once_key not in seen or item.once_key in free]


class _Sending:
    """One batch of messages by one channel, over as many connections as its door takes and the batch is worth.

    What one person is told goes over one connection, one after the other: so that no budget is overdrawn and nothing is
    told twice, in a digest and by itself.
    """

    def __init__(
        self, house: House, merchant: Merchant, channel: str, said: Said, found: Found, others: frozenset[str]
    ) -> None:
        self._house, self._merchant, self._channel = house, merchant, channel
        self._said, self._found, self._others = said, found, others
        self._door = door_of(house, merchant, channel)
        self._book = Book(self._write)
        self._glances: Connection
        """The connection of all last looks, one at a time."""
        self._glancing = Lock()
        self._writes: Connection
        """The connection by which the book is written."""
        self._told: set[str] = set()
        """The messages that a digest of this very batch has told of."""
        self._spread = spread()
        self._missed = 0
        self._stopped = False
        self._shut: datetime | None = None
        """Until when nobody is expected at the door."""

    def send(self, items: Sequence[OutItem]) -> None:
        """Sends them, or puts them back while nobody is at the door. Raises what kept one of the connections from going on."""
        waiting = deque(self._by_person(items))
        self._shut = self._house.shut_doors.until(self._merchant, self._channel, self._now())
        if self._shut is None:
            self._send(waiting, min(self._most_lines(), len(waiting), 1 + len(items) // FEW))
        if self._shut is not None and waiting:
            left = [item for person in waiting for item in person]
            outcomes.wait_for(self._house, self._merchant, left, self._channel, self._now(), self._shut)

    def _most_lines(self) -> int:
        doubtful = self._house.shut_doors.doubtful(self._merchant, self._channel)
        return 1 if doubtful else connections_of(self._door)

    def _send(self, waiting: deque[deque[OutItem]], lines: int) -> None:
        self._book = Book(self._write, senders=lines)
        with glancing(self._house.db) as self._glances, self._house.db.connect() as self._writes:
            if lines == 1:
                self._line(waiting)
            else:
                with ThreadPoolExecutor(lines, thread_name_prefix="line") as pool:
                    ends = [pool.submit(self._line, waiting) for _ in range(lines)]
                for end in ends:
                    end.result()

    def _write(self, left: Sequence[Leaving]) -> None:
        outcomes.put_out(self._house, self._merchant, left, self._writes)

    def _by_person(self, items: Sequence[OutItem]) -> list[deque[OutItem]]:
        """The messages by whom they go to: who shares a customer, an address or a number is one person."""
        people: dict[str, deque[OutItem]] = {}
        for item in items:
            each = self._found[item.once_key]
            reader = each.reader if isinstance(each, Looked) else None
            names = [f"/{item.customer_id}"]
            if reader is not None:
                names += [f"@{reader.email.strip().casefold()}"] if reader.email else []
                names += [f"+{reader.phone}"] if reader.phone else []
            known = {id(people[name]): people[name] for name in names if name in people}
            person, *others = known.values() or (deque[OutItem](),)
            for other in others:
                person += other
            person.append(item)
            if others:  # seldom: somebody who was known by one name is somebody else by another
                gone = {id(other) for other in others}
                people |= {name: person for name, mine in people.items() if id(mine) in gone}
            people |= dict.fromkeys(names, person)
        place = {item.once_key: nth for nth, item in enumerate(items)}
        found = {id(person): person for person in people.values()}.values()
        return [deque(sorted(person, key=lambda item: place[item.once_key])) for person in found]

    def _line(self, waiting: deque[deque[OutItem]]) -> None:
        """Sends over one connection; each result is written down before the next message leaves over it."""
        out: list[Leaving] = []
        try:
            for result in self._door.send_batch(self._messages(waiting, out)):
                outcomes.sent(self._house, self._merchant, self._book, out[-1], result, self._spread)
                self._heard(result)
        except BaseException:
            self._stopped = True  # the other connections finish what they have begun
            raise
        finally:
            self._book.one_less()

    def _messages(self, waiting: deque[deque[OutItem]], out: list[Leaving]) -> Iterator[mail.Message]:
        """The messages that may leave, each checked right before it does; the others are put back or withdrawn."""
        for item in self._items(waiting):
            try:
                made = self._message(item)
            except sa.exc.SQLAlchemyError as fault:
                if not isinstance(fault, POISON):
                    raise
                self._set_aside(item, fault)
            except Exception as fault:  # one message that cannot be made must not stop the others
                self._set_aside(item, fault)
            else:
                if made is not None:
                    out[:] = [made[0]]
                    self._told.update(other.item.once_key for other in made[0].told)
                    yield made[1]

    def _items(self, waiting: deque[deque[OutItem]]) -> Iterator[OutItem]:
        """The next message to look at, person by person. What was begun is left in `waiting` where sending stops."""
        while True:
            try:
                person = waiting.popleft()
            except IndexError:
                return
            while person:
                if self._stopped:
                    waiting.appendleft(person)
                    return
                yield person.popleft()

    def _set_aside(self, item: OutItem, fault: Exception) -> None:
        if isinstance(fault, NotOurs):
            return
        log.error("message set aside", message=item.once_key, fault=type(fault).__name__, exc_info=fault)
        plain = isinstance(fault, BadFacts | NotToBeSaid)
        why = str(fault) if plain else f"a fault in the house ({type(fault).__name__})"
        outcomes.failed(self._house, self._merchant, item, why)

    def _heard(self, result: mail.MailResult) -> None:
        """Whether somebody is at the door; where nobody is, what was not tried waits."""
        doors = self._house.shut_doors
        if not isinstance(result, mail.NotSent):
            self._missed = 0
            if not isinstance(result, mail.Unclear):
                doors.opened(self._merchant, self._channel)
            return
        self._missed += 1
        if (result.nobody or self._missed >= OUTAGE) and self._shut is None:
            self._stopped = True
            self._shut = doors.nobody(
                self._merchant, self._channel, self._now(), self._spread, sure=result.nobody
            )

    def _message(self, item: OutItem) -> tuple[Leaving, mail.Message] | None:
        """The finished message and what goes with it; None where it may not leave, which is then written down."""
        if item.once_key in self._told:
            return None
        looked = self._found[item.once_key]
        for _ in range(LOOKS):
            if isinstance(looked, Exception):
                raise looked
            now = self._now()
            verdict, together = self._asked(looked, now)
            if verdict.say != "send" or looked.reader is None:
                self._not_now(looked, verdict)
                return None
            written = self._written(looked, together, now)
            # Asking the biller and writing take their time: what has come in meanwhile is looked at once more.
            seen = self._still(looked, together)
            if seen is None:
                arms, told = written.arms, tuple(together)
                leaves = Leaving(
                    item=looked.item, case=looked.case, channel=self._channel, reader=looked.reader, told=told, arms=arms
                )  # fmt: skip
                return leaves, written.message
            looked = seen
        if isinstance(looked, Exception):
            raise looked
        why = "it is being changed again and again; it is looked at once more in a moment"
        self._not_now(looked, Verdict("wait", why, self._now() + ANSWER_SOON))
        return None

    def _now(self) -> datetime:
        return self._merchant.now(self._house.clock.now())

    def _verdict(self, looked: Looked, now: datetime) -> Verdict:
        """What would go by another channel by now goes to that one's door at once."""
        verdict, first = looked.verdict(now), self._found.get(looked.item.once_key)
        if verdict.say == "send" and isinstance(first, Looked) and looked.person != first.person:
            return Verdict(
                "wait", "the customer is reached elsewhere by now; who that is is looked at anew", now
            )
        if verdict.say == "send" and looked.channel != self._channel:
            channel = CHANNELS[looked.channel or self._channel]
            return Verdict("wait", f"it goes by {channel} by now", now)
        return verdict

    def _asked(self, looked: Looked, now: datetime) -> tuple[Verdict, list[Looked]]:
        """What the house knows against a message, and what the biller says of it; and what may be told with it."""
        verdict, together = self._verdict(looked, now), list[Looked]()
        if verdict.say != "send":
            return verdict, together
        if looked.case.customer.id in self._others:
            with reading(self._house.db) as tx:
                together = companions(self._house, tx, self._merchant, looked, now)
        if looked.item.step == RECEIPT:
            return SEND, together
        gateway = self._house.gateway(self._merchant)
        verdict = still_due(gateway, looked.case, now, over=looked.item.step == winback.STEP)
        return verdict, [each for each in together if still_due(gateway, each.case, now).say == "send"]

    def _written(self, looked: Looked, together: Sequence[Looked], now: datetime) -> Written:
        assert looked.reader is not None
        asked = Asked(
            item=looked.item, case=looked.case, others=[each.case for each in together], reader=looked.reader,
            wordings=self._said.wordings, tests=self._said.tests, now=now,
        )  # fmt: skip
        return compose(self._house, self._merchant, self._channel, asked)

    def _still(self, looked: Looked, together: Sequence[Looked]) -> Looked | Exception | None:
        """The last look before it leaves: None where all is as it was when the message was made, else how it is now."""
        house, merchant, now = self._house, self._merchant, self._now()
        if not together and self._verdict(looked, now).say == "send":
            with self._glancing:
                same = unmoved(self._glances, merchant, looked)
                self._glances.rollback()  # SQLite would go on seeing what it saw
            if same:
                return None
        with reading(house.db) as tx:
            seen = look(house, tx, merchant, [looked.item, *(each.item for each in together)], now)
        for before in (looked, *together):
            after = seen[before.item.once_key]
            if isinstance(after, Exception) or not after.same_as(before):
                return seen[looked.item.once_key]
            if self._verdict(after, now).say != "send":
                return seen[looked.item.once_key]
        return None

    def _not_now(self, looked: Looked, verdict: Verdict) -> None:
        outcomes.not_now(self._house, self._merchant, looked.item, looked.case, verdict)
        if verdict.due is not None:
            bring_up_to_date(self._house, self._merchant, looked.case.id, verdict.due)
