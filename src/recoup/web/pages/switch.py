"""A switch of the ranked list: what exactly would change, asked for confirmation, begun as a test or for good, taken back."""

from typing import Any
from urllib.parse import quote

from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.response import Redirect

from recoup.engine.operate import NotAllowed
from recoup.engine.policies import PolicyRefused
from recoup.insight import switching
from recoup.insight.stage import stage_of
from recoup.insight.tactics import catalogue
from recoup.store.engines import reading
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Form, Home, Visitor, may_do, named, typed
from recoup.web.pages.frame import GUARDED

WHERE = "/insight/switch/"


@get("/insight/switch/{tactic:path}", sync_to_thread=True, include_in_schema=False)
def switch_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """What the switch would change; nothing is changed by looking."""
    return _page(house, visit, named(request, WHERE))


def _page(house: Home, visit: Visit, tactic: str, *, says: str = "", status: int = 200) -> Response[str]:
    merchant = visit.merchant
    if merchant is None:
        return no_merchant(visit)
    about = next((t for t in catalogue() if t.id == tactic), None)
    if about is None:
        raise NotFoundException("There is no such tactic; Insight has the list.")
    try:
        would = switching.outlook(house, merchant, tactic)
    except (LookupError, PolicyRefused) as e:
        would, says = None, says or str(e)
    with reading(house.db) as tx:
        stage = stage_of(tx, merchant.id, visit.now)
    return desk(
        visit, "switch.html", tab="/insight", about=about, would=would, stage=stage, says=f"{says[:1].upper()}{says[1:]}",
        status=status,
    )  # fmt: skip


@post("/insight/switch/{tactic:path}", sync_to_thread=True, include_in_schema=False)
def throw(request: Ask, house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Begins a test, puts the policy in force (from about 1,000 customers on once a second person agrees), or takes it back."""
    tactic, merchant, do = named(request, WHERE), visit.merchant, typed(data, "do")
    if merchant is None:
        return no_merchant(visit)
    may_do(visit, data, "test" if do == "try" else "rule")
    if do != "back" and typed(data, "seen") != merchant.policy:
        changed = "the policy was changed while you were looking; this is what the switch would do now"
        return _page(house, visit, tactic, says=changed, status=409)
    with reading(house.db) as tx:
        alone = not stage_of(tx, merchant.id, visit.now).four_eyes
    try:
        if do == "try":
            test = switching.try_out(house, merchant, tactic, visit.person)
            return Redirect(f"/experiments/{quote(test)}?done=started", status_code=303, headers=GUARDED)
        if do == "back":
            asked = switching.take_back(house, merchant, typed(data, "ref"), visit.person, alone=alone)
        else:
            move = typed(data, "move") == "yes"
            asked = switching.switch_on(
                house, merchant, tactic, visit.person, move_open_cases=move, alone=alone
            )
    except (LookupError, ValueError, NotAllowed) as e:
        if do == "back":
            return Redirect("/insight?done=not_on", status_code=303, headers=GUARDED)
        return _page(house, visit, tactic, says=str(e), status=409)
    done = "asked_rule" if asked is not None else "switched_back" if do == "back" else "switched_on"
    return Redirect(f"/insight?done={done}", status_code=303, headers=GUARDED)


handlers = [switch_page, throw]
