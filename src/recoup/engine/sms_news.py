"""Takes in what became of text messages: delivered, come back, and who answered STOP; once, in one transaction each."""

from datetime import datetime

import structlog
from sqlalchemy.engine import Connection

from recoup.channels.port import SmsNews
from recoup.domain import facts as f
from recoup.engine import expiring, notices, reach, recipients
from recoup.engine.house import House
from recoup.engine.silence import DEAD, SAID_STOP
from recoup.store import boxes, cases, customers, stopped
from recoup.store.boxes import OutItem
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

PROVIDER = "provider:sms"


def take(house: House, merchant: Merchant, news: SmsNews) -> None:
    """Writes one piece of news down. What is told twice, or of a message nobody knows, changes nothing."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        if news.number is not None and news.what in ("stopped", "started"):
            _choice(house, tx, merchant, news, now)
        if news.message is not None:
            cases.lock_of_letters(tx, merchant.id, keys=[news.message])
        item = boxes.get(tx, merchant.id, news.message) if news.message is not None else None
        # What still waits may be on its way by a channel that is written down once it has left.
        if item is None or (item.channel != reach.SMS and item.status != "queued"):
            return
        if item.kind == expiring.KIND and news.what == "undelivered":
            expiring.came_back(house, tx, merchant, item, news, now)
        if item.kind != "message":
            return
        if news.what == "delivered" and item.status == "sent":
            _moved(house, tx, merchant, item, "delivered", news.why, now)
        elif news.what == "undelivered":
            _came_back(house, tx, merchant, item, news, now)


def _choice(house: House, tx: Connection, merchant: Merchant, news: SmsNews, now: datetime) -> None:
    number = house.links.address_digest(news.number or "")
    if news.what == "stopped":
        stopped.stop(tx, merchant.id, number, now, why=SAID_STOP)
    elif stopped.known(tx, merchant.id, [number]).get(number) == SAID_STOP:
        stopped.start(tx, merchant.id, number)


def _came_back(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, news: SmsNews, now: datetime
) -> None:
    """The message did not arrive: another channel of the customer's, or another person, never silence."""
    case = cases.one(tx, merchant.id, item.case_id, lock=True)
    if item.status == "queued":  # the provider was quicker than our own pen; it is taken up when that is done
        boxes.note(tx, item, reach.came_back(item, news.why))
        return
    stands = next((m.status for m in case.messages if m.id == item.once_key), None)
    if item.status != "sent" or stands not in ("sent", "delivered"):
        return
    if news.dead:
        contact = customers.contacts(tx, merchant.id, [case.customer.id]).get(case.customer.id)
        if contact is not None and contact.phone:
            stopped.stop(tx, merchant.id, house.links.address_digest(contact.phone), now, why=DEAD)
    _moved(house, tx, merchant, item, "bounced", news.why, now)
    says = recipients.instead(house, tx, merchant, case, item, now, not_by=reach.SMS)
    log.info("text message came back", merchant=merchant.id, message=item.once_key, instead=says)


def _moved(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, status: str, why: str, now: datetime
) -> None:
    change = cases.change(cases.one(tx, merchant.id, item.case_id, lock=True))
    if all(m.status != status for m in change.case.messages if m.id == item.once_key):
        change.add(f.MessageMoved(at=now, actor=PROVIDER, message_id=item.once_key, status=status, why=why))
        cases.save(tx, [change])
        notices.tell(house, tx, merchant.id, [change], now)
