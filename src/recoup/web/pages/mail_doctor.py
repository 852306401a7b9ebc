"""How our mail stands with those who receive it: each line with what is wrong and the record to publish."""

import msgspec
from litestar import Response, get

from recoup.channels.dns.doctor import worst
from recoup.channels.dns.finding import Finding
from recoup.channels.dns.names import Names
from recoup.domain.authority import MAY
from recoup.engine.house import House
from recoup.engine.mail_checkup import house_lines, merchant_lines
from recoup.store.merchants import Merchant
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, NotYours, Visitor

TAGS = {"ok": ("ok", "in order"), "warn": ("wait", "could be better"), "fail": ("bad", "to mend")}


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: for everything this installation sends, and for one merchant."""

    everything: list[Finding]
    own: list[Finding]

    @property
    def headline(self) -> str:
        """The outcome in a sentence."""
        count = worst([*self.everything, *self.own])
        if count.fails:
            return (
                f"{count.fails} {'thing' if count.fails == 1 else 'things'} to mend before mail is believed"
            )
        if count.warns:
            return (
                f"Mail is believed; {count.warns} {'thing' if count.warns == 1 else 'things'} could be better"
            )
        return "Mail is believed, and answers and links arrive"


@get("/desk/mail", sync_to_thread=True, include_in_schema=False)
def mail_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """Looks when it is asked to: name servers, the mail server and our own pages are called."""
    if visit.merchant is None:
        return no_merchant(visit)
    if not visit.may("settings"):
        roles = ", ".join(sorted(MAY["settings"]))
        raise NotYours(f"Settings are for the roles {roles}; you are signed in as {visit.user.role}.")
    asked = request.query_params.get("look") == "now" and house.sending is not None
    return desk(
        visit, "mail_doctor.html", tab="/queues", sending=house.sending, tags=TAGS, dns=house.dns_server,
        looked=_looked(house, visit.merchant) if asked else None,
    )  # fmt: skip


def _looked(house: House, merchant: Merchant) -> Looked:
    names = Names(house.dns_server)
    return Looked(
        everything=list(house_lines(house, names)), own=list(merchant_lines(house, merchant, names))
    )


handlers = [mail_page]
