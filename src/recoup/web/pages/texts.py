"""Messages → Texts: every message as the customer will see it, and the place to lay words of one's own over ours."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import MediaType, Response, get, post
from litestar.exceptions import NotFoundException

from recoup.channels import port
from recoup.channels.address import BadAddress, check_address
from recoup.channels.facts import BadFacts
from recoup.channels.languages import LANGUAGES, tongue
from recoup.channels.short import segments
from recoup.channels.wording import BadWording
from recoup.channels.words import ASKING, KINDS, NotToBeSaid
from recoup.domain.policy import CATEGORIES
from recoup.engine import wording
from recoup.engine.house import House
from recoup.engine.wording import NoSuchArm, Preview
from recoup.store import experiments, overview
from recoup.store.cases import NoSuchCase
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Form, Home, Visitor, admin_only, from_our_page, typed
from recoup.web.pages.frame import GUARDED, MAIL_CSP

NAMES = {
    "soft_notice": "First notice",
    "action_needed": "Something to do",
    "reminder": "Reminder",
    "final_notice": "Last notice",
    "recovered": "Thank you, it is paid",
    "card_expiring": "Card expires soon",
    "trial_first_charge": "First charge after a trial",
    "win_back": "Welcome back",
    "digest": "Several open payments",
    "pre_debit_notice": "Notice before a debit",
}
SILENT = frozenset({"payer_deceased", "merchant_config", "duplicate", "not_a_decline"})
CAUSES = tuple(cause for cause in CATEGORIES if cause not in SILENT)
RECENT = 25
UNSHOWN = (NoSuchCase, BadFacts, NotToBeSaid, NoSuchArm)


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows: which message, in which language, about which case or sample, in which arm of a test, how wide
    and how lit."""

    kind: str
    language: str
    cause: str
    case: str
    arm: str
    """`experiment:arm`; empty: as everybody reads it, or of a real case as its customer does."""
    wide: bool
    dark: bool

    def address(self, where: str, **more: str) -> str:
        """An address that shows the same, with `more` laid over it."""
        said = {
            "kind": self.kind, "language": self.language, "cause": self.cause, "case": self.case, "arm": self.arm,
            "width": "" if self.wide else "phone", "light": "dark" if self.dark else "", **more,
        }  # fmt: skip
        return f"{where}?{urlencode({name: value for name, value in said.items() if value})}"


def _chosen(asked: Mapping[str, Any]) -> Chosen:
    def one_of(name: str, known: Any, usual: str) -> str:
        value = str(asked.get(name, ""))
        return value if value in known else usual

    return Chosen(
        kind=one_of("kind", KINDS, "soft_notice"), language=one_of("language", LANGUAGES, "en"),
        cause=one_of("cause", CAUSES, "insufficient_funds"), case=str(asked.get("case", ""))[:200],
        arm=str(asked.get("arm", ""))[:200],
        wide=asked.get("width") != "phone", dark=asked.get("light") == "dark",
    )  # fmt: skip


def _laid(asked: Mapping[str, Any]) -> dict[str, str]:
    key, words = str(asked.get("key", "")), str(asked.get("words", ""))
    return {key: words} if key and words.strip() else {}


def _preview(house: House, merchant: Merchant, chosen: Chosen, laid: Mapping[str, str]) -> Preview:
    return wording.preview(
        house,
        merchant,
        chosen.kind,
        chosen.language,
        cause=chosen.cause,
        case_id=chosen.case or None,
        laid=laid,
        arm=chosen.arm or None,
    )


@get("/messages/texts", sync_to_thread=True, include_in_schema=False)
def texts_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """One message with its preview and its sentences."""
    if visit.merchant is None:
        return no_merchant(visit)
    return _shown(house, visit, visit.merchant, _chosen(request.query_params))


def _shown(
    house: House, visit: Visit, merchant: Merchant, chosen: Chosen, *, says: str = "", well: str = "", status: int = 200,
    key: str = "", words: str = "",
) -> Response[str]:  # fmt: skip
    shown: Preview | None = None
    try:
        shown = _preview(house, merchant, chosen, {})
    except UNSHOWN as e:
        says = says or f"There is no such message about this case: {e}"
    with reading(house.db) as tx:
        recent = overview.listed(tx, merchant.id, overview.Filters(), limit=RECENT)
        tests = [e.plan for e in experiments.everyone(tx, merchant.id) if e.plan.words_differ]
    return desk(
        visit, "texts.html", tab="/messages", status=status, says=says, well=well, chosen=chosen, shown=shown,
        kinds=KINDS, names=NAMES, languages=LANGUAGES, causes=CAUSES, recent=recent, typed_key=key, typed_words=words, src=_src(chosen, {}), spoken=tongue(chosen.language), refused="",
        segments=segments, tests=tests, asks=chosen.kind in ASKING or chosen.kind == "trial_first_charge",
    )  # fmt: skip


@get("/messages/texts/look", sync_to_thread=True, include_in_schema=False)
def look(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The part of the page that shows the message, with words that are being typed; or why they cannot stand."""
    if visit.merchant is None:
        raise NotFoundException("There is no merchant yet.")
    chosen, laid = _chosen(request.query_params), _laid(request.query_params)
    says, shown, src = "", None, _src(chosen, request.query_params)
    try:
        shown = _preview(house, visit.merchant, chosen, laid)
    except BadWording as e:
        says, src = f"{e}.", _src(chosen, {})
        shown = _preview(house, visit.merchant, chosen, {})
    except UNSHOWN as e:
        says = f"{e}."
    return desk(
        visit, "texts_look.html", tab="/messages", chosen=chosen, shown=shown, refused=says, src=src,
        spoken=tongue(chosen.language), segments=segments,
    )  # fmt: skip


def _src(chosen: Chosen, asked: Mapping[str, Any]) -> str:
    """Where the frame finds the message, with the words that are being typed."""
    typed_now = {"key": str(asked.get("key", "")), "words": str(asked.get("words", ""))}
    return chosen.address("/messages/texts/html", **typed_now)


@get("/messages/texts/html", sync_to_thread=True, include_in_schema=False)
def html(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The message's own HTML for the sandboxed frame, lit as asked whatever the screen prefers."""
    chosen = _chosen(request.query_params)
    if visit.merchant is None:
        raise NotFoundException("There is no merchant yet.")
    try:
        shown = _preview(house, visit.merchant, chosen, _laid(request.query_params))
    except (BadWording, *UNSHOWN) as e:
        raise NotFoundException(str(e)) from e
    lit = "@media all" if chosen.dark else "@media not all"
    page = shown.rendered.html.replace("@media (prefers-color-scheme: dark)", lit)
    headers = {**GUARDED, "Content-Security-Policy": MAIL_CSP, "Referrer-Policy": "no-referrer"}
    return Response(page, media_type=MediaType.HTML, headers=headers)


@post("/messages/texts", sync_to_thread=True, include_in_schema=False)
def change_texts(house: Home, visit: Visitor, data: Form) -> Response[str]:
    """Keeps words, goes back to ours, or sends the message to the one who asks."""
    if visit.merchant is None:
        return no_merchant(visit)
    chosen, do = _chosen(data), typed(data, "do")
    if do == "test":
        return _test(house, visit, visit.merchant, chosen, data)
    admin_only(visit, data)
    key, words = typed(data, "key"), typed(data, "words")
    try:
        if do == "back" or not words.strip():
            wording.remove(house, visit.merchant, language=chosen.language, key=key, by=visit.actor)
            well = "The message says our words again."
        else:
            wording.save(
                house, visit.merchant, language=chosen.language, key=key, words=words, by=visit.actor
            )
            well = "Kept. Every message that leaves from now on says it."
    except BadWording as e:
        return _shown(house, visit, visit.merchant, chosen, says=f"{e}.", status=422, key=key, words=words)
    return _shown(house, visit, visit.merchant, chosen, well=well)


def _test(
    house: House, visit: Visit, merchant: Merchant, chosen: Chosen, data: dict[str, Any]
) -> Response[str]:
    from_our_page(visit, data)
    try:
        to = check_address(visit.user.login).written
    except BadAddress:
        says = f"Your login {visit.user.login!r} is no mail address, so there is nowhere to send it. Sign in with one."
        return _shown(house, visit, merchant, chosen, says=says, status=422)
    try:
        result = wording.test_send(house, merchant, _preview(house, merchant, chosen, {}), to)
    except UNSHOWN as e:
        return _shown(house, visit, merchant, chosen, says=f"{e}.", status=422)
    match result:
        case port.Sent():
            return _shown(house, visit, merchant, chosen, well=f"Sent to {to}.")
        case port.Unclear(why=why) | port.NotSent(why=why):
            return _shown(house, visit, merchant, chosen, says=f"Not sent: {why}.", status=502)
        case port.Refused(text=text):
            return _shown(
                house, visit, merchant, chosen, says=f"The mail server refused it: {text}.", status=502
            )


handlers = [texts_page, look, html, change_texts]
