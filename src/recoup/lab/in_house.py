"""How cases went that were played through the engine, in the shape the simulation counts in."""

from collections.abc import Sequence

import msgspec

from recoup.domain.case import CLOSED, Case, State
from recoup.engine.house import House
from recoup.lab.lives import Failure
from recoup.lab.town import Played
from recoup.lab.town import State as Ended
from recoup.store import cases
from recoup.store.engines import reading
from recoup.store.merchants import Merchant

REACHED = frozenset({"sent", "delivered", "opened", "clicked"})
RECEIPT = "recovered"
_STATES: dict[State, Ended] = {
    State.RECOVERED: "recovered",
    State.LOST: "lost",
    State.LOST_VOLUNTARY: "lost_voluntary",
    State.EXCLUDED: "lost",
}


def outcomes(house: House, merchant: Merchant, failures: Sequence[Failure]) -> list[Played]:
    """What became of each failure, in their order; a case a person was to decide counts as lost."""
    with reading(house.db) as tx:
        found = cases.load(tx, merchant.id, [f.view.case_id for f in failures])
    return [_outcome(found[f.view.case_id], f) for f in failures]


def _outcome(case: Case, f: Failure) -> Played:
    told = tuple(m for m in case.messages if m.status in REACHED and m.step != RECEIPT)
    ended_at = case.closed_at or f.at
    view = msgspec.structs.replace(case.view(ended_at, f.view.history), messages=told)
    state: Ended = _STATES[case.state] if case.state in CLOSED else "lost" if case.queue else "open"
    return Played(state=state, by=case.by, ended_at=ended_at, view=view)
