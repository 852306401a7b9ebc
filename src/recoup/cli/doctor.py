"""`recoup doctor`: examines this installation; every fault comes with its fix."""

from typing import TYPE_CHECKING, Annotated

import typer

from recoup.cli.faults import FOUND, UNREACHABLE

if TYPE_CHECKING:
    from recoup.cli.check import Check


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Checks as JSON lines.")] = False,
) -> None:
    """Checks database, migrations, provider accounts, mail (SPF, DKIM, DMARC, links), clock and workers; each fault with its fix."""
    import msgspec

    from recoup import settings
    from recoup.cli.checks import examine
    from recoup.cli.serve import logs

    own = settings.read()
    logs(own)
    faults = unreachable = 0
    if not json:
        print("Settings (secrets masked):")
        for name, value in own.shown().items():
            print(f"  RECOUP_{name.upper():17} {value or '-'}")
        print()
    for check in examine(own):
        faults += check.state == "fault"
        unreachable += check.state == "unreachable"
        if json:
            print(msgspec.json.encode(check).decode())
        else:
            mark = {"ok": "ok", "remark": "note", "fault": "FAULT", "unreachable": "FAULT"}[check.state]
            print(f"{mark:6}  {_told(check)}")
            for record in check.records or ():
                print(f"{'':6}    {record}")
    wrong = faults + unreachable
    typer.echo(f"{wrong} fault{'s' if wrong > 1 else ''}" if wrong else "all in order", err=json)
    if unreachable:
        raise typer.Exit(UNREACHABLE)
    if faults:
        raise typer.Exit(FOUND)


def _told(check: "Check") -> str:
    """One line: what is right, or what is not and how it is mended."""
    if check.state == "ok":
        return check.what + (f": {check.fix}" if check.fix else "")
    return f"not so: {check.what}; {check.fix}"
