"""Writes docs/generated from what the code itself says: states, commands, policy keys, shipped policies, the API."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import typer

from recoup.cli.main import app
from recoup.decide.caps import span_words
from recoup.decide.rulebook import ALWAYS, Rule, rulebook
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, IDLE, IN_FLIGHT, OPEN, TRANSITIONS, State
from recoup.domain.policy import CATEGORIES, Policy, duration_text
from recoup.engine.policies import parse, sentences, shipped, text_of
from recoup.engine.policy_text import PARTS

WHERE = Path(__file__).parents[1] / "docs" / "generated"
MADE = "<!-- Written by `make docs`. Change the code, not this page. -->"

MEANINGS = {
    "name": "What the policy is called; its versions count up under this name.",
    "window": "How long a case stays open after the first failure. Then the ending.",
    "minimum_due": "Nothing is charged or sent while a customer owes less, by currency, in minor units.",
    "timing.mode": "`learned`: a model chooses among the allowed instants and the schedule steps in where it has nothing to say. `schedule`: the `[[retry]]` list decides.",
    "timing.attempts": "The most charges of our own per case. Never widens a network's limit.",
    "timing.charge_hours": "When charges may run, in the customer's time zone.",
    "timing.avoid": "Days on which nothing is charged, in the customer's country.",
    "timing.explore": "The share of choices drawn among the allowed instants, so that a model can learn from them.",
    "timing.visa_attempts": "How often a Visa card may be tried again in 30 days. 15 is what no source contradicts; up to 20 only where your acquirer allows it (in force from 25 May 2025). A smaller number narrows.",
    "timing.sepa_notice": "How long before a SEPA debit your mandates promise notice (14 days unless agreed otherwise). Each try is then planned that far ahead. Leave it out where your provider gives the notice.",
    "timing.backup_after": "How long after the first failure a backup method is charged, once, where its customer allowed that on the hosted page. Absent: never.",
    "retry.after": "How long after the first failure.",
    "retry.when": "Only for these causes; absent: for every cause that time can cure.",
    "message.step": "The name of the message; sent once per case.",
    "message.after": "How long after the first failure.",
    "message.channels": "The first that can reach the customer is taken.",
    "message.when": "Only for these causes; absent: for all of them.",
    "message_limits.quiet_hours": "When nothing is sent, in the customer's time zone. Messages wait; none is dropped.",
    "message_limits.sms_quiet_hours": "The same for text messages, which ring: they hold whatever `quiet_hours` says.",
    "message_limits.per_customer": "The most messages to one customer in a span, over all their cases, such as `3 in P7D`.",
    "access.limited_after": "When your product should limit the customer, as `GET /v1/customers/{id}/access` says.",
    "access.blocked_after": "When it should block the customer.",
    "ending.action": "What happens when the window is over.",
    "ending.win_back": "How long after the ending the customer is written to once more, unless they came back, want no reminders or were deleted.",
    "ending.win_back_holdout": "The share of customers who get no win-back, always the same ones, so that its effect can be measured.",
    "value.margin": "Learned mode: the share of each amount collected that is kept.",
    "value.further_months": "How many months a customer paying monthly stays after a recovery.",
    "value.further_years": "How many years one paying yearly stays.",
    "value.attempt": "The fee of one charge, in minor units.",
    "value.message": "The price of one message, in minor units.",
    "value.exit": "How heavily the risk counts that a message makes the customer leave: 1 as measured, 0 not at all.",
    "value.patience": "What one day of waiting costs, as a share of what a recovery is worth.",
    "value.silence": "What one day more costs in which the customer is not told, though a message is worth sending; the same share.",
    "page.parts": "In how many parts a debt may be paid on the hosted page; 1: only as a whole.",
    "page.leave": "What “I meant to cancel” on the hosted page does: the subscription ends at the biller, and the debt is waived (`waive`) or left to a person (`owed`); `off`: the customer is asked to write.",
    "notices.expiring": "How long before a renewal a customer is told that their card will have expired by then: once a card, and only where no account updater covers it. Absent: never.",
    "notices.pre_debit": "Who tells the payer of a debit that has to be told ahead (India; SEPA where `timing.sepa_notice` is set). `recoup`: we do, and nothing is debited before its notice has left and its time has passed.",
    "value.returned": "What your bank or provider asks for a debit that comes back, in minor units of the debt's currency; it is then counted in the fees.",
    "segment.match": "The cases this is for: any of interval, currency, kind, country, segment, plan, method, network, funding, amount_at_least, amount_below. All must hold; a list means one of them. The first segment that matches is taken.",
    "segment.*": "Every other key of a policy, laid over the policy's own.",
}
_STATE_WORDS = {
    State.WAITING: "something is planned, or a decision is due",
    State.CHARGING: "an attempt is written down and its answer is on the way",
    State.UNKNOWN: "the answer was lost; nothing is charged until the provider has spoken",
    State.SETTLING: "accepted by the provider, not final yet",
    State.NEEDS_CUSTOMER: "only the customer can move it",
    State.DISPUTED: "paid, and the payer disputes it",
    State.RECOVERED: "paid",
    State.LOST: "given up, or written off",
    State.LOST_VOLUNTARY: "the subscription ended by somebody's will",
    State.EXCLUDED: "voided, a duplicate, fraud",
}


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "states.md": states(),
        "commands.md": commands(),
        "policies.md": policies(),
        "api.md": api(),
        "rules.md": rules(),
    }


def states() -> str:
    """The life of a case: a diagram of the moves, and the whole table."""
    lines = ["# The life of a case", MADE, "", "One table in `src/recoup/domain/case.py` says which fact may follow which state.",
             "The diagram shows the facts that move a case on; the table below has every pair.", "", "```mermaid", "stateDiagram-v2",
             "  [*] --> waiting: opened", "  state open {", "    state idle {", *[f"      {s.value}" for s in State if s in IDLE], "    }",
             "    state in_flight {", *[f"      {s.value}" for s in State if s in IN_FLIGHT], "    }", "    disputed", "  }"]  # fmt: skip
    for (source, target), names in _moves().items():
        lines.append(f"  {source} --> {target}: {', '.join(names)}")
    lines += ["```", "", "| State | |", "|---|---|"]
    lines += [f"| `{s.value}` | {_STATE_WORDS[s]}{' (closed)' if s in CLOSED else ''} |" for s in State]
    lines += ["", "## What may follow what", "", "`·` leaves the state as it is; empty: refused.", ""]
    lines += [
        "| Fact | " + " | ".join(s.value.replace("_", " ") for s in State) + " |",
        "|---" * (len(State) + 1) + "|",
    ]
    for kind in sorted({k for _, k in TRANSITIONS}, key=_name):
        cells = [_cell(state, TRANSITIONS.get((state, kind))) for state in State]
        lines.append(f"| `{_name(kind)}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(state: State, target: State | None) -> str:
    return "" if target is None else "·" if target is state else target.value.replace("_", " ")


def _name(kind: type[f.Fact]) -> str:
    return str(kind.__struct_config__.tag)


def _moves() -> dict[tuple[str, str], list[str]]:
    """(from, to) -> facts, with all states of a group drawn as one where they behave alike."""
    sources: dict[tuple[type[f.Fact], State], set[State]] = defaultdict(set)
    for (state, kind), target in TRANSITIONS.items():
        if target is not state:
            sources[kind, target].add(state)
    drawn: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (kind, target), froms in sorted(sources.items(), key=lambda kv: (_name(kv[0][0]), kv[0][1].value)):
        left = set(froms)
        for group, members in (("open", OPEN), ("in_flight", IN_FLIGHT), ("idle", IDLE)):
            if left and members - {target} <= left:
                drawn[group, target.value].append(_name(kind))
                left -= members
        for state in sorted(left):
            drawn[state.value, target.value].append(_name(kind))
    return dict(sorted(drawn.items()))


def commands() -> str:
    """Every command with its options, as the commands themselves say."""
    lines = ["# Commands", MADE, "", "Exit codes: 0 done; 1 the work found a fault it names; 2 wrong usage; 3 a needed service is unreachable.",
             "Errors are one line on stderr: `recoup: what; why; what to do`. `RECOUP_DEBUG=1` adds a traceback.", ""]  # fmt: skip
    lines += _command(typer.main.get_command(app), "recoup")
    return "\n".join(lines).rstrip() + "\n"


def _command(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is not None:
        if path != "recoup":
            yield from (f"## `{path}`", "", command.help or "", "")
        for name, each in inner.items():
            yield from _command(each, f"{path} {name}")
        return
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    shown = " ".join(_argument(p) for p in arguments)
    yield from (
        "#" * (2 if path.count(" ") == 1 else 3) + f" `{path}{f' {shown}' if shown else ''}`",
        "",
        command.help or "",
        "",
    )
    told = [(_argument(p), p) for p in arguments]
    told += [
        (", ".join([*p.opts, *p.secondary_opts]), p)
        for p in command.params
        if p not in arguments and p.name != "help"
    ]
    if told:
        yield from ("| | |", "|---|---|")
        yield from (f"| `{name}` | {_option(p)} |" for name, p in told)
        yield ""


def _argument(p: Any) -> str:
    name = p.metavar or p.name.rstrip("_").upper()
    many = "..." if p.nargs == -1 else ""
    return f"{name}{many}" if p.required else f"[{name}{many}]"


def _option(p: Any) -> str:
    said = (p.help or "").strip()
    default = p.default
    if p.required and p.opts[0].startswith("-"):
        said += " Required."
    elif default is not None and default is not False and default not in ("", ()) and not callable(default):
        said += f" Default: `{getattr(default, 'value', default)}`."
    return said.strip().replace("|", "\\|")


_ROLES = {
    "binds": ("Rules that bind a charge", "Each has a test that it stops something, and one that it lets its neighbour through."),
    "reads": ("Rules that say how a code is read", ""),
    "costs": ("Rules that only cost", "They appear in the fees of a case."),
    "watches": ("Counts and shares of a whole merchant", "No single charge can break them."),
    "informs": ("Rules that ask nothing of a charge", "With the reason."),
}  # fmt: skip


def rules() -> str:
    """Every network, scheme and legal rule, by what it does here."""
    lines = ["# Rules", MADE, "", "From `src/recoup/data/network_rules.csv`. A rule binds from its day on and not before. Where sources disagree the stricter",
             "one is held to. No policy, model or person can override one."]  # fmt: skip
    for role, (title, says) in _ROLES.items():
        lines += ["", f"## {title}", ""]
        if says:
            lines += [says, ""]
        lines += [
            "| Rule | What it limits | How often | In | From | Confidence | |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_rule_line(r) for r in rulebook().values() if r.role == role]
    return "\n".join(lines) + "\n"


_PLACES = {"*": "", "acquirer": " where the acquirer allows it", "BR": " in Brazil"}


def _number(n: int, share: bool) -> str:
    return f"{n / 100:g}%" if share else str(n)


def _rule_line(r: Rule) -> str:
    share = "%" in r.count_told
    count = "" if r.count is None else _number(r.count, share)
    for where, n, since in r.elsewhere:
        place = _PLACES.get(where, f" ({where.replace('_', ' ')})")
        count += f"; {_number(n, share)}{place}" + (f" from {since}" if since != ALWAYS else "")
    span = "" if r.span is None else span_words(r.span)
    start = "" if r.since == ALWAYS else r.since.isoformat()
    return f"| `{r.id}` | {r.limits} ([source]({r.source_url})) | {count} | {span} | {start} | {r.confidence} | {r.why} |"


def policies() -> str:
    """Every key of a policy file, and the shipped policies in plain sentences."""
    lines = ["# Policies", MADE, "", "A policy is a TOML file. Durations are ISO 8601 with days and smaller units (`P3D`, `PT4H`), counted from the first failure.",
             "`recoup policy lint FILE` refuses what is wrong with line and reason; `recoup policy explain FILE` prints it in words.", "",
             "## Keys", "", "| Key | Value | Absent | |", "|---|---|---|---|"]  # fmt: skip
    lines += [f"| `{path}` | {kind} | {absent} | {MEANINGS[path]} |" for path, kind, absent in keys()]
    lines += [
        "",
        f"A cause in `when` is one of {', '.join(f'`{c}`' for c in CATEGORIES)}.",
        "",
        "## The policies that come with Recoup",
        "",
    ]
    lines += ["`recoup policy save NAME FILE` writes one to a file of your own, as a beginning.", ""]
    for name in ("default", *(n for n in shipped() if n != "default")):
        text, source = text_of(name)
        lines += [f"### `{name}`", "", text.splitlines()[0].removeprefix("# "), ""]
        lines += [f"- {sentence}" for sentence in sentences(parse(text, source=source))]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def keys() -> Iterator[tuple[str, str, str]]:
    """(path, kind of value, what holds where it is absent) of every key of a policy file."""
    yield from _keys(Policy, "")
    for table, shape in PARTS.items():
        if table == "segment":
            yield "segment.match", "table", "required"
            yield "segment.*", "as above", "the policy's own"
        else:
            yield from _keys(shape, f"{table}.")


def _keys(shape: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, str, str]]:
    hints = get_type_hints(shape, include_extras=True)
    for field in msgspec.structs.fields(shape):
        if field.name in PARTS:
            continue
        absent = "required" if field.required else _absent(field)
        yield f"{prefix}{field.name}", _kind(hints[field.name]), absent


def _absent(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if value is msgspec.NODEFAULT or value in (None, ()):
        return "none"
    if isinstance(value, timedelta):
        return f"`{duration_text(value)}`"
    return f"`{msgspec.json.encode(value).decode()}`"


def _kind(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{a}`" for a in arguments)
    if origin in (Union, UnionType):
        return _kind(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    return {timedelta: "duration", str: "text", int: "whole number", float: "number"}.get(hint, "table")


def api() -> str:
    """Every path of the HTTP API, as its own OpenAPI document says."""
    document = _openapi()
    lines = [
        "# HTTP API",
        MADE,
        "",
        "The whole document, with every field, is served at `/openapi.json` and readable at `/docs`.",
        "",
    ]
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            said = (operation.get("summary") or operation.get("description") or "").split("\n")[0]
            answers = ", ".join(code for code in operation["responses"] if code.startswith("2"))
            by_tag[(operation.get("tags") or ["Other"])[0]].append(
                f"| `{method.upper()} {path}` | {said} | {answers} |"
            )
    for tag, rows in by_tag.items():
        lines += [f"## {tag}", "", "| | | Answers |", "|---|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def _openapi() -> dict[str, Any]:
    from recoup.web.openapi import document
    from recoup.web.operations import ENDPOINTS

    return msgspec.json.decode(document(ENDPOINTS, "http://127.0.0.1:8080"), type=dict[str, Any])


def stale(written: Iterable[tuple[str, str]]) -> list[str]:
    """The pages that are not what the code says now."""
    return [
        name for name, text in written if not (WHERE / name).is_file() or (WHERE / name).read_text() != text
    ]


def main() -> int:
    """Writes every page; with `--check` only says which are stale, exit 1."""
    made = pages()
    if "--check" in sys.argv:
        old = stale(made.items())
        print(f"stale: {', '.join(old)}; run `make docs`" if old else "docs/generated is fresh")
        return 1 if old else 0
    WHERE.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (WHERE / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
