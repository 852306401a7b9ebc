"""Messages → Texts → Test: half of the customers read a message in other words, so that it is known what they bring."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect

from recoup.channels.facts import BadFacts
from recoup.channels.languages import LANGUAGES, tongue
from recoup.channels.words import KINDS, NotToBeSaid
from recoup.domain.experiment import Arm, Texts
from recoup.engine import wording
from recoup.engine.house import House
from recoup.engine.wording import Sentence
from recoup.insight import experiments_run as run
from recoup.insight import experiments_texts as words
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.web.auth import Visit
from recoup.web.pages import texts
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Form, Home, Visitor, admin_only, typed
from recoup.web.pages.frame import GUARDED

EFFECTS = (3, 5, 10, 15, 20)
SHARES = (50, 20, 10)
TESTED = tuple(kind for kind in KINDS if kind in words.TESTED)
SMALL = ("every.", "rows.", "scheme.")
"""Greeting, labels and small parts: the page tests what a message says."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence to be worded otherwise, in every language that has to have it."""

    key: str
    needed: tuple[str, ...]
    by_language: dict[str, str]


@get("/messages/texts/test", sync_to_thread=True, include_in_schema=False)
def test_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The sentences of one message, each with a place for other words."""
    if visit.merchant is None:
        return no_merchant(visit)
    admin_only(visit)
    return _page(house, visit, visit.merchant, request.query_params)


def _page(
    house: House, visit: Visit, merchant: Merchant, asked: Mapping[str, Any], *, says: str = "", status: int = 200
) -> Response[str]:  # fmt: skip
    kind, cause = str(asked.get("kind", "")), str(asked.get("cause", ""))
    kind = kind if kind in TESTED else "reminder"
    cause = cause if cause in texts.CAUSES else "insufficient_funds"
    with reading(house.db) as tx:
        read = words.languages_read(tx, merchant.id)
    languages = words.needed(read) or ["en"]
    try:
        said = _sentences(house, merchant, kind, cause, languages)
    except (BadFacts, NotToBeSaid) as e:
        said, says = [], says or f"There is no such message: {e}"
    few = [f"{LANGUAGES[lang]}: {n:,}" for lang, n in read.items() if lang not in languages]
    return desk(
        visit, "texts_test.html", tab="/messages", status=status, says=says, kind=kind, cause=cause, kinds=TESTED,
        names=texts.NAMES, causes=texts.CAUSES, said=said, languages=languages, spoken={c: tongue(c) for c in languages},
        own_names=LANGUAGES, few=few, effects=EFFECTS, shares=SHARES, form=asked,
    )  # fmt: skip


def _sentences(house: House, merchant: Merchant, kind: str, cause: str, languages: list[str]) -> list[Said]:
    """What a message says today, sentence by sentence."""
    shown = {c: wording.preview(house, merchant, kind, c, cause=cause).sentences for c in languages}
    by_key: dict[str, dict[str, Sentence]] = {}
    for language, sentences in shown.items():
        for each in sentences:
            by_key.setdefault(each.key, {})[language] = each
    return [
        Said(
            key=key,
            needed=next(iter(each.values())).needed,
            by_language={c: s.own or s.ours for c, s in each.items()},
        )
        for key, each in by_key.items()
        if words.testable(key) and not key.startswith(SMALL)
    ]


@post("/messages/texts/test", sync_to_thread=True, include_in_schema=False)
def start_test(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Starts the test of the words that were written."""
    if visit.merchant is None:
        return no_merchant(visit)
    admin_only(visit, data)
    told: Texts = {}
    for field, value in data.items():
        place, _, key = field.removeprefix("words:").partition(":")
        if field.startswith("words:") and str(value).strip():
            told.setdefault(place, {})[key] = str(value)
    try:
        share, effect = int(typed(data, "share") or 50) / 100, int(typed(data, "effect") or 10) / 100
        if not told:
            raise ValueError("no other words were written; write some beside at least one sentence")
        arms = (Arm(name="now", share=1 - share), Arm(name="new", share=share, texts=told))
        id = typed(data, "id").strip()
        plan, _ = run.start(
            house, visit.merchant, id=id, name=typed(data, "name").strip() or id, kind="messages", arms=arms,
            actor=visit.actor, effect=effect, anyway=typed(data, "anyway") == "yes",
        )  # fmt: skip
    except ValueError as e:
        said = str(e)
        return _page(house, visit, visit.merchant, data, says=f"{said[:1].upper()}{said[1:]}", status=409)
    return Redirect(f"/experiments/{quote(plan.id)}?done=started", status_code=303, headers=GUARDED)


handlers = [test_page, start_test]
