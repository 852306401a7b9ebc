"""The people at the demo's desks: customers who write back, and an agent who answers them some days later."""

from recoup.domain.case import CLOSED, Case
from recoup.engine import operate, receive
from recoup.engine.house import House
from recoup.store import cases
from recoup.store.engines import reading
from recoup.store.merchants import Merchant

_LETTERS = (
    "wrote back: the invoice goes to our accountant, please send it there",
    "wrote back: I get a new card next week, please wait until then",
    "wrote back: my bank says it is you, what can I do?",
    "wrote back: I thought I had paid this on the phone",
)
_HARDSHIP = "wrote back: lost the job last month, asks for time"
_ANSWERED = "Answered: the link to the payment page, and that nothing is switched off meanwhile."
WRITES_EVERY, HARD_EVERY, ANSWERS_IN = 4, 15, 3
"""In days."""


class Desk:
    """One merchant's mail from customers. The same days of the same story bring the same letters."""

    def __init__(self, house: House, merchant: Merchant) -> None:
        self._house, self._id = house, merchant.id
        self._day = 0
        self._written: set[str] = set()
        self._waiting: dict[str, int] = {}
        """Case -> the day on which it is answered."""

    @property
    def waiting(self) -> set[str]:
        """The cases whose letters have not been answered yet."""
        return set(self._waiting)

    def day(self, open_cases: set[str]) -> None:
        """What comes in and is answered on one day; `open_cases` are those that may be over only since."""
        self._day += 1
        merchant = receive.merchant_named(self._house, self._id)
        with reading(self._house.db) as tx:
            found = cases.load(tx, self._id, sorted(open_cases | set(self._waiting)))
        self._answer(merchant, found)
        hard = self._day % HARD_EVERY == 0
        if hard or self._day % WRITES_EVERY == 0:
            self._write(merchant, found, hard=hard)

    def _answer(self, merchant: Merchant, found: dict[str, Case]) -> None:
        for case_id in [c for c, day in self._waiting.items() if day <= self._day]:
            del self._waiting[case_id]
            case = found.get(case_id)
            if case is not None and case.state not in CLOSED and case.queue is not None:
                operate.note(self._house, merchant, case_id, actor="staff:agent", text=_ANSWERED)
                operate.resume(self._house, merchant, case_id, actor="staff:agent")

    def _write(self, merchant: Merchant, found: dict[str, Case], *, hard: bool) -> None:
        """The customer of the case that is open the longest, of those that have been told and have not written yet."""
        told = [
            c for c in found.values()
            if c.state not in CLOSED and c.queue is None and c.id not in self._written
            and any(m.status == "sent" for m in c.messages)
        ]  # fmt: skip
        if not told:
            return
        case = min(told, key=lambda c: (c.opened_at, c.id))
        self._written.add(case.id)
        reason = _HARDSHIP if hard else _LETTERS[len(self._written) % len(_LETTERS)]
        queue = "vulnerable" if hard else "reply"
        operate.hand_over(
            self._house, merchant, case.id, actor="staff:agent", queue=queue, reason=reason, holds=hard
        )
        self._waiting[case.id] = self._day + (2 * ANSWERS_IN if hard else ANSWERS_IN)
