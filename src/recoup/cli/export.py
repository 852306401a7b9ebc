"""`recoup export`: a merchant's cases as case views, with decisions and outcomes, for learning and backtests."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from recoup.domain.view import CaseView
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant

PAGE = 500


def export(
    merchant: Annotated[str | None, typer.Option(help="Which merchant, where there are several.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the lines go; else stdout.", dir_okay=False)] = None,
    open_too: Annotated[bool, typer.Option("--open", help="Also cases that are not over.")] = False,
) -> None:
    """The merchant's finished cases as case views (JSON lines), with outcomes, decisions and propensities."""
    import msgspec

    from recoup.cli.opening import merchant_of, opened

    encoder, written = msgspec.json.Encoder(), 0
    with opened() as house:
        owner = merchant_of(house, merchant)
        stream = sys.stdout.buffer if out is None else out.open("wb")
        try:
            for view in exported(house, owner, open_too=open_too):
                stream.write(encoder.encode(view) + b"\n")
                written += 1
        finally:
            stream.flush()
            if out is not None:
                stream.close()
    print(f"recoup: {written} cases of {owner.name} written", file=sys.stderr)


def exported(house: "House", merchant: "Merchant", *, open_too: bool = False) -> "Iterator[CaseView]":
    """Every case of the merchant that is over, oldest first; with `open_too` the others as well."""
    from recoup.lab.backtest_log import KINDS, Past, logged
    from recoup.store import cases, reads
    from recoup.store.engines import reading

    past, after = Past(), None
    while True:
        with reading(house.db) as tx:
            page = reads.listed(tx, merchant.id, reads.Filters(), after=after, limit=PAGE, oldest_first=True)
            facts = cases.histories(tx, merchant.id, [one.case.id for one in page], KINDS)
        for one in page:
            case = one.case
            if open_too or case.closed_at is not None:
                yield logged(case, facts[case.id], past.of(case))
            past.add(case)
        if len(page) < PAGE:
            return
        after = (page[-1].case.opened_at, page[-1].case.id)
