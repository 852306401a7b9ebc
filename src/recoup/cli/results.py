"""The demo's result: what failed and came back, by cause, and the same lives under well-known fixed schedules."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

from recoup.channels.formats import money
from recoup.domain.case import Case, State
from recoup.domain.view import Trigger
from recoup.engine.house import House
from recoup.lab.lives import Failure
from recoup.lab.rivals import rivals
from recoup.lab.town import play
from recoup.psp.sandbox import Sandbox
from recoup.store import cases
from recoup.store.engines import reading
from recoup.store.merchants import Merchant

_CAUSES = {
    "funds": "not enough money", "risk": "bank undecided", "technical": "outage", "limit": "limit reached",
    "expired": "card expired", "invalid": "card number wrong", "dead": "card lost or stolen", "sca": "needs approval", "revoked": "consent withdrawn",
}  # fmt: skip

COMPARED = (
    "nothing",
    "daily_3",
    "stripe_357",
    "stripe_smart",
    "recurly_static",
    "chargebee_smart",
    "weekly_4",
)
"""The schedules shown beside ours; `recoup simulate` has them all."""


def show(
    house: House, merchant: Merchant, failures: Sequence[Failure], end: datetime, days: int, seed: int
) -> None:
    """Prints the result table and the comparison; the same seed prints the same."""
    with reading(house.db) as tx:
        found = cases.load(tx, merchant.id, [f.view.case_id for f in failures])
    console = Console(width=100, highlight=False)
    won = [c for c in found.values() if c.state is State.RECOVERED]
    shut = [c for c in found.values() if c.closed_at is not None]
    console.print(
        f"\n[bold]{_sums(won)} came back[/bold] of {_sums(found.values())} that failed in {days} days"
        f" (seed {seed}): {len(won)} of {len(shut)} finished cases, {len(found) - len(shut)} still open.\n"
    )
    console.print(_by_cause(failures, found))
    console.print(_compared(failures, found, end))
    gateway = house.gateway(merchant)
    if isinstance(gateway, Sandbox):
        faults = gateway.bank.audit()
        verdict = "nothing was collected twice" if not faults else f"FAULTS: {'; '.join(faults)}"
        console.print(f"The bank's own books: {len(gateway.bank.ledger())} charges, {verdict}.\n")


def _sums(some: Iterable[Case]) -> str:
    """One sum per currency, never mixed."""
    sums: dict[str, int] = defaultdict(int)
    for case in some:
        sums[case.debt.currency] += case.debt.amount_minor
    return ", ".join(money(minor, currency, "en") for currency, minor in sorted(sums.items())) or "nothing"


def _by_cause(failures: Sequence[Failure], found: dict[str, Case]) -> Table:
    table = Table(title="By cause", title_justify="left", box=None, pad_edge=False)
    for name in (
        "why it failed",
        "cases",
        "recovered",
        "by retry",
        "by customer",
        "lost",
        "left",
        "open",
        "charges",
        "mails",
    ):
        table.add_column(name, justify="left" if name == "why it failed" else "right")
    groups: dict[str, list[Case]] = defaultdict(list)
    for failure in failures:
        if failure.view.case_id in found:
            groups[failure.life.cause].append(found[failure.view.case_id])
    for cause, words in _CAUSES.items():
        if groups[cause]:
            table.add_row(words, *_row(groups[cause]))
    table.add_row("[bold]all[/bold]", *_row(list(found.values())))
    return table


def _row(some: list[Case]) -> list[str]:
    won = [c for c in some if c.state is State.RECOVERED]
    tries = sum(a.trigger is Trigger.RECOUP for c in some for a in c.attempts)
    mails = sum(m.status == "sent" and m.step != "recovered" for c in some for m in c.messages)
    numbers = (
        len(some), len(won), sum(c.by != "customer" for c in won), sum(c.by == "customer" for c in won),
        sum(c.state in (State.LOST, State.EXCLUDED) for c in some), sum(c.state is State.LOST_VOLUNTARY for c in some),
        sum(c.closed_at is None for c in some), tries, mails,
    )  # fmt: skip
    return [str(n) for n in numbers]


def _compared(failures: Sequence[Failure], found: dict[str, Case], end: datetime) -> Table:
    """Every schedule on the same hidden lives; only cases that have ended under all of them would be compared fairly."""
    table = Table(
        title="The same lives under fixed schedules", title_justify="left", box=None, pad_edge=False
    )
    for name in ("schedule", "recovered", "share", "left", "charges", "mails"):
        table.add_column(name, justify="left" if name == "schedule" else "right")
    some = list(found.values())
    tries = sum(a.trigger is Trigger.RECOUP for c in some for a in c.attempts)
    mails = sum(m.status == "sent" and m.step != "recovered" for c in some for m in c.messages)
    won = sum(c.state is State.RECOVERED for c in some)
    left = sum(c.state is State.LOST_VOLUNTARY for c in some)
    table.add_row("[bold]Recoup, shipped policy[/bold]", *_figures(won, left, tries, mails, len(some)))
    for rival in (rivals()[name] for name in COMPARED):
        played = [play(f, rival.decider, until=end) for f in failures]
        table.add_row(
            rival.title,
            *_figures(
                sum(p.state == "recovered" for p in played),
                sum(p.state == "lost_voluntary" for p in played),
                sum(p.tries for p in played),
                sum(p.messages for p in played),
                len(failures),
            ),
        )
    return table


def _figures(won: int, left: int, tries: int, mails: int, count: int) -> list[str]:
    return [str(won), f"{100 * won / max(count, 1):.0f} %", str(left), str(tries), str(mails)]
