"""Policy files: every refusal names its line and key; whatever is written is read back; nothing crashes the reader."""

import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recoup.domain.policy import CATEGORIES, Policy, duration_text
from recoup.engine.policies import sentences, shipped, text_of
from recoup.engine.policy_lines import Path, lines
from recoup.engine.policy_text import PolicyRefused, canonical, parse

HEAD = 'name = "x"\n'


def refusal(text: str) -> PolicyRefused:
    with pytest.raises(PolicyRefused) as caught:
        parse(text, source="mine.toml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        ("name = x", 1, "", "not valid TOML"),
        (HEAD + 'window = "P2D"\n\n[timing\n', 4, "", "not valid TOML"),
        ('window = "P1D"', 1, "", 'add a line such as name = "default"'),
        ("name = 3", 1, "name", "must be a text in quotes, not a whole number"),
        (HEAD + "\n# why\nwindow = 28", 4, "window", "not a duration"),
        (HEAD + 'window = "P1M"', 2, "window", "such as 'P3D'"),
        (HEAD + 'window = "P999D"', 2, "window", "between PT1S and P370D"),
        (HEAD + "[timing]\natempts = 3", 3, "timing.atempts", "did you mean 'attempts'?"),
        (HEAD + "timing.atempts = 3", 2, "timing.atempts", "did you mean 'attempts'?"),
        (HEAD + 'timing = { mode = "lern" }', 2, "timing.mode", "one of learned, schedule"),
        (HEAD + '[timing]\ncharge_hours = "6-22"', 3, "timing.charge_hours", "such as '06:00-22:00'"),
        (HEAD + "[timing]\nexplore = nan", 3, "timing.explore", "must be at least"),
        (HEAD + "[timing]\nexplore = 0.9", 3, "timing.explore", "must be at most 0.5"),
        (HEAD + '[timing]\navoid = ["bank_holiday",\n"feasts"]', 4, "timing.avoid[1]", "one of bank_holiday, weekend"),
        (HEAD + '[[retry]]\nafter = "P3D"\n[[retry]]\nafter = "P40D"', 5, "retry[1].after", "beyond the end of the window"),
        (HEAD + '[[retry]]\nwhen = ["technical"]', 2, "retry[0]", "'after' is missing"),
        (HEAD + '[[retry]]\nafter = "P3D"\nwhen = ["broke"]', 4, "retry[0].when", "no decline category"),
        (HEAD + '[[retry]]\nafter = "P3D"\n[[retry]]\nafter = "P3D"', 1, "", "have the same after"),
        (HEAD + '[timing]\nattempts = 0\n[[retry]]\nafter = "P3D"', 3, "timing.attempts", "no [[retry]] could ever run"),
        (HEAD + '[timing]\nmode = "schedule"', 1, "", "could never act"),
        (HEAD + '[[message]]\nstep = "Hi there"\nafter = "P1D"', 3, "message[0].step", "small letters"),
        (HEAD + '[[message]]\nstep = "a"\nafter = "P1D"\nchannels = []', 5, "message[0].channels", "could never be sent"),
        (
            HEAD + '[[message]]\nstep = "a"\nafter = "P1D"\n[[message]]\nstep = "a"\nafter = "P2D"',
            6, "message[1].step", "sent once per case",
        ),
        (HEAD + '[message_limits]\nquiet_hours = "08:00-08:00"', 3, "message_limits.quiet_hours", "whole day"),
        (HEAD + '[message_limits]\nper_customer = "three"', 3, "message_limits.per_customer", "'3 in P7D'"),
        (
            HEAD + '[[message]]\nstep = "a"\nafter = "P1D"\n[message_limits]\nper_customer = "0 in P7D"',
            6, "message_limits.per_customer", "no message at all",
        ),
        (HEAD + '[access]\nblocked_after = "P60D"', 3, "access.blocked_after", "never comes"),
        (
            HEAD + '[access]\nlimited_after = "P9D"\nblocked_after = "P8D"',
            4, "access.blocked_after", "before limited_after",
        ),
        (HEAD + '[ending]\naction = "stop"', 3, "ending.action", "one of cancel, pause"),
        (HEAD + "minimum_due = { EUR = 1, eu = 3 }", 2, "minimum_due.eu", "currency code"),
        (HEAD + "[[segment]]\nmatch = {}", 3, "segment[0].match", "catch every case"),
        (HEAD + '[[segment]]\nmatch = { intervall = "year" }', 3, "segment[0].match", "cannot look at 'intervall'"),
        (
            HEAD + '[[segment]]\nmatch = { interval = "year" }\n[segment.timing]\nexplore = 3',
            5, "segment[0].timing.explore", "at most 0.5",
        ),
        (
            HEAD + '[[segment]]\nmatch = { interval = "year" }\ntiming = { atempts = 3 }',
            4, "segment[0].timing.atempts", "did you mean 'attempts'?",
        ),
        (
            HEAD + '[[segment]]\nmatch = { plan = "a" }\n[[segment]]\nmatch = { plan = "a" }',
            5, "segment[1].match", "never reached",
        ),
        (HEAD + 'retries = []', 2, "retries", "did you mean 'retry'?"),
        (HEAD + "retry = 3", 2, "retry", "must be a list, not a whole number"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_with_line_and_reason(text: str, line: int, path: str, words: str) -> None:
    refused = refusal(text)
    assert (refused.line, refused.path) == (line, path), str(refused)
    assert words in refused.why, refused.why
    assert str(refused).startswith(f"mine.toml, line {line}")


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_policy_is_in_order_and_explained(name: str) -> None:
    text, source = text_of(name)
    policy = parse(text, source=source)
    assert policy.name == name
    assert text.startswith("# "), "the first line says whom it is for"
    assert len(sentences(policy)) > 6


def test_the_shipped_policies() -> None:
    assert set(shipped()) == {"b2b_invoice", "bank_debit", "default", "gentle", "weekly"}


DURATIONS = st.integers(1, 20 * 86_400).map(lambda s: timedelta(seconds=s))
CAUSES = st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=3)
HOURS = st.sampled_from(["06:00-22:00", "22:00-06:00", "00:00-24:00", "09:30-17:15"])
TREES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"name": st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,20}\Z")},
    optional={
        "window": st.integers(20, 300).map(lambda d: duration_text(timedelta(days=d))),
        "timing": st.fixed_dictionaries(
            {"attempts": st.integers(1, 60)},
            optional={"charge_hours": HOURS, "explore": st.floats(0, 0.5), "avoid": st.just(["weekend"])},
        ),
        "retry": st.lists(
            st.fixed_dictionaries({"after": DURATIONS.map(duration_text)}, optional={"when": CAUSES}),
            max_size=5, unique_by=lambda r: str(dict(r)["after"]),
        ),
        "message": st.lists(
            st.fixed_dictionaries(
                {"step": st.from_regex(r"\A[a-z][a-z0-9_]{0,9}\Z"), "after": DURATIONS.map(duration_text)},
                optional={"when": CAUSES, "channels": st.just(["email", "sms"])},
            ),
            max_size=4, unique_by=lambda m: str(m["step"]),
        ),
        "message_limits": st.fixed_dictionaries(
            {}, optional={"quiet_hours": st.just("21:00-08:00"), "per_customer": st.just("3 in P7D")}
        ),
        "minimum_due": st.dictionaries(st.from_regex(r"\A[A-Z]{3}\Z"), st.integers(0, 10**9), max_size=3),
        "ending": st.fixed_dictionaries({"action": st.sampled_from(["cancel", "pause", "write_off"])}),
    },
)  # fmt: skip


def toml(tree: dict[str, Any], where: dict[Path, int]) -> str:
    """The tree as TOML, with the line of every key noted on the way."""
    out: list[str] = ["# made by a test"]

    def value(v: Any) -> str:
        return msgspec.json.encode(v).decode()

    def put(path: Path, key: str, v: Any) -> None:
        where[(*path, key)] = len(out) + 1
        out.append(f"{key} = {value(v)}  # [not] = a table")

    tables = {k: v for k, v in tree.items() if isinstance(v, dict) or (isinstance(v, list) and v)}
    for key, v in tree.items():
        if key not in tables:
            put((), key, v)
    for key, v in tables.items():
        for nth, entry in enumerate(v if isinstance(v, list) else [v]):
            here: Path = (key, nth) if isinstance(v, list) else (key,)
            out.append("")
            where[here] = len(out) + 1
            out.append(f"[[{key}]]" if isinstance(v, list) else f"[ {key} ]")
            for inner, x in entry.items():
                put(here, inner, x)
    return "\n".join(out) + "\n"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(TREES)
def test_what_is_written_is_read_back(tree: dict[str, Any]) -> None:
    where: dict[Path, int] = {}
    text = toml(tree, where)
    policy = parse(text)
    assert msgspec.convert(tree, Policy) == policy
    assert msgspec.json.decode(canonical(policy), type=Policy) == policy
    assert canonical(msgspec.json.decode(canonical(policy), type=Policy)) == canonical(policy)
    found = lines(text)
    assert {path: found.get(path) for path in where} == where
    assert all(sentences(policy))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(TREES, st.data())
def test_a_misspelt_key_is_found_on_its_line(tree: dict[str, Any], data: st.DataObject) -> None:
    tables = [k for k in ("timing", "message_limits", "ending") if isinstance(tree.get(k), dict)]
    table = data.draw(st.sampled_from([None, *tables]))
    target = tree if table is None else tree[table]
    target["zzzz"] = 1
    where: dict[Path, int] = {}
    text = toml(tree, where)
    path: Path = ("zzzz",) if table is None else (table, "zzzz")
    refused = refusal(text)
    assert (refused.line, refused.path) == (where[path], ".".join(map(str, path)))


def verdict(text: str) -> PolicyRefused | None:
    try:
        parse(text)
    except PolicyRefused as refused:
        return refused
    return None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.text(alphabet=st.sampled_from("[]{}=.,#\"'\n abkeyretry0123-_\\")))
def test_no_text_crashes_the_reader(text: str) -> None:
    refused = verdict(text)
    assert refused is None or 1 <= refused.line <= text.count("\n") + 1


SCRAPS = st.sampled_from(
    ["[timing]", "[[retry]]", "[[segment]]", "[segment.timing]", 'after = "P3D"', "after = 3", 'mode = "learned"',
     'match = { interval = "year" }', "match = { amount_below = 3, plan = ['a', 'b'] }", 'window = "P5D"',
     'name = "x"', 'step = """a\nb"""', "when = [\n 'technical', # so\n]", "'quoted.key' = 1", "a.b.c = 2", ""]
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.lists(SCRAPS, max_size=12))
def test_no_heap_of_likely_lines_crashes_the_reader(scraps: list[str]) -> None:
    text = "\n".join(scraps)
    refused = verdict(text)
    if refused is not None:
        assert 1 <= refused.line <= text.count("\n") + 1
        assert not re.search(r"Traceback|\$", refused.why)
