"""`recoup report`: what came back, how sure that is, against whom, what could mislead, what to do first, what to expect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recoup.cli.faults import FOUND, USAGE, Fault

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from recoup.engine.house import House
    from recoup.insight.report import Told
    from recoup.store.merchants import Merchant

TOP = 8
"""Rows of a list that a terminal shows."""


def report(
    merchant: Annotated[str | None, typer.Option(help="Which merchant, where there are several.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Everything as one JSON document.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write one self-contained page, for reading and printing.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the tables behind the figures as CSV into a folder.")
    ] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write them as Parquet into a folder.")] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(help="A balance export (Stripe's, or a plain CSV) to hold against these books."),
    ] = None,
    company: Annotated[
        Path | None, typer.Option(help="What only you know (TOML): recurring revenue, margins, costs; kept.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="Person-days to fill with opportunities.", min=0)] = None,
) -> None:
    """Tells a merchant's figures, checks, benchmarks, opportunities and forecast. Exit 1 on a critical fault."""
    from recoup.cli.opening import merchant_of, opened
    from recoup.insight.ledger import BadLedger

    with opened() as house:
        chosen = merchant_of(house, merchant)
        if company is not None:
            _take(house, chosen, company)
        for folder, form in ((csv, "csv"), (parquet, "parquet")):
            if folder is not None:
                _copy(house, chosen, folder, form)
        from recoup.insight.report import report as told

        try:
            found = told(house, chosen, ledger=ledger, capacity_days=days)
        except (BadLedger, OSError) as e:
            raise Fault(f"the export was not read; {e}", USAGE) from e
    _show(found, json=json, html=html, quiet=bool(csv or parquet))
    if found.faults:
        raise Fault(f"{'; '.join(found.faults)}; the report was made all the same; see its checks", FOUND)


def _take(house: "House", merchant: "Merchant", path: Path) -> None:
    """Keeps what the file tells of the company. Raises `Fault` naming the field."""
    import tomllib

    import msgspec

    from recoup.insight.company import Company, tell

    try:
        given = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Company)
    except OSError as e:
        raise Fault(f"{path} cannot be read; {e.strerror}; name a TOML file", USAGE) from e
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as e:
        raise Fault(f"{path} was not taken; {e}; docs/insight.md lists the fields", USAGE) from e
    tell(house.db, merchant.id, given, merchant.now(house.clock.now()))


def _copy(house: "House", merchant: "Merchant", folder: Path, form: str) -> None:
    from recoup.insight.fresh import frame

    try:
        for path in frame(house, merchant).copy(folder, form=form):
            typer.echo(f"wrote {path}", err=True)
    except OSError as e:
        raise Fault(f"{folder} cannot be written; {e.strerror}; name another folder", USAGE) from e


def _show(found: "Told", *, json: bool, html: Path | None, quiet: bool) -> None:
    import msgspec

    if html is not None:
        from recoup.insight.page import page

        try:
            html.write_text(page(found), encoding="utf-8")
        except OSError as e:
            raise Fault(f"{html} cannot be written; {e.strerror}; name another file", USAGE) from e
        typer.echo(f"wrote {html}", err=True)
    if json:
        print(msgspec.json.encode(found).decode())
    elif html is None and not quiet:
        _print(found)


def _print(found: "Told") -> None:
    from rich.console import Console

    from recoup.insight.sentences import headline

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=110)
    console.print(headline(found), style="bold")
    console.print(
        f"{found.merchant}, {found.cases} cases, as of {found.as_of:%Y-%m-%d %H:%M} UTC", style="dim"
    )
    if found.label:
        console.print(found.label, style="yellow")
    _figures(console, found)
    _cohorts(console, found)
    for part in found.currencies:
        _ranking(console, part.currency, found)
    _channels(console, found)
    _monitors(console, found)
    _fees(console, found)
    _outlook(console, found)
    _checks(console, found)


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for n, column in enumerate(columns):
        table.add_column(column, justify="left" if n == 0 else "right", overflow="fold")
    return table


def _figures(console: "Console", found: "Told") -> None:
    from recoup.insight.sentences import band, shown, what_for

    table = _table("\nFigures", "", "value", "95 %", "of", "what has to be said")
    for f in [
        *found.figures,
        *(p.rate_by_value for p in found.currencies),
        *(f for p in found.currencies[:1] for f in p.figures),
    ]:
        if f.value is not None:
            table.add_row(what_for(f), shown(f), band(f), "" if f.n is None else str(f.n), "; ".join(f.notes))
    console.print(table)


def _cohorts(console: "Console", found: "Told") -> None:
    from recoup.insight.sentences import percent

    table = _table("\nMonths in which renewals failed", "", "cases", "back in 30 days", "bounds", "open")
    for c in found.cohorts[-TOP:]:
        share = (
            "too young"
            if c.share.value is None
            else percent(c.share.value) + ("" if c.mature else " (estimate)")
        )
        table.add_row(
            c.label,
            str(c.cases),
            share,
            "" if c.mature else f"{percent(c.lowest)} to {percent(c.highest)}",
            str(c.open),
        )
    console.print(table)


def _ranking(console: "Console", currency: str, found: "Told") -> None:
    from recoup.insight.sentences import money

    ranking = next(p.ranking for p in found.currencies if p.currency == currency)
    console.print(f"\nWhat to do first, in {currency}", style="bold")
    for must in ranking.musts:
        console.print(f"MUST  {must.what}. {must.switch}", style="red")
    if ranking.status != "ranked":
        console.print(ranking.says, style="yellow")
        return
    table = _table("", "", "a year", "from", "to", "certain", "days", "score", "watch")
    for o in ranking.all[:TOP]:
        low, mid, high = (money(v, currency) for v in o.impact_minor)
        kind = "" if o.class_ == "quick" else f" ({o.class_})"
        table.add_row(f"{o.name}{kind}{', an assumption' if o.assumption else ''}", mid, low, high, f"{o.confidence:.2f}", f"{o.effort_days:g}",
                      f"{o.score:.2f}", f"{o.first_signal}, day {o.signal_day}")  # fmt: skip
    console.print(table)
    for each in ranking.assumed:
        console.print(f"assumed: {each}", style="dim")
    if ranking.assumed:
        console.print("tell it on the page /insight/company, or with --company FILE", style="dim")


def _channels(console: "Console", found: "Told") -> None:
    from recoup.insight.by_channel import paid_words

    if not found.channels.rows:
        return
    table = _table(
        f"\nMessages by channel, {found.channels.days} days", "", "sent", "reached", "opened", "by machines alone", "clicked", "paid within 72 hours"
    )  # fmt: skip
    for r in found.channels.rows:
        told = ("not told" if n is None else str(n) for n in (r.opened, r.machine, r.clicked))
        table.add_row(r.name, str(r.sent), str(r.reached), *told, paid_words(r))
    console.print(table)
    console.print(f"{found.channels.caution}.", style="dim")


def _monitors(console: "Console", found: "Told") -> None:
    from recoup.insight.monitors import share_words

    shown = [m for m in found.monitors if m.status != "none"]
    if not shown:
        return
    table = _table("\nRules on the whole merchant", "", "window", "stands", "counted", "")
    for m in shown:
        status = "cannot be seen" if m.status == "unseen" else m.status
        table.add_row(f"{m.what} ({m.rule})", m.window, status, share_words(m), m.because)
    console.print(table)


def _fees(console: "Console", found: "Told") -> None:
    from recoup.insight.fees import cost

    if not found.fees.rows:
        return
    table = _table(
        "\nFees under the network rules, by month",
        "",
        "network",
        "for",
        "attempts",
        "cost",
        "of unknown price",
    )
    for f in found.fees.rows[-TOP * 2 :]:
        price = cost(f.amount, f.currency) if f.attempts > f.unpriced else "not known"
        table.add_row(
            f.month, f.network, f"{f.kind} ({f.rule})", str(f.attempts), price, str(f.unpriced or "")
        )
    console.print(table)
    for doubt in found.fees.doubts:
        console.print(doubt, style="dim")


def _outlook(console: "Console", found: "Told") -> None:
    from recoup.insight.sentences import money

    table = _table("\nWhat open cases will bring", "", "open", "at risk", "expected", "95 %", "first week")
    for p in found.currencies:
        f = p.forecast
        first = money(f.weeks[0].expected_minor, p.currency) if f.weeks else ""
        span = f"{money(f.low_minor, p.currency)} to {money(f.high_minor, p.currency)}"
        table.add_row(
            p.currency,
            str(f.open_cases),
            money(f.at_risk_minor, p.currency),
            money(f.expected_minor, p.currency),
            span,
            first,
        )
    console.print(table)
    for a in found.ahead:
        untold = f"; no earlier renewal is known of {a.without_history}" if a.without_history else ""
        console.print(
            f"{a.renewals} stored renewals of {money(a.amount_minor, a.currency)} are due; {money(a.at_risk_minor, a.currency)} "
            f"is expected to fail at first{untold}",
            style="dim",
        )


def _checks(console: "Console", found: "Told") -> None:
    console.print("\nWhat could mislead, and what is wrong", style="bold")
    loud = [v for v in found.checks.verdicts if v.status in ("warn", "fail")]
    for v in loud:
        console.print(
            f"{v.status.upper():4} {v.id}  {v.name}: {v.says}. {v.fix}",
            style="red" if v.status == "fail" else "yellow",
            soft_wrap=True,
        )
    passed = sum(v.status == "pass" for v in found.checks.verdicts)
    untold = sum(v.status == "not enough data" for v in found.checks.verdicts)
    console.print(
        f"{passed} checks pass, {untold} have not enough data; critical data checks: {found.quality:.0%}",
        style="dim",
    )
