"""Reads a policy file: TOML to a frozen policy, or a refusal that names the line, the key and the reason."""

import difflib
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec

from recoup.domain.instants import HoursOfDay
from recoup.domain.policy import (
    Access,
    EndingRule,
    MessageLimits,
    MessageRule,
    Notices,
    Page,
    Policy,
    Rung,
    Segment,
    Timing,
    Value,
    duration_text,
    parse_budget,
)
from recoup.engine.policy_lines import Path, lines

Tree = dict[str, object]
Fault = tuple[Path, str]

PARTS: dict[str, type[msgspec.Struct]] = {
    "timing": Timing,
    "retry": Rung,
    "message": MessageRule,
    "message_limits": MessageLimits,
    "access": Access,
    "ending": EndingRule,
    "value": Value,
    "page": Page,
    "notices": Notices,
    "segment": Segment,
}
"""The tables of a policy file by their key."""
_FREE = frozenset({"match", "minimum_due"})
"""Tables whose keys are not ours to list."""


class PolicyRefused(ValueError):
    """A policy text that cannot be used: `line` (from 1), `path` of the key, and `why` with a way on."""

    def __init__(self, *, source: str, line: int, path: str, why: str) -> None:
        self.source, self.line, self.path, self.why = source, line, path, why
        super().__init__(f"{source}, line {line}{f' ({path})' if path else ''}: {why}")


def parse(text: str, *, source: str = "policy") -> Policy:
    """The policy that `text` (TOML) describes. Raises `PolicyRefused`; nothing falls back silently.

    `source` is what the refusal calls the text, such as its file name.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise _not_toml(text, source, str(e)) from e
    policy, fault = _read(tree)
    if policy is not None:
        fault = next(_never_acts(policy), None)
    if policy is None or fault is not None:
        assert fault is not None
        raise _refused(text, source, *fault)
    return policy


def canonical(policy: Policy) -> str:
    """The policy as JSON, the same for equal policies however they were written."""
    return msgspec.json.encode(policy, order="deterministic").decode()


def _read(tree: Tree) -> tuple[Policy | None, Fault | None]:
    unknown = next(_unknown(tree, Policy, ()), None)
    if unknown is not None:
        return None, unknown
    try:
        return msgspec.convert(tree, Policy), None
    except (msgspec.ValidationError, OverflowError) as e:
        return None, _located(tree, str(e))


def _not_toml(text: str, source: str, says: str) -> PolicyRefused:
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", says)
    line = int(found[1]) if found and found[1] else max(1, text.rstrip("\n").count("\n") + 1)
    why = says[: found.start()] if found else says
    return PolicyRefused(source=source, line=line, path="", why=f"not valid TOML: {why[:1].lower()}{why[1:]}")


def _refused(text: str, source: str, path: Path, why: str) -> PolicyRefused:
    where = lines(text)
    known = path
    while known not in where:
        known = known[:-1]
    return PolicyRefused(source=source, line=where[known], path=_dotted(path), why=why)


def _dotted(path: Path) -> str:
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def _unknown(tree: Tree, shape: type[msgspec.Struct], path: Path) -> Iterator[Fault]:
    """Keys that no table of a policy has, with the likeliest meant one."""
    fields = shape.__struct_fields__
    for key, value in tree.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1, cutoff=0.6)
            meant = f"; did you mean {close[0]!r}?" if close else f"; it knows {', '.join(fields)}"
            yield (*path, key), f"unknown key {key!r}{meant}"
            continue
        inner = PARTS.get(key)
        if inner is None or key in _FREE:
            continue
        entries = value if isinstance(value, list) else [value]
        for nth, entry in enumerate(entries):
            if isinstance(entry, dict):
                yield from _unknown(
                    entry, inner, (*path, key, nth) if isinstance(value, list) else (*path, key)
                )


def _located(tree: Tree, says: str) -> Fault:
    """What msgspec or a check of ours said, with the path it spoke of made as exact as it can be."""
    path: Path = ()
    found = re.search(r" - at `\$(.*)`$", says)
    if found:
        says, path = says[: found.start()], _steps(found[1])
    leading = re.match(r"segment\[(\d+)\]: ", says)
    if leading:
        says, path = says[leading.end() :], _in_segment(tree, ("segment", int(leading[1])), path)
    path = _named(tree, path, says)
    return path, _plainer(path, says)


def _in_segment(tree: Tree, segment: Path, key: Path) -> Path:
    """The table of the segment that has `key`; a segment's tables are read one by one, without their names."""
    for table in ("timing", "message_limits", "access", "ending", "value", "page"):
        if key and _at(tree, (*segment, table, *key)) is not None:
            return (*segment, table, *key)
    return segment


def _steps(written: str) -> Path:
    """`.retry[0].after` as a path; `[...]` (some key of a free table) ends it."""
    steps = re.findall(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])", written)
    return tuple(name or int(number) for name, number, _ in steps if name or number)


def _named(tree: Tree, path: Path, says: str) -> Path:
    """The path lengthened by the key that the words name, or whose value they quote."""
    first = re.match(r"([a-z_]+(?:\[\d+\])?(?:\.\w+)*)(?= )", says)
    if first and _at(tree, longer := (*path, *_steps("." + first[1]))) is not None:
        return longer
    quoted = re.match(r"(?:when names )?'([^']*)'", says)
    here = _at(tree, path)
    if quoted and isinstance(here, dict):
        for key, value in here.items():
            if value == quoted[1] or (isinstance(value, list) and quoted[1] in value):
                return (*path, key)
    return path


def _at(tree: object, path: Path) -> object:
    for step in path:
        if isinstance(tree, dict) and isinstance(step, str):
            tree = tree.get(step)
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree


def _plainer(path: Path, says: str) -> str:
    """The reader's words in ours, with what would do."""
    options = _options(path)
    if says.startswith("Invalid enum value") and options:
        return f"{says.removeprefix('Invalid enum value ')} is not possible here; one of {', '.join(options)}"
    if "ISO8601 duration" in says or "`duration`" in says or "Duration" in says:
        return (
            "not a duration; write ISO 8601 with days and smaller units, such as 'P3D', 'PT4H' or 'P1DT12H'"
        )
    if says == "Object missing required field `name`":
        return 'there is no name; add a line such as name = "default"'
    missing = re.match(r"Object missing required field `(\w+)`", says)
    if missing:
        return f"{missing[1]!r} is missing here"
    for pattern, words in _PLAIN:
        if met := re.match(pattern, says):
            return words.format(*(_KINDS.get(g, g) for g in met.groups()))
    return says.replace("`", "")


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "array": "a list",
    "object": "a table",
    "bool": "true or false",
}
_PLAIN = (
    (r"Expected `(?:int|float)` >= ([\d.]+)", "must be at least {}"),
    (r"Expected `(?:int|float)` <= ([\d.]+)", "must be at most {}"),
    (
        r"Expected `str` matching regex",
        "may have small letters, digits and _ only, at most 60, and begins with a letter",
    ),
    (r"Expected `([a-z]+)[^`]*`, got `([a-z]+)`", "must be {}, not {}"),
)


def _options(path: Path) -> tuple[str, ...]:
    """The words a key may have, where they are few."""
    shape: type[msgspec.Struct] = Policy
    names = [step for step in path if isinstance(step, str)]
    for name in names[:-1]:
        shape = PARTS.get(name, shape)
    hint = get_type_hints(shape).get(names[-1]) if names else None
    while hint is not None and get_origin(hint) is not Literal:
        inner = [a for a in get_args(hint) if a is not Ellipsis and a is not type(None)]
        hint = inner[0] if inner else None
    return tuple(map(str, get_args(hint)))


def _never_acts(policy: Policy) -> Iterator[Fault]:
    """What is well-formed and could still never happen."""
    yield from _idle(policy, ())
    seen: list[dict[str, object]] = []
    for nth, segment in enumerate(policy.segment):
        path: Path = ("segment", nth)
        if segment.match in seen:
            yield (*path, "match"), "an earlier segment matches the same, so this one is never reached"
        seen.append(segment.match)
        for at, why in _idle(policy.with_segment(segment), path):
            if at[len(path) :] and _sets(segment, str(at[len(path)])):
                yield at, why


def _sets(segment: Segment, key: str) -> bool:
    return getattr(segment, key, None) is not None


def _idle(policy: Policy, base: Path) -> Iterator[Fault]:
    limits, access = policy.message_limits, policy.access
    if policy.retry and policy.timing.attempts == 0:
        yield (
            (*base, "timing", "attempts"),
            "0 allows no retry, so no [[retry]] could ever run; remove one of them",
        )
    if limits.quiet_hours is not None and HoursOfDay.parse(limits.quiet_hours).all_day:
        yield (
            (*base, "message_limits", "quiet_hours"),
            "covers the whole day; give two different times, or leave it out",
        )
    if HoursOfDay.parse(limits.sms_quiet_hours).all_day:
        why = "covers the whole day; give two different times, or leave it out for 20:00-09:00"
        yield (*base, "message_limits", "sms_quiet_hours"), why
    if limits.per_customer is not None:
        count, span = parse_budget(limits.per_customer)
        if policy.message and (count < 1 or span <= timedelta(0)):
            why = "allows no message at all; write a budget such as '3 in P7D', or remove the messages"
            yield (*base, "message_limits", "per_customer"), why
    for key in ("limited_after", "blocked_after"):
        after = getattr(access, key)
        if after is not None and after < timedelta(0):
            yield (*base, "access", key), "lies before the first failure; write a duration of 0 or more"
        elif after is not None and after > policy.window:
            end = f"the window ends at {duration_text(policy.window)}"
            yield (*base, "access", key), f"never comes: {end}; shorten it or widen the window"
    if access.limited_after and access.blocked_after and access.blocked_after < access.limited_after:
        yield (
            (*base, "access", "blocked_after"),
            "comes before limited_after, so access would never be limited",
        )
    if policy.ending.win_back is not None and policy.ending.win_back <= timedelta(0):
        yield (*base, "ending", "win_back"), "must be later than the ending; write a duration such as P14D"
    yield from _twice(policy, base)


def _twice(policy: Policy, base: Path) -> Iterator[Fault]:
    """A step is sent once per case, so a second rule of the same name for the same declines is never reached."""
    for nth, rule in enumerate(policy.message):
        for earlier in policy.message[:nth]:
            apart = rule.when and earlier.when and not set(rule.when) & set(earlier.when)
            if rule.step == earlier.step and not apart:
                why = (
                    f"the step {rule.step!r} is there already and is sent once per case; give it another name"
                )
                yield (*base, "message", nth, "step"), why
    for nth, rung in enumerate(policy.retry):
        for before in policy.retry[:nth]:
            if rung.after == before.after and set(rung.when) == set(before.when):
                yield (
                    (*base, "retry", nth, "after"),
                    "the same retry is there already; remove one of the two",
                )
