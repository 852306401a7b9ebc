"""`recoup policy`: checks policies, tells them in words, compares them, tries them and puts them in force."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recoup.cli.faults import FOUND

if TYPE_CHECKING:
    from recoup.domain.policy import Policy
    from recoup.engine.ending_preview import Ahead
    from recoup.engine.policies import Moved

app = typer.Typer(help="Checks, explains, compares, tries and activates policies.", no_args_is_help=True)

Source = Annotated[
    str, typer.Argument(help="A policy file, or a shipped policy by name.", metavar="NAME_OR_FILE")
]
Merchant = Annotated[str | None, typer.Option(help="Which merchant, where there are several.")]


def _read(source: str) -> "tuple[Policy, str]":
    from recoup.engine.policies import parse, text_of

    text, name = text_of(source)
    return parse(text, source=name), text


@app.command("list")
def listed() -> None:
    """Names the policies that come with Recoup."""
    from recoup.engine.policies import shipped, text_of

    for name in shipped():
        first = text_of(name)[0].splitlines()[0].removeprefix("# ")
        print(f"{name:12}  {first}")


@app.command("lint")
def lint(
    files: Annotated[list[str], typer.Argument(help="Policy files, or shipped policies by name.")],
    merchant: Annotated[
        str | None, typer.Option(help="Also say which channels this merchant has no door for.")
    ] = None,
) -> None:
    """Refuses what is wrong, with line and reason; exit 1."""
    from recoup.engine.policy_text import PolicyRefused

    refused = 0
    for source in files:
        try:
            policy, _ = _read(source)
        except PolicyRefused as e:
            refused += 1
            typer.echo(f"recoup: {e}", err=True)
        else:
            print(f"{source}: {policy.name} is in order")
            for note in _closed(policy, merchant):
                print(f"note    {note}")
    if refused:
        raise typer.Exit(FOUND)


def _closed(policy: "Policy", merchant: str | None) -> list[str]:
    """The channels a policy names that open no door: of a merchant, or of nobody."""
    from recoup.engine import doors

    if merchant is None:
        chat = [r.step for r in policy.message if "chat" in r.channels]
        return [f"the message {step!r} names 'chat'; {doors.CHAT}" for step in chat]
    from recoup.cli.opening import merchant_of, opened
    from recoup.store.engines import reading

    with opened() as house:
        who = merchant_of(house, merchant)
        with reading(house.db) as tx:
            return doors.missing(house, tx, who, policy)


@app.command("explain")
def explain(source: Source) -> None:
    """Prints a policy as plain sentences."""
    from recoup.engine.policies import sentences

    policy, _ = _read(source)
    print(f"The policy {policy.name!r}:")
    for sentence in sentences(policy):
        print(f"- {sentence}")


@app.command("diff")
def diff(old: Source, new: Source) -> None:
    """Says in words what changes from one policy to another."""
    import difflib

    from recoup.engine.policies import sentences

    before, after = sentences(_read(old)[0]), sentences(_read(new)[0])
    if before == after:
        print("They say the same.")
        return
    for line in difflib.ndiff(before, after):
        if line[:1] in "-+":
            print(line)


@app.command("try")
def try_(
    source: Source, merchant: Merchant = None, json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """Shows what a policy would do to the open cases; changes nothing."""
    import msgspec

    from recoup.cli.opening import merchant_of, opened
    from recoup.engine.policies import preview

    policy, _ = _read(source)
    looked = differ = 0
    with opened() as house:
        for moved in preview(house, merchant_of(house, merchant), policy, ref=f"{policy.name}@new"):
            looked += 1
            if not moved.differs:
                continue
            differ += 1
            print(msgspec.json.encode(moved).decode() if json else _told(moved))
    typer.echo(f"{differ} of {looked} open cases would do something else next", err=json)


def _told(moved: "Moved") -> str:
    from recoup.domain.decision import Decision
    from recoup.domain.instants import text

    def step(d: Decision | None) -> str:
        if d is None:
            return "nothing planned"
        what = {"ask": f"message {d.step}", "give_up": f"give up ({d.action})"}.get(
            d.move, d.move.replace("_", " ")
        )
        return f"{what} {text(d.at)}" if d.at else what

    return f"{moved.case_id}: {step(moved.was)} -> {step(moved.becomes)}"


@app.command("endings")
def endings(
    source: Annotated[
        str | None,
        typer.Argument(
            help="As this policy would have it; absent: as each case's own does.", metavar="NAME_OR_FILE"
        ),
    ] = None,
    days: Annotated[int, typer.Option(help="How many days to look ahead; 0: today.", min=0, max=370)] = 0,
    merchant: Merchant = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Shows what would end today, or in the days ahead, and how; changes nothing."""
    from datetime import timedelta

    import msgspec

    from recoup.cli.opening import merchant_of, opened
    from recoup.engine.ending_preview import ahead

    policy = _read(source)[0] if source is not None else None
    count: dict[str, int] = {}
    with opened() as house:
        for each in ahead(
            house, merchant_of(house, merchant), within=timedelta(days=days + 1), policy=policy
        ):
            count[each.action] = count.get(each.action, 0) + 1
            print(msgspec.json.encode(each).decode() if json else _ends(each))
    what = ", ".join(f"{n} {action.replace('_', ' ')}" for action, n in sorted(count.items())) or "nothing"
    typer.echo(f"{what} within {days + 1} day{'s' if days else ''}", err=json)


def _ends(each: "Ahead") -> str:
    from recoup.domain.instants import text
    from recoup.domain.money import decimal

    owed = f"{decimal(each.amount_minor, each.currency):f} {each.currency}"
    where = " at the biller" if each.at_biller else ""
    after = (
        f"; win-back {text(each.win_back_at)}"
        if each.win_back_at
        else "; held out of the win-back"
        if each.held_out
        else ""
    )
    return f"{text(each.at)} {each.case_id} ({owed} of {each.customer_id}): {each.action.replace('_', ' ')}{where}{after}"


@app.command("activate")
def activate(
    source: Source,
    merchant: Merchant = None,
    move_open_cases: Annotated[
        bool, typer.Option("--move-open-cases", help="Open cases follow it too, from their next step on.")
    ] = False,
) -> None:
    """Stores a policy and lets new cases begin with it."""
    from recoup.cli.opening import merchant_of, opened
    from recoup.engine import policies

    _, text = _read(source)
    with opened() as house:
        owner = merchant_of(house, merchant)
        ref = policies.accept(house, owner, text, activate=False, source=source)
        moved = policies.activate(house, owner, ref, move_open_cases=move_open_cases, actor="staff:cli")
    print(f"{owner.name}: new cases begin with {ref}; {len(moved)} open cases moved")


@app.command("save")
def save(name: Annotated[str, typer.Argument(help="A shipped policy.")], file: Path) -> None:
    """Writes a shipped policy to a file of your own, as a beginning."""
    from recoup.cli.faults import USAGE, Fault
    from recoup.engine.policies import text_of

    if file.exists():
        raise Fault(f"{file} exists already; it is not overwritten; choose another name", USAGE)
    file.write_text(text_of(name)[0], encoding="utf-8")
    print(f"wrote {file}")
