"""`recoup experiment`: what a test can answer, its start, what it has shown, its end."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recoup.domain.audience import Audience
    from recoup.domain.experiment import Arm, Kind
    from recoup.engine.house import House
    from recoup.insight.experiments import Result
    from recoup.insight.experiments_texts import Change
    from recoup.store import merchants

app = typer.Typer(
    help="A/B tests of policies, messages and pages, and the permanent holdout of messages.",
    no_args_is_help=True,
)

Merchant = Annotated[str | None, typer.Option(help="Which merchant, where there are several.")]
Id = Annotated[str, typer.Argument(help="The experiment's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Effect = Annotated[
    float, typer.Option(help="The smallest difference worth knowing, in points.", min=0.1, max=99)
]
Horizon = Annotated[int, typer.Option(help="Days after which a case is judged.", min=1, max=120)]
Arms = Annotated[
    list[str],
    typer.Option(
        "--arm", metavar="NAME[=POLICY][:SHARE]", help="Two or more; the first is what happens today."
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Option(
        "--texts",
        metavar="NAME=FILE",
        help="Of a messages test: an arm's own words, a TOML table for each language.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="FIELD=VALUE[,VALUE]",
        help="Of a policy test: draw only such cases, e.g. country=DE,AT or amount_below=5000.",
    ),
]
ACTOR = "staff:cli"


@app.command("start")
def start(
    id: Annotated[str, typer.Argument(help="An id of your choice, such as gentle-first.")],
    arms: Arms,
    texts: Words = None,
    only: Only = None,
    merchant: Merchant = None,
    name: Annotated[str | None, typer.Option(help="What it is about, for people.")] = None,
    kind: Annotated[str, typer.Option(help="policy, messages or page.")] = "policy",
    effect: Effect = 5.0,
    horizon_days: Horizon = 30,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Begin although it cannot answer in time.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it could answer.")] = False,
) -> None:
    """Says what a test can answer here, then starts it; refused where a year would not be enough."""
    from recoup.cli.faults import USAGE, Fault
    from recoup.cli.opening import merchant_of, opened
    from recoup.insight import experiments_run as run
    from recoup.store.engines import reading

    if kind not in ("policy", "messages", "page"):
        raise Fault(f"{kind!r} is no kind of experiment; one of policy, messages, page", USAGE)
    sides, whom = _worded(_arms(arms, kind), texts or []), _audience(only or [])
    with opened() as house:
        owner = merchant_of(house, merchant)
        if dry_run:
            with reading(house.db) as tx:
                can = run.prospect(
                    tx, owner.id, now=owner.now(house.clock.now()), effect=effect / 100, horizon_days=horizon_days,
                    share=sides[1].share / (sides[0].share + sides[1].share), alpha=0.05, arms=len(sides),
                    audience=whom,
                )  # fmt: skip
            print(can.says)
            return
        try:
            sides = [_stored(house, owner, side) for side in sides]
            plan, can = run.start(
                house, owner, id=id, name=name or id, kind=cast("Kind", kind), arms=sides, actor=ACTOR,
                effect=effect / 100, horizon_days=horizon_days, anyway=anyway, audience=whom,
            )  # fmt: skip
        except run.NotAnswerable:
            raise
        except ValueError as e:
            raise Fault(f"{e}; nothing was started", USAGE) from e
        print(can.says)
        which = f" ({whom})" if whom is not None else ""
        print(
            f"{plan.id} runs: cases that open from now on{which} are drawn, by customer, and keep their arm"
        )


def _stored(house: "House", owner: "merchants.Merchant", side: "Arm") -> "Arm":
    """The arm with its policy as it is stored: a shipped one by name and a file are stored first, and not activated."""
    import msgspec

    from recoup.engine import policies

    if side.policy is None or "@" in side.policy:
        return side
    text, source = policies.text_of(side.policy)
    ref = policies.accept(house, owner, text, activate=False, source=source)
    return msgspec.structs.replace(side, policy=ref)


def _arms(texts: list[str], kind: str) -> "list[Arm]":
    from recoup.cli.faults import USAGE, Fault
    from recoup.domain.experiment import Arm

    found = []
    for text in texts:
        named, _, share = text.partition(":")
        name, _, what = named.partition("=")
        try:
            part = float(share) / 100 if share else 1 / len(texts)
        except ValueError as e:
            raise Fault(
                f"--arm {text}: the share {share!r} is no number of per cent, such as 50", USAGE
            ) from e
        policy = what or None if kind == "policy" else None
        variant = what or None if kind != "policy" else None
        found.append(Arm(name=name, share=part, policy=policy, variant=variant))
    if len(found) < 2:
        raise Fault("name two or more arms with --arm; the first is what happens today", USAGE)
    return found


def _audience(told: list[str]) -> "Audience | None":
    """`country=DE,AT` and the like as an audience; None: everybody."""
    import msgspec

    from recoup.cli.faults import USAGE, Fault
    from recoup.domain.audience import LISTS, Audience

    fields: dict[str, list[str] | str] = {}
    for given in told:
        name, _, values = given.partition("=")
        if name not in (*LISTS, "amount_at_least", "amount_below") or not values or name in fields:
            raise Fault(
                f"--only {given}: it is no field with values, each field once, such as country=DE,AT; fields are "
                f"{', '.join(LISTS)}, amount_at_least, amount_below",
                USAGE,
            )
        fields[name] = values.split(",") if name in LISTS else values
    try:
        return msgspec.convert(fields, Audience, strict=False) if fields else None
    except msgspec.ValidationError as e:
        raise Fault(f"--only: {e}; nothing was started", USAGE) from e


def _worded(sides: "list[Arm]", files: list[str]) -> "list[Arm]":
    """The arms with the words of their files: `[de]`, then `reminder.subject = "..."`."""
    from pathlib import Path

    import msgspec

    from recoup.cli.faults import USAGE, Fault

    found = {arm.name: arm for arm in sides}
    for given in files:
        name, _, path = given.partition("=")
        if name not in found or not path:
            raise Fault(
                f"--texts {given}: it names no arm and file, such as friendly=friendly.toml; arms are {', '.join(found)}",
                USAGE,
            )
        try:
            told = msgspec.toml.decode(
                Path(path).read_bytes(), type=dict[str, dict[str, str | dict[str, str]]]
            )
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise Fault(
                f'{path} cannot be read: {e}; write a table for each language, [de], and in it reminder.subject = "words"',
                USAGE,
            ) from e
        texts = {language: _flat(by_key) for language, by_key in told.items()}
        found[name] = msgspec.structs.replace(found[name], texts=texts)
    return list(found.values())


def _flat(told: "dict[str, str | dict[str, str]]") -> dict[str, str]:
    """`reminder.subject` is one name of ours and two of TOML's; quoted or not, it is the same."""
    found: dict[str, str] = {}
    for key, words in told.items():
        if isinstance(words, str):
            found[key] = words
        else:
            found |= {f"{key}.{inner}": each for inner, each in words.items()}
    return found


@app.command("list")
def listed(merchant: Merchant = None, json: AsJson = False) -> None:
    """Every experiment with its state."""
    import msgspec

    from recoup.cli.opening import merchant_of, opened
    from recoup.domain.instants import text
    from recoup.store import experiments
    from recoup.store.engines import reading

    with opened() as house:
        owner = merchant_of(house, merchant)
        with reading(house.db) as tx:
            found = experiments.everyone(tx, owner.id)
    for each in found:
        plan = each.plan
        if json:
            hidden = msgspec.structs.replace(each, plan=msgspec.structs.replace(plan, salt=""))
            print(msgspec.json.encode(hidden).decode())
            continue
        arms = ", ".join(f"{a.name} {a.share:.0%}" for a in plan.arms)
        since = f" since {text(each.began_at)[:10]}" if each.began_at and each.state == "running" else ""
        why = f" ({each.stopped_why})" if each.stopped_why else ""
        whom = f" for {plan.audience}" if plan.audience is not None else ""
        print(f"{plan.id:24}  {each.state}{since}{why}  {plan.kind}{whom}: {arms}")
    if not found and not json:
        print("No experiment yet; `recoup experiment start --help` says how to begin one.")


@app.command("result")
def result(id: Id, merchant: Merchant = None, json: AsJson = False) -> None:
    """What an experiment has shown so far: the sentence first."""
    import msgspec

    from recoup.cli.opening import merchant_of, opened
    from recoup.insight import experiments_run as run
    from recoup.insight.experiments_words import sentence

    with opened() as house:
        found, so_far = run.look(house, merchant_of(house, merchant), id)
    if json:
        print(msgspec.json.encode({"sentence": sentence(found.plan, so_far), "result": so_far}).decode())
        return
    print(sentence(found.plan, so_far))
    _tell(so_far)


def _tell(so_far: "Result") -> None:
    print()
    for arm in so_far.arms:
        rate = "-" if arm.rate is None else f"{arm.rate:.1%}"
        print(
            f"  {arm.name:20} {arm.enrolled:>7,} customers, {arm.ripe:>7,} judged, {arm.recovered:>7,} recovered ({rate}), "
            f"{arm.left} left, {arm.disputed} disputed"
        )
    for c in so_far.comparisons:
        if c.interval is None:
            print(f"  {c.arm} against {c.control}: too few customers to speak of")
            continue
        i = c.interval
        print(
            f"  {c.arm} against {c.control}: {i.estimate * 100:+.1f} points, surely between {i.low * 100:+.1f} and "
            f"{i.high * 100:+.1f}; what was known beforehand takes {c.narrowed:.0%} off the variance"
        )
    for doubt in so_far.doubts:
        print(f"  doubt: {doubt.says}")


@app.command("stop")
def stop(
    id: Id, why: Annotated[str, typer.Option(help="The reason, for whoever reads it later.")] = "stopped by hand",
    merchant: Merchant = None,
) -> None:  # fmt: skip
    """Ends an experiment; cases that are in it keep their arm's policy."""
    from recoup.cli.faults import FOUND, Fault
    from recoup.cli.opening import merchant_of, opened
    from recoup.insight import experiments_run as run

    with opened() as house:
        if not run.stop(house, merchant_of(house, merchant), id, actor=ACTOR, why=why):
            raise Fault(f"{id} was stopped before; nothing was changed", FOUND)
    print(f"{id} is stopped")


@app.command("promote")
def promote(
    id: Id,
    arm: Annotated[str, typer.Argument(help="The arm whose policy, or words, become the rule.")],
    merchant: Merchant = None,
    move_open_cases: Annotated[
        bool, typer.Option("--move-open-cases", help="Open cases follow it too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would move or change.")] = False,
) -> None:
    """Makes an arm's policy, or its words, the rule and ends the test. Promoting the first arm is the way back."""
    from recoup.cli.opening import merchant_of, opened
    from recoup.insight import experiments_run as run

    with opened() as house:
        owner = merchant_of(house, merchant)
        would = run.moving(house, owner, id, arm)
        if would.policy is None:
            _swapped(would.texts, would.kept)
            if dry_run:
                typer.echo(f"{len(would.texts)} of your sentences would change", err=True)
                return
            run.promote(house, owner, id, arm, actor=ACTOR, move_open_cases=False)
            print(
                f"{len(would.texts)} of your sentences changed; every message that leaves from now on says so"
            )
            return
        if dry_run:
            for case in would.cases:
                print(case)
            typer.echo(f"{len(would.cases)} open cases would move to {would.policy}", err=True)
            return
        moved = run.promote(house, owner, id, arm, actor=ACTOR, move_open_cases=move_open_cases)
    whom = f" ({would.audience})" if would.audience else ""
    print(f"new cases{whom} begin with {would.policy}; {len(moved)} open cases moved")


def _swapped(changes: "Sequence[Change]", kept: "Sequence[Change]") -> None:
    for c in changes:
        print(f"{c.language:6} {c.key:28} {c.was or 'our words'}")
        print(f"{'':6} {'becomes':28} {c.becomes or 'our words'}")
        print(f"{'':6} {'said in':28} {', '.join(c.said_in)}")
    for c in kept:
        print(f"{c.language:6} {c.key:28} stays {c.was or 'our words'}: it was changed by hand since")


@app.command("holdout")
def holdout(
    state: Annotated[str, typer.Argument(help="on, off or now (begin without waiting for volume).")],
    merchant: Merchant = None,
) -> None:
    """Switches the permanent holdout of messages: a few customers hear nothing but legal notices."""
    from recoup.cli.faults import USAGE, Fault
    from recoup.cli.opening import merchant_of, opened
    from recoup.insight import experiments_run as run

    if state not in ("on", "off", "now"):
        raise Fault(f"{state!r} is not on, off or now", USAGE)
    with opened() as house:
        owner = merchant_of(house, merchant)
        after = run.holdout(house, owner, on=state != "off", actor=ACTOR, at_once=state == "now")
    says = {"waiting": "waits until 250 payments fail within 30 days", "running": "runs", "off": "is off"}
    print(f"{owner.name}: the holdout of messages {says[after]}")
