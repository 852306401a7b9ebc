"""What `recoup doctor` says of the way back: whether the mail provider tells what becomes of letters."""

from collections.abc import Iterator
from datetime import timedelta

from recoup.engine.house import House
from recoup.engine.returned import address
from recoup.store import reports
from recoup.store.engines import reading
from recoup.store.merchants import Merchant

LATELY = timedelta(days=7)
FEW = 5
"""So many letters without a word are no accident any more."""


def heard(house: House, merchant: Merchant) -> Iterator[tuple[str, str, str]]:
    """(state, what was looked at, fix) where mail leaves through a provider that can tell."""
    back = house.mail_back
    if back is None:
        return
    what = f"merchant {merchant.name}: {back.shown} tells what becomes of letters"
    where = address(house, merchant)
    if not back.checks:
        yield "remark", what, f"add hook= to RECOUP_MAIL_URL and have {back.shown} post its events to {where}"
        return
    now = house.clock.now()
    with reading(house.db) as tx:
        last = reports.last_heard(tx, merchant.id)
        sent = reports.sent_since(tx, merchant.id, merchant.now(now) - LATELY)
    if last is not None and (sent < FEW or merchant.now(now) - last < LATELY):
        yield "ok", f"{what}, last at {last:%Y-%m-%d %H:%M} UTC", ""
    elif sent < FEW:
        yield "remark", what, f"nothing was heard yet; have it post its events to {where}"
    else:
        fix = f"{sent} letters left in seven days and nothing was told of any; have it post its events to {where}"
        yield "fault", what, fix
