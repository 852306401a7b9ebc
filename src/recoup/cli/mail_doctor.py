"""The mail doctor's lines as checks of `recoup doctor`."""

from collections.abc import Iterator

from msgspec import UNSET

from recoup.channels.dns.finding import Finding
from recoup.channels.dns.names import Names
from recoup.cli.check import Check, State
from recoup.engine.house import House
from recoup.engine.mail_checkup import house_lines, merchant_lines
from recoup.store import merchants
from recoup.store.engines import reading

STATES: dict[str, State] = {"ok": "ok", "warn": "remark", "fail": "fault"}


def mail_lines(house: House) -> Iterator[Check]:
    """How our mail stands with those who receive it; nothing where mails are only captured."""
    if house.sending is None:
        return
    names = Names(house.dns_server)
    for line in house_lines(house, names):
        yield _check(f"mail from {house.sending.from_domain}", line)
    with reading(house.db) as tx:
        everyone = merchants.everyone(tx)
    for merchant in everyone:
        for line in merchant_lines(house, merchant, names):
            yield _check(f"merchant {merchant.name}", line)


def _check(whose: str, line: Finding) -> Check:
    return Check(
        state=STATES[line.state],
        what=f"{whose}: {line.about}: {line.says}",
        fix=line.fix,
        records=tuple(str(record) for record in line.records) or UNSET,
    )
