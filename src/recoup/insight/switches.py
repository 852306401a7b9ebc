"""What Recoup itself can switch on for a tactic of the ranked list: the merchant's own policy file with one thing changed."""

import difflib
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import msgspec
import tomlkit
from tomlkit.items import AoT, InlineTable, Table
from tomlkit.toml_document import TOMLDocument

from recoup.domain.policy import Policy
from recoup.engine import policies
from recoup.engine.policy_text import PolicyRefused, parse
from recoup.engine.policy_words import sentences

WINDOW = timedelta(days=28)
SOON = timedelta(hours=12)
ENOUGH = 5
"""So many messages over the window; more annoy and bring nothing (research behind T10)."""
YEARLY = {"limited_after": "P21D", "blocked_after": "P35D"}


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be switched on. `edit` changes the policy file and leaves its comments where they are."""

    id: str
    says: str
    lacks: Callable[[Policy], bool]
    """Whether the policy does not do so yet."""
    edit: Callable[[TOMLDocument, Policy], None]


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A policy with a switch thrown: its text, the lines that differ from the one in force, and what that means."""

    switch: Switch
    policy: Policy
    text: str
    diff: tuple[str, ...]
    """Lines that go begin with `-`, lines that come with `+`."""
    before: tuple[str, ...]
    after: tuple[str, ...]
    """Sentences that are no longer true, and those that will be."""


def _table(doc: TOMLDocument, name: str) -> Table:
    if name not in doc:
        doc[name] = tomlkit.table()
    return cast("Table", doc[name])


def _set(table: str, key: str, value: object) -> Callable[[TOMLDocument, Policy], None]:
    def edit(doc: TOMLDocument, _: Policy) -> None:
        if table:
            _table(doc, table)[key] = value
        else:
            doc[key] = value

    return edit


def _message(step: str, after: str) -> Table:
    row = tomlkit.table()
    row["step"], row["after"] = step, after
    return row


def _put_messages(doc: TOMLDocument, *rows: Table) -> None:
    many = cast("AoT", doc.get("message") or tomlkit.aot())
    for row in rows:
        many.append(row)
    doc["message"] = many


def _first_day(doc: TOMLDocument, policy: Policy) -> None:
    """The earliest message comes sooner; where there is none, the one that asks for little."""
    if not policy.message:
        _put_messages(doc, _message("soft_notice", "PT4H"))
        return
    earliest = min(range(len(policy.message)), key=lambda n: policy.message[n].after)
    cast("AoT", doc["message"])[earliest]["after"] = "PT4H"


def _more_messages(doc: TOMLDocument, policy: Policy) -> None:
    """Steps of the shipped texts that the policy does not use, on days nothing is sent on yet."""
    known, days = {m.step for m in policy.message}, {m.after.days for m in policy.message}
    steps = ("action_needed", "reminder", "second_reminder", "third_reminder", "final_notice")
    free = [
        (s, d) for s, d in zip(steps, (3, 7, 11, 16, 25), strict=True) if s not in known and d not in days
    ]
    last = policy.window.days - 1
    _put_messages(doc, *(_message(s, f"P{d}D") for s, d in free[: ENOUGH - len(policy.message)] if d < last))


def _longer_access(doc: TOMLDocument, policy: Policy) -> None:
    many = cast("AoT", doc.get("segment") or tomlkit.aot())
    for segment in many:
        if dict(segment["match"]) == {"interval": "year"}:
            segment["access"] = _inline(YEARLY)
            break
    else:
        row = tomlkit.table()
        row["match"], row["access"] = _inline({"interval": "year"}), _inline(YEARLY)
        many.append(row)
    doc["segment"] = many


def _inline(values: dict[str, str]) -> InlineTable:
    found = tomlkit.inline_table()
    found.update(values)
    return found


def _yearly_access(policy: Policy) -> bool:
    """Whether access is ever taken away, and yearly customers are not told apart in it."""
    taken = policy.access.limited_after is not None or policy.access.blocked_after is not None
    return taken and not any(s.match.get("interval") == "year" and s.access for s in policy.segment)


def _avoids(policy: Policy) -> bool:
    return set(policy.timing.avoid) >= {"bank_holiday", "weekend"}


def _learned(policy: Policy) -> bool:
    return policy.timing.mode == "learned"


def _silent_first(policy: Policy) -> bool:
    return not policy.message or min(m.after for m in policy.message) > SOON


_ALL = (
    Switch(id="T03", says="Retries are timed by the reason and by what was learned", lacks=lambda p: not _learned(p), edit=_set("timing", "mode", "learned")),
    Switch(id="T05", says="Retries follow paydays, as the learned timing does", lacks=lambda p: not _learned(p), edit=_set("timing", "mode", "learned")),
    Switch(id="T06", says="No retries on weekends and bank holidays", lacks=lambda p: not _avoids(p), edit=_set("timing", "avoid", ["bank_holiday", "weekend"])),
    Switch(id="T08", says="Cases stay open for 28 days", lacks=lambda p: p.window < WINDOW, edit=_set("", "window", "P28D")),
    Switch(id="T09", says="The first message goes out on the first day", lacks=_silent_first, edit=_first_day),
    Switch(id="T10", says="Five messages over the window", lacks=lambda p: len(p.message) < ENOUGH, edit=_more_messages),
    Switch(id="T21", says="Customers whose card will have expired are told 14 days before the renewal", lacks=lambda p: p.notices.expiring is None, edit=_set("notices", "expiring", "P14D")),
    Switch(id="T22", says="A backup method is charged after 7 days, where the customer allowed it", lacks=lambda p: p.timing.backup_after is None, edit=_set("timing", "backup_after", "P7D")),
    Switch(id="T26", says="Yearly customers keep their access for three weeks", lacks=_yearly_access, edit=_longer_access),
    Switch(id="T30", says="The subscription is paused at the end, not cancelled", lacks=lambda p: p.ending.action == "cancel", edit=_set("ending", "action", "pause")),
    Switch(id="T33", says="Whoever was lost is written to once more after 14 days", lacks=lambda p: p.ending.win_back is None, edit=_set("ending", "win_back", "P14D")),
)  # fmt: skip
SWITCHES: dict[str, Switch] = {s.id: s for s in _ALL}
"""Tactic to what Recoup can switch on for it. The others are another system's, or a person's work."""
HOLDOUT = "T34"
"""The permanent holdout is an experiment and no policy key; it has its own switch on the page of tests."""


def offered(policy: Policy) -> dict[str, Switch]:
    """The switches that this policy has not thrown yet, by tactic."""
    return {id: s for id, s in SWITCHES.items() if s.lacks(policy)}


def buttons(policy: Policy, source: str) -> frozenset[str]:
    """The tactics for which a switch can be thrown: what it would make is a policy."""

    def stands(tactic: str) -> bool:
        try:
            return bool(proposal(policy, source, tactic).diff)
        except PolicyRefused:
            return False

    return frozenset(id for id in offered(policy) if stands(id))


def proposal(policy: Policy, source: str, tactic: str) -> Proposal:
    """The policy with the switch of `tactic` thrown. `source` is its file as the merchant wrote it.

    Raises `LookupError` where there is nothing to switch on, `PolicyRefused` where the result would not be a policy.
    """
    switch = offered(policy).get(tactic)
    if switch is None:
        raise LookupError(f"{tactic} is no switch of Recoup's, or it is on already")
    told = source.strip() and parse(source, source="policy") == policy
    doc = tomlkit.parse(source) if told else tomlkit.parse(written(policy))
    old = doc.as_string()
    switch.edit(doc, policy)
    text = doc.as_string()
    new = parse(text, source="policy")
    diff = [
        line for line in difflib.unified_diff(old.splitlines(), text.splitlines(), n=0, lineterm="")
        if line[:1] in "+-" and line[:3] not in ("+++", "---") and line[1:].strip()
    ]  # fmt: skip
    was, will = sentences(policy), sentences(new)
    return Proposal(
        switch=switch, policy=new, text=text, diff=tuple(diff), before=tuple(s for s in was if s not in will),
        after=tuple(s for s in will if s not in was),
    )  # fmt: skip


def written(policy: Policy) -> str:
    """A policy as a file, where the merchant's own text is not kept."""
    plain: dict[str, object] = msgspec.json.decode(policies.canonical(policy))
    return tomlkit.dumps({k: v for k, v in plain.items() if v is not None})
