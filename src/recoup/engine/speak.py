"""Carries the outbox out: everything is checked again at the moment of sending, then sent once."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy.engine import Connection

from recoup.channels import port as mail
from recoup.channels.facts import BadFacts
from recoup.channels.words import NotToBeSaid, Wording
from recoup.domain import facts as f
from recoup.domain.case import Case, State
from recoup.domain.experiment import Plan
from recoup.domain.policy import CHANNELS
from recoup.engine import endings, expiring, notices, reach, recipients, silence, sms_news, winback
from recoup.engine.charge import BELIEVE_DUE_FOR
from recoup.engine.compose import Asked, compose, door_of
from recoup.engine.house import House
from recoup.engine.ids import draw
from recoup.engine.planning import ENGINE
from recoup.engine.reach import Way
from recoup.engine.recheck import ANSWER_SOON, RECEIPT, Verdict, may_leave, still_due
from recoup.engine.record import bring_up_to_date
from recoup.engine.together import TOLD, companions
from recoup.psp import port
from recoup.store import boxes, cases, customers, experiments, heartbeat
from recoup.store import wordings as own_words
from recoup.store.boxes import OutItem
from recoup.store.customers import Contact
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

BACK_OFF = (timedelta(seconds=15), timedelta(minutes=1), timedelta(minutes=3), timedelta(minutes=5))
"""How long a message waits after the mail server could not be reached; the last one repeats, with jitter."""
MOST_REFUSALS = 5
OUTAGE = 2
"""So many letters running that found nobody at the mail server mean that the others need not be tried now."""


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way out: by which channel, to whom, the messages that it tells of too, and its sides in tests of words."""

    item: OutItem
    case: Case
    channel: str
    reader: Contact
    told: tuple[OutItem, ...] = ()
    arms: tuple[str, ...] = ()

    @property
    def door(self) -> str:
        return silence.door_of(self.channel)


class Said(NamedTuple):
    """What a batch of messages is said with: the merchant's own words by language, and the tests of other ones."""

    wordings: Mapping[str, Wording]
    tests: Sequence[Plan]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A message looked at: the case as it stands, whom it goes to and how, and what the house knows against it."""

    case: Case
    reader: Contact | None
    way: Way
    verdict: Verdict


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
    for channel, mine in _by_channel(house, merchant, [i for i in items if i.kind in boxes.MESSAGES]).items():
        _send(house, merchant, channel, mine)
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
        _put_back(house, merchant, item, f"a fault in the house ({type(fault).__name__})", _spread())


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
    _put_back(
        house, merchant, item, f"the biller could not be asked whether it is still due: {debt.why}", _spread()
    )
    return False


def _fact(house: House, tx: Connection, merchant: Merchant, case_id: str, fact: f.Fact) -> None:
    change = cases.change(cases.one(tx, merchant.id, case_id, lock=True))
    change.add(fact)
    cases.save(tx, [change])
    notices.tell(house, tx, merchant.id, [change], fact.at)


def _pause(tries: int, spread: float | None = None) -> timedelta:
    return BACK_OFF[min(tries, len(BACK_OFF) - 1)] * (_spread() if spread is None else spread)


def _spread() -> float:
    return 0.8 + 0.4 * draw()


def _by_channel(house: House, merchant: Merchant, items: list[OutItem]) -> dict[str, list[OutItem]]:
    """The messages by the door they are meant for now; each is looked at again right before it leaves."""
    groups: dict[str, list[OutItem]] = defaultdict(list)
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        found = cases.load(tx, merchant.id, [item.case_id for item in items])
        for item in items:
            groups[_door_for(house, tx, merchant, item, found.get(item.case_id), now)].append(item)
    return groups


def _door_for(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, case: Case | None, now: datetime
) -> str:
    """The channel whose door a message is brought to; what cannot be told is found out, and said, behind the first."""
    if case is None or item.kind == "copy":
        return reach.EMAIL
    try:
        if reach.by_mail_alone(house, tx, merchant, item, case, now):
            return reach.EMAIL
        return _met(house, tx, merchant, item, case, now)[1].channel or reach.EMAIL
    except (LookupError, ValueError):
        return reach.EMAIL


def _send(house: House, merchant: Merchant, channel: str, items: list[OutItem]) -> None:
    """Sends over one connection; each result is written down before the next message leaves."""
    leaving: list[Leaving] = []
    messages = _messages(house, merchant, channel, items, leaving)
    results = door_of(house, merchant, channel).send_batch(messages)
    spread = _spread()  # one for all: what one outage put back goes again over one connection
    missed = 0
    for result in results:
        _sent(house, merchant, leaving[-1], result, spread)
        missed = missed + 1 if isinstance(result, mail.NotSent) else 0
        if missed == OUTAGE:
            _wait_it_out(house, merchant, items, leaving[-1], spread)
            return


def _wait_it_out(
    house: House, merchant: Merchant, items: list[OutItem], last: Leaving, spread: float
) -> None:
    """Puts back what was not tried, without making its letters; those tried least go first the next time."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        for item in items[items.index(last.item) + 1 :]:
            _shut(tx, item, last, now, now + _pause(last.item.tries, spread), counts=False)


def _shut(
    tx: Connection, item: OutItem, leaving: Leaving, now: datetime, at: datetime, *, why: str = "", counts: bool = True
) -> None:  # fmt: skip
    """Puts a message back whose door nobody opened, and notes since when: after a while its next channel is tried."""
    noted = {"body": reach.shut_at(item, leaving.channel, now)} if item.kind == "message" else {}
    boxes.again(tx, item, at, why=why or f"{leaving.door} cannot be reached", counts=counts, **noted)


def _messages(
    house: House, merchant: Merchant, channel: str, items: list[OutItem], leaving: list[Leaving]
) -> Iterator[mail.Message]:
    """The messages that may leave, each checked right before it does; the others are put back or withdrawn."""
    with reading(house.db) as tx:
        said = Said(own_words.by_language(tx, merchant.id), experiments.worded(tx, merchant.id))
    for item in items:
        if any(item.once_key == told.once_key for gone in leaving for told in gone.told):
            continue  # a digest of this very batch has told of it
        try:
            made = _message(house, merchant, channel, item, said)
        except Exception as fault:  # one message that cannot be made must not stop the others
            log.exception("message set aside", message=item.once_key, fault=type(fault).__name__)
            plain = isinstance(fault, BadFacts | NotToBeSaid)
            why = str(fault) if plain else f"a fault in the house ({type(fault).__name__})"
            _put_down(house, merchant, item, status="failed", why=why)
            continue
        if made is not None:
            leaving.append(made[0])
            yield made[1]


def _message(
    house: House, merchant: Merchant, channel: str, item: OutItem, said: Said
) -> tuple[Leaving, mail.Message] | None:
    """The finished message and what goes with it; None where it may not leave, which is then written down."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        first = _checked(house, tx, merchant, channel, item, now)
        verdict, together = first.verdict, []
        if verdict.say == "send" and first.reader is not None:
            together = companions(house, tx, merchant, item, first.reader, channel, now)
    gateway = house.gateway(merchant)
    if verdict.say == "send" and item.step != RECEIPT:
        verdict = still_due(gateway, first.case, now, over=item.step == winback.STEP)
        together = [pair for pair in together if still_due(gateway, pair[1], now).say == "send"]
    if verdict.say != "send" or first.reader is None:
        _not_now(house, merchant, item, first.case, verdict)
        if verdict.due is not None:
            bring_up_to_date(house, merchant, first.case.id, verdict.due)
        return None
    others = [case for _, case in together]
    asked = Asked(
        item=item, case=first.case, others=others, reader=first.reader, wordings=said.wordings, tests=said.tests, now=now
    )  # fmt: skip
    written = compose(house, merchant, channel, asked)
    # Asking the biller and writing take their time: what has come in meanwhile is looked at once more.
    with reading(house.db) as tx:
        verdict = _checked(house, tx, merchant, channel, item, now).verdict
        says = [_checked(house, tx, merchant, channel, other, now).verdict.say for other, _ in together]
    if verdict.say == "send" and any(say != "send" for say in says):
        anew = "another of these payments has moved; the digest is made anew"
        verdict = Verdict("wait", anew, now + ANSWER_SOON)
    if verdict.say != "send":
        _not_now(house, merchant, item, first.case, verdict)
        return None
    told = tuple(other for other, _ in together)
    leaving = Leaving(
        item=item, case=first.case, channel=channel, reader=first.reader, told=told, arms=written.arms
    )
    return leaving, written.message


def _met(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, case: Case, now: datetime
) -> tuple[Contact | None, Way]:
    """Whom a message goes to, and how."""
    customer = customers.contacts(tx, merchant.id, [case.customer.id]).get(case.customer.id)
    reader = recipients.reader_of(tx, merchant, item, customer)
    return reader, reach.choose(house, tx, merchant, item, case, reader, now)


def _checked(
    house: House, tx: Connection, merchant: Merchant, channel: str, item: OutItem, now: datetime
) -> Checked:
    """Everything looked at afresh. What would go by another channel by now goes to that one's door at once."""
    case = cases.one(tx, merchant.id, item.case_id)
    reader, way = _met(house, tx, merchant, item, case, now)
    verdict = may_leave(house, tx, merchant, item, case, reader, way, now)
    if verdict.say == "send" and way.channel != channel:
        verdict = Verdict("wait", f"it goes by {CHANNELS[way.channel or channel]} by now", now)
    return Checked(case=case, reader=reader, way=way, verdict=verdict)


def _not_now(house: House, merchant: Merchant, item: OutItem, case: Case, verdict: Verdict) -> None:
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


def _sent(house: House, merchant: Merchant, leaving: Leaving, result: mail.MailResult, spread: float) -> None:
    item = leaving.item
    match result:
        case mail.Sent():
            _put_out(house, merchant, leaving)
        case mail.Unclear(why=why):
            # Never lost is worth more than never twice: it goes again, under the same name where the channel knows one.
            _put_back(house, merchant, item, f"perhaps delivered, perhaps not: {why}", spread)
        case mail.NotSent(why=why):
            now = merchant.now(house.clock.now())
            with writing(house.db) as tx:
                _shut(tx, item, leaving, now, now + _pause(item.tries, spread), why=why)
        case mail.Refused(permanent=False, text=text) if item.tries < MOST_REFUSALS:
            _put_back(house, merchant, item, f"{leaving.door} said not now: {text}", spread)
        case mail.Refused():
            _refused(house, merchant, leaving, result)


def _refused(house: House, merchant: Merchant, leaving: Leaving, refusal: mail.Refused) -> None:
    """A no for good: another channel of the customer's, else another person, never silence."""
    now, item = merchant.now(house.clock.now()), leaving.item
    why = f"{leaving.door} refused it: {refusal.text}"
    with writing(house.db) as tx:
        _lock(tx, merchant, item)
        if refusal.about == "recipient":
            silence.refused(house, tx, merchant, leaving.reader, leaving.channel, refusal, now)
        if (
            recipients.another_way(house, tx, merchant, leaving.case, item, now, not_by=leaving.channel)
            is not None
        ):
            return
        boxes.done(tx, item, now, status="failed", why=why)
        _moved(house, tx, merchant, item, "failed", why, now)
        if refusal.about == "recipient":
            recipients.instead(house, tx, merchant, leaving.case, item, now)


def _put_out(house: House, merchant: Merchant, leaving: Leaving) -> None:
    """Writes down that a message left, withdraws what it told of, and queues its copies: one transaction."""
    now = merchant.now(house.clock.now())
    item = leaving.item
    why = f"a digest of {len(leaving.told) + 1} open payments" if leaving.told else None
    with writing(house.db) as tx:
        _lock(tx, merchant, item, *leaving.told)
        # A copy keeps saying for whom it is, and a message why it went by another channel.
        said = item.why if item.kind == "copy" or reach.notes_of(item).not_by else why
        boxes.done(
            tx,
            item,
            now,
            status="sent",
            why=said,
            channel=leaving.channel,
            **_known_by(house, merchant, leaving),
        )
        _moved(house, tx, merchant, item, "sent", why or "", now, channel=leaving.channel, arms=leaving.arms)
        for other in leaving.told:
            if boxes.told_elsewhere(tx, other, now, worker=house.worker_id, why=TOLD):
                _moved(house, tx, merchant, other, "withdrawn", TOLD, now)
        recipients.copies(tx, merchant, leaving.case, item, now)
        fresh = boxes.get(tx, merchant.id, item.once_key) if leaving.channel == reach.SMS else None
    back = reach.notes_of(fresh).back if fresh is not None else ""
    if back:
        sms_news.take(house, merchant, mail.SmsNews(what="undelivered", message=item.once_key, why=back))


def _known_by(house: House, merchant: Merchant, leaving: Leaving) -> dict[str, str]:
    """What the person is counted by, for everybody's budget. A merchant on a test clock counts for itself."""
    reader = leaving.reader
    known = {} if merchant.on_test_clock else {"address": reader.email, "phone": reader.phone}
    return {name: house.links.address_digest(each) for name, each in known.items() if each}


def _put_back(house: House, merchant: Merchant, item: OutItem, why: str, spread: float) -> None:
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        boxes.again(tx, item, now + _pause(item.tries, spread), why=why)


def _put_down(house: House, merchant: Merchant, item: OutItem, *, status: str, why: str | None) -> None:
    """Writes down what became of a message, in the outbox and in the case's life, in one transaction."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        _lock(tx, merchant, item)
        if boxes.waits(tx, item):
            boxes.done(tx, item, now, status=status, why=why)
            _moved(house, tx, merchant, item, status, why or "", now)


def _lock(tx: Connection, merchant: Merchant, *items: OutItem) -> None:
    """Locks the cases of letters before the letters: see `cases.lock_of_letters`."""
    cases.load(tx, merchant.id, [item.case_id for item in items], lock=True)


def _moved(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, status: str, why: str, now: datetime,
    channel: str | None = None, arms: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """The fact of a message; a copy is no message of the case's own, and stands in the outbox only."""
    if item.kind == "message":
        moved = f.MessageMoved(
            at=now, actor=ENGINE, message_id=item.once_key, status=status, why=why, channel=channel, arms=arms
        )
        _fact(house, tx, merchant, item.case_id, moved)
