"""What comes back of letters that have left: who got them, who did not, who wants no more; each report counts once."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy.engine import Connection

from recoup.channels import dsn
from recoup.channels.esp.port import MailEvent, Unreadable
from recoup.channels.machines import Followed, machine
from recoup.domain import facts as f
from recoup.domain.reach import is_further
from recoup.engine import notices, recipients
from recoup.engine.house import House
from recoup.engine.silence import no_more_reminders
from recoup.store import boxes, cases, contacts, customers, reports, stopped
from recoup.store.boxes import Arrived, InItem
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.reports import Letter, Report

log = structlog.get_logger()

MAIL = "mail:"
"""How the inbox names who told: `mail:postmark`, `mail:dsn` for what an own mail server brought back."""
HANDED_ON = "mail:event"
"""One event that arrived at another merchant's door of this house."""
BY_MAIL = "mail:dsn"
JUDGED_AFTER = timedelta(seconds=20)
"""How long an open or a click waits: until what came before it is told too, and a scanner that follows every link has
shown itself."""
SOFT_PAUSE = timedelta(days=1)
MOST_SOFT = 2
"""How often a letter that came back for a passing reason goes again: a full mailbox is emptied in days, if ever."""
MOST_TOGETHER = 20
"""So many events of one report are taken in by one transaction: charges are not to wait for more."""
_ARRIVED = frozenset({"delivered", "opened", "clicked", "complained"})
_JUDGED = frozenset({"opened", "clicked"})
_decoder = msgspec.json.Decoder(MailEvent)


class Later(Exception):
    """A report that cannot be taken in yet; the message says why."""


class NoSuchSender(LookupError):
    """Nothing is sent through this provider here."""


def address(house: House, merchant: Merchant) -> str:
    """Where the mail provider is to post its reports for this merchant."""
    name = house.mail_back.name if house.mail_back is not None else "PROVIDER"
    return f"{house.links.base_url}/hooks/mail/{name}/{merchant.id}"


def arrived(
    house: House, merchant: Merchant, provider: str, raw: bytes, headers: Mapping[str, str], real: datetime
) -> Arrived:
    """A provider's report with its signature checked, ready to be stored once. Raises `NoSuchSender`, `esp.port.Forged`."""
    back = house.mail_back
    if back is None or back.name != provider:
        raise NoSuchSender(f"no mail leaves through {provider!r} here; RECOUP_MAIL_URL names the provider")
    event_id = f"{MAIL}{provider}:{back.verify(raw, headers, real)}"
    return Arrived(
        merchant_id=merchant.id, event_id=event_id, psp=f"{MAIL}{provider}", raw=raw, at=merchant.now(real)
    )


def brought_back(house: House, raw: bytes, to: str | None) -> tuple[str | None, list[MailEvent]]:
    """Takes in one message that a mail server brought back: stored once for the merchant whose letter it is about.

    `to` is the address it came back to, where the message itself may not say. The merchant's id (None: it is about no
    letter of ours, and nothing is kept), and what it says.
    """
    whole = raw if to is None else f"X-Original-To: {to}\n".encode() + raw
    events = dsn.read(whole)
    marked = next((e.mark for e in events if e.mark is not None), None)
    if marked is None:
        return None, events
    with writing(house.db) as tx:
        owner = reports.owner_of(tx, marked)
        if owner is not None:
            merchant = house.merchant(tx, owner)
            boxes.receive(
                tx, merchant_id=owner, event_id=f"{BY_MAIL}:{events[0].id}", psp=BY_MAIL, raw=whole,
                now=merchant.now(house.clock.now()),
            )  # fmt: skip
    return owner, events


def read(house: House, merchant: Merchant, item: InItem, now: datetime) -> None:
    """Takes one stored report in, with everything that follows from it, in one transaction.

    Raises `Later`, `esp.port.Unreadable`, `cases.Overtaken`.
    """
    events = _events(house, item)
    for event in events:
        if event.what == "confirm" and house.mail_back is not None and event.link is not None:
            try:
                house.mail_back.confirm(event.link)
            except OSError as e:
                raise Later(f"the subscription could not be confirmed: {e}") from e
    if len(events) > MOST_TOGETHER:
        _one_by_one(house, merchant, item, events, now, why="many")
        return
    try:
        _take_in(house, merchant, item, events, now)
    except (Later, cases.Overtaken):
        raise
    except Exception:
        if len(events) < 2:
            raise
        log.warning("a report is taken in event by event", merchant=merchant.id, event_id=item.event_id)
        _one_by_one(house, merchant, item, events, now, why="one could not be taken in")


def _take_in(
    house: House, merchant: Merchant, item: InItem, events: Sequence[MailEvent], now: datetime
) -> None:
    with writing(house.db) as tx:
        if not boxes.still_new(tx, item):
            return
        marks = [e.mark for e in events if e.mark is not None]
        cases.lock_of_letters(tx, merchant.id, marks=marks)
        said = [_taken(house, tx, merchant, item, event, now) for event in events]
        why = "; ".join(dict.fromkeys(s for s in said if s)) or "it says nothing that is used"
        if item.tries == 0 and any(e.what in _JUDGED and e.mark is not None for e in events):
            boxes.mark(tx, item, status="new", why=why[:2000], next_try_at=now + JUDGED_AFTER)
        else:
            boxes.mark(tx, item, status="done", why=why[:2000])


def _one_by_one(
    house: House, merchant: Merchant, item: InItem, events: Sequence[MailEvent], now: datetime, *, why: str
) -> None:
    """Lays the events of a report into the inbox one by one: each is taken in, and may fail, by itself."""
    alone = [
        Arrived(
            merchant_id=merchant.id, event_id=f"{HANDED_ON}:{e.id}", psp=HANDED_ON, raw=msgspec.json.encode(e), at=now
        )
        for e in events
    ]  # fmt: skip
    with writing(house.db) as tx:
        if boxes.still_new(tx, item):
            boxes.receive_all(tx, alone)
            boxes.mark(tx, item, status="done", why=f"{len(events)} events, each read by itself ({why})")


def _events(house: House, item: InItem) -> list[MailEvent]:
    if item.psp == HANDED_ON:
        return [_decoder.decode(item.raw)]
    if item.psp == BY_MAIL:
        return dsn.read(item.raw)
    back = house.mail_back
    if back is None or item.psp != MAIL + back.name:
        raise Unreadable(
            f"it came from {item.psp.removeprefix(MAIL)}, through which nothing is sent any more"
        )
    return back.parse(item.raw)


def _taken(
    house: House, tx: Connection, merchant: Merchant, item: InItem, event: MailEvent, now: datetime
) -> str:
    """One event; what became of it, in words."""
    if event.what == "confirm":
        return event.says
    if event.mark is None:
        return _without_letter(house, tx, merchant, event)
    owner = reports.owner_of(tx, event.mark)
    if owner is None:
        return "it is about no letter of ours"
    if owner != merchant.id:
        _hand_on(house, tx, owner, event)
        return "it is about a letter of another merchant of this house, and was handed on"
    letter = reports.letter(tx, merchant.id, event.mark)
    assert letter is not None
    back = house.mail_back if item.psp != BY_MAIL else None
    teller = Teller(back.name, back.shown) if back is not None else Teller("mail", "the mail server")
    return _Told(house, tx, merchant, teller, now, letter).take(event, first_look=item.tries == 0)


def _without_letter(house: House, tx: Connection, merchant: Merchant, event: MailEvent) -> str:
    told = event.what == "resubscribed" and event.recipient
    if told and stopped.start(tx, merchant.id, house.links.address_digest(told)):
        return "the address takes mail again"
    return "it names no letter of ours"


def _hand_on(house: House, tx: Connection, owner: str, event: MailEvent) -> None:
    to = house.merchant(tx, owner)
    boxes.receive(
        tx, merchant_id=owner, event_id=f"{HANDED_ON}:{event.id}", psp=HANDED_ON, raw=msgspec.json.encode(event),
        now=to.now(house.clock.now()),
    )  # fmt: skip


class Teller(msgspec.Struct, frozen=True):
    """Who speaks of a letter: its name in facts, and as people write it."""

    name: str
    shown: str


class _Told:
    """One event about one letter of ours, inside a transaction that holds the letter."""

    def __init__(
        self, house: House, tx: Connection, merchant: Merchant, teller: Teller, now: datetime, letter: Letter
    ) -> None:
        self.house, self.tx, self.merchant = house, tx, merchant
        self.teller, self.now, self.letter = teller, now, letter

    def take(self, event: MailEvent, *, first_look: bool) -> str:
        """Writes the event down once and does what follows from it; what that was, in words."""
        event = msgspec.structs.replace(event, says=event.says.rstrip(". "))
        item = self.letter.item
        link = self.house.links.address_digest(event.link) if event.link else None
        new = reports.note(
            self.tx,
            Report(
                merchant_id=self.merchant.id, id=self._id_of(event), once_key=item.once_key, provider=self.teller.name, what=event.what,
                at=event.at, heard_at=self.now, link=link, says=event.says,
            ),
        )  # fmt: skip
        if not new and event.what not in _JUDGED:
            return "known already"
        if item.channel not in (None, "email"):
            return f"the message goes by {item.channel} by now"
        if event.what in _ARRIVED or (event.what == "bounced" and item.tries > 0):
            self._settle()
        match event.what:
            case "delivered":
                return self._got("delivered", "")
            case "opened" | "clicked" if first_look:
                return f"{event.what}; by whom is judged in {JUDGED_AFTER.seconds} s"
            case "opened":
                return self._seen(event, "opened", ())
            case "clicked":
                return self._seen(event, "clicked", self._followed(event, link))
            case "bounced":
                return self._came_back(event)
            case "complained":
                no_more_reminders(self.tx, self.merchant, item, self.now)
                self._got("complained", f"{self.teller.shown}: {event.says}")
                return "a complaint: no reminders any more"
            case "unsubscribed":
                no_more_reminders(self.tx, self.merchant, item, self.now)
                return "unsubscribed: no reminders any more"
            case "resubscribed":
                return _without_letter(self.house, self.tx, self.merchant, event)
            case "held_up":
                return "it is on its way still"
        return ""

    def _id_of(self, event: MailEvent) -> str:
        """The event's name among those of all tellers."""
        return f"{self.teller.name}:{event.id}"

    def _settle(self) -> None:
        """What a provider or a server speaks of has left, though the answer to it was lost, or it was to go again."""
        item = self.letter.item
        if item.status != "queued":
            return
        if self.letter.claimed:
            raise Later("its letter is being handed over at this moment")
        why = f"{self.teller.shown} speaks of it, so it has left"
        boxes.done(self.tx, item, self.now, status="sent", why=why)
        self._fact("sent", why)
        self.letter = msgspec.structs.replace(
            self.letter, item=msgspec.structs.replace(item, status="sent", done_at=self.now), reached=None
        )

    def _got(self, status: str, why: str) -> str:
        """Writes down that the letter got further; late and doubled news change nothing."""
        if not is_further(self.letter.stands, status):
            return f"{status}, which is no news"
        reports.got(self.tx, self.merchant.id, self.letter.item.once_key, status, why=why)
        self.letter = msgspec.structs.replace(self.letter, reached=status)
        self._fact(status, why)
        return status

    def _fact(self, status: str, why: str) -> None:
        """The fact of a message; a copy is no message of the case's own."""
        item = self.letter.item
        if item.kind != "message":
            return
        change = cases.change(cases.one(self.tx, self.merchant.id, item.case_id, lock=True))
        moved = f.MessageMoved(
            at=self.now,
            actor=f"provider:{self.teller.name}",
            message_id=item.once_key,
            status=status,
            why=why,
        )
        change.add(moved)
        cases.save(self.tx, [change])
        notices.tell(self.house, self.tx, self.merchant.id, [change], self.now)

    def _seen(self, event: MailEvent, status: str, others: Sequence[Followed]) -> str:
        """An open or a click; what a machine did proves that the letter arrived, and nothing more."""
        why = machine(event, self._arrived(), others)
        if why is None:
            return self._got(status, "")
        reports.judged(self.tx, self.merchant.id, self._id_of(event), why)
        self._got("delivered", "")
        return f"{status} by a machine: {why}"

    def _arrived(self) -> datetime | None:
        """When the letter arrived by the teller's clock, else when it left by ours, which a test clock does not tell."""
        told = [r.at for r in self._reports() if r.what == "delivered" and r.at is not None]
        if told:
            return min(told)
        return None if self.merchant.on_test_clock else self.letter.item.done_at

    def _followed(self, event: MailEvent, link: str | None) -> list[Followed]:
        mine = [r for r in self._reports() if r.what == "clicked" and r.link not in (None, link) and r.at is not None]  # fmt: skip
        return [Followed(f"another {r.link}", r.at) for r in mine if r.at is not None]

    def _reports(self) -> list[Report]:
        return reports.of_letter(self.tx, self.merchant.id, self.letter.item.once_key)

    def _came_back(self, event: MailEvent) -> str:
        item = self.letter.item
        if event.suppressed and event.because != "bounce":
            no_more_reminders(self.tx, self.merchant, item, self.now)
        if not is_further(self.letter.stands, "bounced"):
            return "it came back, which is no news"
        if event.permanent:
            return self._for_good(event)
        soft = [r for r in self._reports() if r.what == "bounced"]
        if len(soft) <= MOST_SOFT:
            why = f"came back for now ({event.says}); it goes again in a day"
            reports.go_again(self.tx, item, self.now + SOFT_PAUSE, why=why)
            self._fact("queued", why)
            return why
        self._got("bounced", f"{self.teller.shown}: {event.says}; it came back {len(soft)} times")
        return self._instead()

    def _for_good(self, event: MailEvent) -> str:
        """The address takes no mail: nothing is sent there any more, and the message goes another way."""
        kept_back, item = event.suppressed and event.because != "bounce", self.letter.item
        where = self._address(event)
        if where is not None and not kept_back:
            stopped.stop(
                self.tx, self.merchant.id, where, self.now, why=f"mail came back ({event.says})"[:300]
            )
        if item.kind == "message" and where is not None and self._has_moved(where):
            why = f"came back ({event.says}); they have another address by now, and it goes there"
            reports.go_again(self.tx, item, self.now, why=why)
            self._fact("queued", why)
            return why
        self._got("bounced", f"{self.teller.shown}: {event.says}")
        if kept_back and not (item.step or "").startswith("final"):
            return "kept back: they asked for silence"
        return self._instead()

    def _address(self, event: MailEvent) -> str | None:
        """The digest of where the letter went; where that was not written down (on a test clock), of whom the teller names."""
        if self.letter.address:
            return self.letter.address
        return (
            self.house.links.address_digest(event.recipient) if event.recipient else self._present_address()
        )

    def _has_moved(self, where: str) -> bool:
        """Whether the customer has another address than that by now, to which mail may go."""
        present = self._present_address()
        return (
            present not in (None, where)
            and not stopped.known(self.tx, self.merchant.id, [present or ""])
        )  # fmt: skip

    def _present_address(self) -> str | None:
        item = self.letter.item
        who = item.customer_id or ""
        customer = customers.contacts(self.tx, self.merchant.id, [who]).get(who)
        named = [recipients.person_of(item)] if item.kind == "copy" else []
        people = contacts.known(self.tx, self.merchant.id, named) if named else {}
        reader = recipients.reader_of(item, customer, people)
        return self.house.links.address_digest(reader.email) if reader and reader.email else None

    def _instead(self) -> str:
        item = self.letter.item
        case = cases.one(self.tx, self.merchant.id, item.case_id)
        said = recipients.instead(self.house, self.tx, self.merchant, case, item, self.now, not_by="email")
        if reports.stands(self.tx, self.merchant.id, item.once_key) == "queued":
            reports.got(self.tx, self.merchant.id, item.once_key, None)  # by another channel it begins anew
        return said
