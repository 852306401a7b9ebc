"""`recoup verify`: the books against the biller, and against themselves."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from recoup.cli.faults import FOUND

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant


def verify(
    merchant: Annotated[str | None, typer.Option(help="Only this merchant; else all of them.")] = None,
    days: Annotated[
        int, typer.Option(help="Ask the biller about what came back in so many days.", min=0, max=400)
    ] = 2,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody; only our own books.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Findings as JSON lines.")] = False,
) -> None:
    """Holds our books against the biller's and rows against facts; exit 1 names the rows."""
    from recoup.cli.opening import opened
    from recoup.insight.audit import Report, audit
    from recoup.store import merchants
    from recoup.store.engines import reading

    report, faults, remarks, said = Report(), 0, 0, []
    with opened() as house:
        with reading(house.db) as tx:
            chosen = merchants.everyone(tx) if merchant is None else [merchants.get(tx, merchant)]
        for each in chosen:
            if not offline and days:
                said.append(_asked(house, each, days, json))
            for finding in audit(house.db, each, each.now(house.clock.now()), report):
                faults += finding.weight == "fault"
                remarks += finding.weight == "remark"
                _tell(finding.weight, finding.merchant, finding.row, finding.what, json)
    looked = f"{report.cases} cases, {report.facts} facts, {len(chosen)} merchants"
    typer.echo(f"checked {looked}: {faults} faults, {remarks} remarks", err=json)
    for line in said:
        typer.echo(line, err=json)
    if faults:
        raise typer.Exit(FOUND)


def _asked(house: "House", merchant: "Merchant", days: int, json: bool) -> str:
    """Asks the biller first, so that what it changed lately is in the books before they are checked."""
    from recoup.engine import reconcile

    asked = reconcile.Asked()
    since = merchant.now(house.clock.now()) - timedelta(days=days)
    for found in reconcile.compare(house, merchant, since=since, asked=asked):
        _tell("taken in" if found.mended else "remark", merchant.name, found.case_id, found.says, json)
    silent = asked.debts - asked.answers
    unheard = f"; {silent} could not be asked about" if silent else ""
    return f"asked the biller of {merchant.name} about {asked.debts} debts that came back in {days} days{unheard}"


def _tell(weight: str, merchant: str, row: str | None, what: str, json: bool) -> None:
    import msgspec

    if json:
        finding = {"weight": weight, "merchant": merchant, "row": row, "what": what}
        print(msgspec.json.encode(finding).decode())
    else:
        print(f"{weight.upper():6}  {merchant}{f', {row}' if row else ''}: {what}")
