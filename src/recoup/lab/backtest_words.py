"""A backtest in words: one sentence for whoever decides, and what has to be known beside it."""

from collections.abc import Iterator

from recoup.lab.backtest import KINDS, Backtest
from recoup.lab.estimate import Figure

NAMES = {"dr": "doubly robust", "snips": "inverse propensity, self-normalised"}
SURE = 0.001
"""Differences smaller than a tenth of a point are called none."""


def sentence(b: Backtest) -> str:
    """What the log says about the policy, in one sentence."""
    if b.refusal is not None:
        return f"The log cannot say how {called(b)} would have done: {b.refusal.why}."
    best = b.recovered[0]
    difference, name = best.difference, called(b)
    had = f"Had {name} chosen the instants of our charges, {best.policy.value:.1%} of the failed payments would have come back"
    was = "as many as did" if abs(difference.value) < SURE else f"instead of {best.log.value:.1%}"
    if difference.low > 0 or difference.high < 0:
        way = "more" if difference.low > 0 else "fewer"
        low, high = sorted((abs(difference.low), abs(difference.high)))
        return f"{had} {was}: {points(abs(difference.value))} {way}, and very likely between {points(low)} and {points(high)}."
    return (
        f"{had}, {was}; but the log cannot tell the two apart: the difference may lie anywhere between "
        f"{signed(difference.low)} and {signed(difference.high)} points."
    )  # fmt: skip


def points(share: float) -> str:
    """A difference of shares, such as `1.8 points`."""
    return f"{share * 100:.1f} points"


def signed(share: float) -> str:
    """A difference of shares with its sign, in points."""
    return f"{share * 100:+.1f}"


def called(b: Backtest) -> str:
    """The policy's name; with its version where the log was made under the same name."""
    name = b.policy.split("@")[0]
    return b.policy if name in {p.split("@")[0] for p in b.log_policies} else name


def first_up(says: str) -> str:
    """The text with a capital at its beginning."""
    return says[:1].upper() + says[1:]


def remarks(b: Backtest, *, advice: bool = True) -> Iterator[str]:
    """What has to be known beside the figures."""
    if b.refusal is not None:
        if advice:
            yield f"{first_up(b.refusal.do)}."
        if b.model_says is not None and b.refusal.code != "no_cases":
            yield (
                f"The model {b.model} would expect the charges of {called(b)} to recover {b.model_says:.1%} (the log, whoever "
                f"paid: {b.log_recovered:.1%}). That is the model's opinion of itself, and no evidence."
            )
    s = b.support
    if s is not None and (b.refusal is None or b.refusal.code not in ("no_cases", "no_propensities")):
        yield (
            f"{s.cases} cases of {s.customers} customers, {s.decisions} decisions, {s.drawn} of them drawn. Weighted by how "
            f"likely the policy was to decide the same they count as {s.effective:.0f} cases, half of the weight on {s.carriers} customers; the mean weight, 1 where "
            f"everything was tried, is {s.covered:.3f} [{s.covered_low:.3f}, {s.covered_high:.3f}]."
        )
    yield f"The same action: a charge in the same {b.same} on the customer's clock. Messages are left as they were sent."
    if b.left_out:
        yield f"{b.left_out} cases were left out: not over, excluded, or with a charge of unknown propensity."
    if b.unseen_plans:
        yield (
            f"{b.unseen_plans} cases ended while a charge may have been planned of which the log does not tell; both "
            "policies are taken to have waited."
        )
    if b.refusal is None:
        other = b.recovered[1].difference
        yield f"To compare: {NAMES[KINDS[1]]}, {signed(other.value)} points [{signed(other.low)}, {signed(other.high)}]."
        plain = b.recovered[0].difference
        yield f"The plain normal interval: [{signed(plain.normal_low)}, {signed(plain.normal_high)}]."


def rows(b: Backtest) -> Iterator[tuple[str, str, str, str]]:
    """The table: what is measured, the log, the policy, the difference with its interval."""
    if b.refusal is not None:
        return
    share, charges = b.recovered[0], b.charges[0]
    d = share.difference
    yield (
        "Failed payments recovered", f"{share.log.value:.1%}", f"{share.policy.value:.1%}",
        f"{signed(d.value)} points [{signed(d.low)}, {signed(d.high)}]",
    )  # fmt: skip
    for currency, sums in b.sums.items():
        if not sums.money:
            yield f"{currency}: {sums.cases} cases", "", "", "too few of their own for an estimate"
            continue
        for what, each in (("recovered", sums.money[0]), ("kept after costs", sums.net[0])):
            yield (
                f"{currency} {what} per case", _money(each.log.value, currency), _money(each.policy.value, currency),
                _span(each.difference, currency),
            )  # fmt: skip
    d = charges.difference
    yield (
        "Charges per case", f"{charges.log.value:.2f}", f"{charges.policy.value:.2f}",
        f"{d.value:+.2f} [{d.low:+.2f}, {d.high:+.2f}]",
    )  # fmt: skip


def _span(f: Figure, currency: str) -> str:
    value, low, high = (_money(x, currency, sign=True) for x in (f.value, f.low, f.high))
    return f"{value} [{low}, {high}]"


def _money(minor: float, currency: str, *, sign: bool = False) -> str:
    from recoup.domain.money import decimal

    major = decimal(round(minor), currency)
    return f"{major:+f}" if sign else f"{major:f}"
