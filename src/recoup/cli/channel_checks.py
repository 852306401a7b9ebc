"""What `recoup doctor` looks at beside mail: text messages, the app, the chat, and channels a policy names in vain."""

from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from recoup.channels.sms_settings import BadSmsUrl
from recoup.engine import doors
from recoup.engine.house import House, UnknownPolicy
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.store.vault import Sealed

Looked = tuple[Literal["ok", "remark", "fault", "unreachable"], str, str]
"""State, what was looked at, and how to mend it."""
LONGEST_HOST = 34
"""With a longer address before the short links, some texts in some languages need a third segment."""


def channels(house: House, merchant: Merchant) -> Iterator[Looked]:
    """The doors of one merchant. Nothing is sent to anybody."""
    name = f"merchant {merchant.name}"
    try:
        texts = house.sms_door(house, merchant)
        chat = doors.chat_of(house, merchant)
    except (Sealed, BadSmsUrl) as e:
        yield "fault", f"{name}: its doors can be opened", str(e)
        return
    if texts is not None:
        wrong = texts.check()
        what = f"{name}: the provider of text messages lets us in"
        fix = (
            ""
            if wrong is None
            else f"{wrong}; check RECOUP_SMS_URL, or `recoup merchant change {merchant.name} --sms-url`"
        )
        yield "ok" if wrong is None else "unreachable", what, fix
        host = house.links.at(merchant.brand.pay_domain)
        if len(urlsplit(host).netloc) > LONGEST_HOST:
            fix = f"{host} is long, and every text message carries it; give a shorter --pay-domain"
            yield "remark", f"{name}: text messages have room for their link", fix
    if chat is not None:
        yield (
            "ok",
            f"{name}: its people have a chat (try it: `recoup merchant chat-test {merchant.name}`)",
            "",
        )
    with reading(house.db) as tx:
        try:
            missing = doors.missing(house, tx, merchant, house.policy(tx, merchant.id, merchant.policy))
        except UnknownPolicy as e:
            yield "fault", f"{name}: its policy is stored", str(e)
            return
    for why in missing:
        yield "remark", f"{name}: every channel of the policy has a door", why
