"""`recoup explain`: the life of one case in words, its next decision with what would change it, and its fees."""

from typing import TYPE_CHECKING, Annotated

import typer

from recoup.cli.faults import USAGE, Fault

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from recoup.domain.case import Case
    from recoup.domain.facts import Fact
    from recoup.engine.house import House
    from recoup.insight.card import Card
    from recoup.insight.story import Line
    from recoup.store.merchants import Merchant


def explain(
    case: Annotated[str, typer.Argument(help="The id of a case, or of its debt.")],
    merchant: Annotated[str | None, typer.Option(help="Which merchant, where several have it.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the clock; else the customer's own.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Lines as JSON.")] = False,
) -> None:
    """Tells the life of one case: facts, decisions with reasons and runners-up, rules that bound, what it cost under
    them; and of the next decision what would change it."""
    import msgspec

    from recoup.cli.opening import opened
    from recoup.insight.card import card
    from recoup.insight.story import story
    from recoup.store.engines import reading

    with opened() as house:
        owner, found, facts = _found(house, merchant, case)
        where = zone or found.customer.timezone or "UTC"
        now = owner.now(house.clock.now())
        with reading(house.db) as tx:
            known = card(house, tx, owner, found, now, where=where)
    lines = story(found, facts, where=where, verdicts=known.said)
    if json:
        for line in lines:
            print(msgspec.json.encode(line).decode())
        if known.decision is not None:
            print(msgspec.json.encode({"kind": "decision", **msgspec.to_builtins(known.decision)}).decode())
        for entry in known.fees:
            print(msgspec.json.encode({"kind": "fee", **msgspec.to_builtins(entry)}).decode())
        return
    _print(owner, found, lines, where)
    _print_card(known, where)


def _found(house: "House", merchant: str | None, case: str) -> "tuple[Merchant, Case, list[Fact]]":
    from recoup.store import cases, merchants
    from recoup.store.engines import reading

    with reading(house.db) as tx:
        among = merchants.everyone(tx) if merchant is None else [merchants.get(tx, merchant)]
        found = []
        for each in among:
            one = cases.load(tx, each.id, [case]).get(case) or cases.by_debts(tx, each.id, [case]).get(case)
            if one is not None:
                found.append((each, one, cases.history(tx, each.id, one.id)))
    if not found:
        raise Fault(
            f"there is no case and no debt {case!r}; nothing to tell; look for its id in the list of cases",
            USAGE,
        )
    if len(found) > 1:
        names = ", ".join(m.name for m, _, _ in found)
        raise Fault(
            f"several merchants have {case!r} ({names}); one has to be chosen; add --merchant NAME", USAGE
        )
    return found[0]


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=110)


def _print_card(known: "Card", where: str) -> None:
    """The decision that comes next with what would change it, and the fees."""
    from rich.text import Text

    from recoup.insight.verdicts import fee_words

    console, card = _console(), known.decision
    if card is not None:
        console.print()
        console.print(Text(f"Next: {card.what}", style="bold"), soft_wrap=True)
        for told in card.because:
            console.print(Text(f"  {told}"), soft_wrap=True)
        for rule in card.rules:
            since = f", since {rule.since.isoformat()}" if rule.since else ""
            console.print(Text(f"  rule {rule.id}{since}: {rule.limits}", style="dim"), soft_wrap=True)
        for other in card.runners_up:
            console.print(Text(f"  or {other.says}", style="dim"), soft_wrap=True)
        console.print(Text(f"  decided by {card.by} under {card.policy}", style="dim"), soft_wrap=True)
        if card.weighs:
            console.print(Text("What is weighed", style="bold"))
        for line in card.weighs:
            console.print(Text(f"  {line}"), soft_wrap=True)
        if card.would_change:
            console.print(Text("What would change it", style="bold"))
        for change in card.would_change:
            console.print(Text(f"  If {change.if_}: {change.then}"), soft_wrap=True)
    if known.fees:
        sums = " and ".join(f"{amount:f} {currency}" for currency, amount in known.fee_totals.items())
        rest = f"; {known.unpriced} attempts at a price not known here" if known.unpriced else ""
        console.print()
        console.print(Text(f"Fees under the rules: {sums or 'none known'}{rest}", style="bold"))
        for entry in known.fees:
            console.print(Text(f"  {_when(entry.at, where)}  {fee_words(entry.fee)}"), soft_wrap=True)


def _when(at: "datetime", where: str) -> str:
    from recoup.domain.instants import zone

    return at.astimezone(zone(where)).strftime("%Y-%m-%d %H:%M")


def _print(owner: "Merchant", case: "Case", lines: "list[Line]", where: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from recoup.domain.money import decimal

    console = _console()
    owed = f"{decimal(case.debt.amount_minor, case.debt.currency):f} {case.debt.currency}"
    console.print(
        Text(f"Case {case.id}: {owed} for debt {case.debt.id} of customer {case.customer.id}", style="bold")
    )
    says = f"{owner.name}, policy {case.policy}, {case.state.value.replace('_', ' ')}; times in {where}"
    console.print(Text(says, style="dim"), end="\n\n")
    styles = {"ok": "green", "bad": "red", "wait": "yellow", "": ""}
    for line in lines:
        when = _when(line.at, where) if line.at else " " * 16
        console.print(Text.assemble((when, "dim"), "  ", (line.text, styles[line.tone])), soft_wrap=True)
        if line.why:
            console.print(Padding(Text(line.why, style="dim"), (0, 0, 0, 18)))
