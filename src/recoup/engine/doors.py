"""A merchant's own doors: how its text messages leave, and where its people's chat is; sealed, changed, tried."""

import ipaddress
from urllib.parse import urlsplit

from sqlalchemy.engine import Connection

from recoup.channels.chat import BadChatUrl, ChatDoor, Line, Note, check_chat_url
from recoup.channels.port import MailResult
from recoup.channels.sms_settings import BadSmsUrl, parse_sms_url
from recoup.domain.policy import Policy
from recoup.engine import audit, pushing
from recoup.engine.house import House
from recoup.store import merchants
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.wire.public_address import is_public, public_address
from recoup.wire.transport import Transport

NONE = "none"
"""What is given to take a door away."""
CHAT = "chat is for your own people and reaches no customer; name another channel"
CONNECT_S, READ_S = 5.0, 10.0


def change(
    house: House, merchant_id: str, *, by: str, sms_url: str | None = None, chat_url: str | None = None
) -> None:
    """Sets doors; what is None stays, `none` goes. Raises `BadSmsUrl`, `BadChatUrl`."""
    given = {"sms_url": sms_url, "chat_url": chat_url}
    checked = {name: url and _checked(house, name, url.strip()) for name, url in given.items()}
    with writing(house.db) as tx:
        merchant = merchants.get(tx, merchant_id, lock=True)
        doors = dict(house.doors(merchant))
        for name, url in checked.items():
            if url == NONE:
                doors.pop(name, None)
            elif url:
                doors[name] = url
        merchants.change(tx, merchant.id, doors=house.vault.seal(doors) if doors else None)
        now = merchant.now(house.clock.now())
        for name, url in checked.items():
            if url:
                says = "taken away" if url == NONE else "set"
                audit.note(tx, merchant.id, actor=by, what="door.changed", subject=name, now=now, value=says)


def _checked(house: House, name: str, url: str) -> str:
    if url == NONE:
        return url
    if name == "sms_url":
        host = urlsplit(parse_sms_url(url).origin).hostname or ""
        if _inside(house, host):
            raise BadSmsUrl(f"the text message URL cannot be used: {_WHY_NOT}")
        return url
    url = check_chat_url(url, private=house.private_endpoints)
    if _inside(house, urlsplit(url).hostname or ""):
        raise BadChatUrl(f"the address of the chat cannot be used: {_WHY_NOT}")
    return url


_WHY_NOT = "it leads into a private network; set RECOUP_ALLOW_PRIVATE_ENDPOINTS=true where that is meant"


def _inside(house: House, host: str) -> bool:
    """Whether an address is plainly none of the public internet; where a name leads is looked at when it is called."""
    if house.private_endpoints:
        return False
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not is_public(str(ipaddress.ip_address(host)))
    except ValueError:
        return False


def shown(house: House, merchant: Merchant) -> dict[str, str]:
    """The doors as they may be shown: no secret of theirs."""
    doors = house.doors(merchant)
    sms = doors.get("sms_url")
    settings = parse_sms_url(sms) if sms else None
    texts = f"{settings.kind}, from {settings.sender}" if settings else "not set"
    if settings is None and house.sms_door(house, merchant) is not None:
        texts = "as the house does"
    return {"text messages": texts, "chat": "set" if "chat_url" in doors else "not set"}


def chat_of(house: House, merchant: Merchant) -> ChatDoor | None:
    """The way to the chat of the merchant's people; None where there is none."""
    url = house.doors(merchant).get("chat_url")
    if url is None:
        return None
    parts = urlsplit(url)
    http = Transport(
        f"{parts.scheme}://{parts.netloc}", most_connections=1, connect_timeout_s=CONNECT_S, read_timeout_s=READ_S,
        answer_deadline_s=READ_S, address_of=None if house.private_endpoints else public_address,
    )  # fmt: skip
    return ChatDoor(url, http)


def try_chat(house: House, merchant: Merchant, who: str) -> MailResult | None:
    """Says something harmless in the chat; what became of it, None where there is no chat."""
    door = chat_of(house, merchant)
    if door is None:
        return None
    name = merchant.brand.name or merchant.name
    says = "Alerts, cases that need a person, approvals that wait and the week's figures will be told here."
    line = Line(text=f"{who} asked for this test. {says}", link=f"{house.links.base_url}/")
    return next(iter(door.send_batch([Note(title=f"{name}: a test message of Recoup", lines=(line,))])))


def missing(house: House, tx: Connection, merchant: Merchant, policy: Policy) -> list[str]:
    """What a policy asks for that no door of this merchant opens; in words, with what to do."""
    found = []
    for rule in policy.message:
        for channel in rule.channels:
            why = _closed(house, tx, merchant, channel)
            if why is not None:
                found.append(f"the message {rule.step!r} names {channel!r}; {why}")
    return list(dict.fromkeys(found))


def _closed(house: House, tx: Connection, merchant: Merchant, channel: str) -> str | None:
    if channel == "sms" and house.sms_door(house, merchant) is None:
        return (
            "no provider of text messages is set; give one with `recoup merchant change NAME --sms-url ...`"
        )
    if channel in pushing.CHANNELS and not pushing.listening(tx, merchant.id, channel):
        return f"no endpoint takes the event {pushing.CHANNELS[channel]!r}; add one with POST /v1/endpoints"
    if channel == "chat":
        return CHAT
    return None
