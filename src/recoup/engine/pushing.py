"""Messages shown by the merchant's own app: handed to the addresses that asked for them, signed like every event."""

from collections.abc import Iterable, Iterator

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.port import MailResult, NotSent, Push, Refused, Sent, Unclear
from recoup.engine import deliver, notices
from recoup.engine.house import House
from recoup.store import endpoints
from recoup.store.endpoints import Delivery, Endpoint
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.wire.transport import Answer, Lost, NotOpened

CHANNELS = {"push": notices.PUSH, "in_app": notices.IN_APP}
"""The event each channel is told by. Only an address that names it gets it: one that wants everything shows nothing."""


def listening(tx: Connection, merchant_id: str, channel: str) -> list[Endpoint]:
    """The addresses that show messages of this channel to customers."""
    kind = CHANNELS.get(channel)
    return [e for e in endpoints.everyone(tx, merchant_id) if e.disabled_at is None and kind in e.events]


class PushDoor:
    """Hands messages to the merchant's app and waits for its yes: nothing is kept for later, since every message is
    checked right before it leaves. 404 says that the app does not know this customer."""

    def __init__(self, house: House, merchant: Merchant, channel: str) -> None:
        self._house, self._merchant, self._channel = house, merchant, channel

    def send_batch(self, messages: Iterable[Push], /) -> Iterator[MailResult]:
        """One result per message, in order; see `Door`. Sent once one address has taken it."""
        for message in messages:
            with reading(self._house.db) as tx:
                to = listening(tx, self._merchant.id, self._channel)
            yield self._sent(to, message) if to else NotSent("no address takes these messages any more")

    def _sent(self, to: list[Endpoint], message: Push) -> MailResult:
        answers = [self._told(endpoint, message) for endpoint in to]
        order = (Sent, Unclear, NotSent, Refused)
        return min(answers, key=lambda answer: order.index(type(answer)))

    def _told(self, endpoint: Endpoint, message: Push) -> MailResult:
        item = self._delivery(endpoint, message)
        http, target = deliver.way_to(self._house, endpoint.url)
        headers = deliver.headers(self._house, endpoint, item)
        answer = http.call("POST", target, body=item.body.encode(), headers=headers)
        result = _result(answer)
        if isinstance(result, Sent):
            self._write_down(endpoint, item, answer)
        return result

    def _delivery(self, endpoint: Endpoint, message: Push) -> Delivery:
        kind = CHANNELS[self._channel]
        data: dict[str, object] = {
            "message_id": message.once_key, "customer_id": message.customer_id, "case_id": message.case_id or None,
            "step": message.step, "title": message.title, "text": message.text, "button": message.button,
            "url": message.url, "deadline": message.deadline, "language": message.language,
        }  # fmt: skip
        real = self._house.clock.now()
        # The same message has the same id however often it is handed over, so that the app shows it once.
        id = f"ev_{self._house.links.short_code(f'{kind}/{self._merchant.id}/{message.once_key}', size=16)}"
        body = notices.body_of(kind, message.written_at or real, data)
        return msgspec.structs.replace(notices.delivery(endpoint.id, id, kind, body, real), next_try_at=None)

    def _write_down(self, endpoint: Endpoint, item: Delivery, answer: Answer | NotOpened | Lost) -> None:
        assert isinstance(answer, Answer)
        now = self._house.clock.now()
        with writing(self._house.db) as tx:
            endpoints.put(tx, self._merchant.id, [item])
            endpoints.move(
                tx, self._merchant.id, item, status="delivered", next_try_at=None, tries=1, last_try_at=now,
                last_status=answer.status, last_says=deliver.says_of(answer),
            )  # fmt: skip


def _result(answer: Answer | NotOpened | Lost) -> MailResult:
    if isinstance(answer, NotOpened):
        return NotSent(answer.why, nobody=True)
    if isinstance(answer, Lost):
        return Unclear(answer.why)
    if 200 <= answer.status < 300:
        return Sent("")
    why = f"{answer.status} {deliver.says_of(answer)}".strip()
    if answer.status == 404:
        return Refused(code=404, text=why, permanent=True, about="recipient")
    return NotSent(why)
