"""Do the intervals of `recoup backtest` cover the truth as often as they say? Writes the table in docs/backtest.md.

    python -m benchmarks.coverage [--logs N] [--engine-logs N] [--write]

Each row makes many logs of worlds whose truth is known, estimates from each log alone, and counts how often the 95 %
interval holds the truth. Logs the backtest would refuse are counted as refused and not as covered.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from recoup.decide.outlook import shipped
from recoup.domain.policy import Policy
from recoup.engine.clock import SystemClock
from recoup.engine.policies import parse, text_of
from recoup.lab import backtest_world as engine
from recoup.lab import estimate_world as small
from recoup.lab.backtest import KINDS, crossed, refused
from recoup.lab.backtest_choice import Chooser
from recoup.lab.backtest_replay import Gone, go_through
from recoup.lab.estimate import Estimated, Figure, estimate, support
from recoup.lab.estimate import Path as Case

PAGE = Path(__file__).parents[1] / "docs" / "backtest.md"
FROM, TO = "<!-- coverage: written by `python -m benchmarks.coverage --write` -->", "<!-- end of coverage -->"
DRAWS = 200
FIRST_SEED = 1000
ENGINE_POOL, ENGINE_CASES, ENGINE_TRUTH_CASES = 2400, 300, 4000
HEADS = (
    "World", "The log held against", "Cases", "Logs", "Truth", "Refused", "Estimator", "Mean error", "Covered", "Covered (normal)",
    "Difference covered",
)  # fmt: skip


class Tally(NamedTuple):
    """One estimator on one row's logs: errors, and how often each interval held."""

    errors: list[float]
    held: list[bool]
    held_normal: list[bool]
    difference_held: list[bool]


class Row(NamedTuple):
    """A world, a policy, and how the logs went."""

    world: str
    against: str
    cases: int
    logs: int
    truth: float
    refused: int
    tallies: dict[str, Tally]


def measured(
    world: str, against: str, cases: int, truth: float, log_truth: float, logs: Iterable[Sequence[Case]]
) -> Row:
    """How the estimators did on `logs`; each is the cases of one log with the ratios of the policy."""
    tallies = {kind: Tally([], [], [], []) for kind in KINDS}
    n = no = 0
    for paths in logs:
        n += 1
        if refused(support(paths), 1.0, "half-hour") is not None:
            no += 1
            continue
        for kind in KINDS:
            _count(tallies[kind], estimate(paths, kind, draws=DRAWS)[0], truth, truth - log_truth)
    return Row(world, against, cases, n, truth, no, tallies)


def _count(tally: Tally, e: Estimated, truth: float, difference: float) -> None:
    tally.errors.append(e.policy.value - truth)
    tally.held.append(_within(e.policy, truth))
    tally.held_normal.append(e.policy.normal_low <= truth <= e.policy.normal_high)
    tally.difference_held.append(_within(e.difference, difference))


def _within(f: Figure, truth: float) -> bool:
    return f.low - 1e-9 <= truth <= f.high + 1e-9


def small_rows(logs: int, sizes: Sequence[int], only: str | None) -> Iterator[Row]:
    """The small world: four gaps drawn among, customers with several cases, a rough model of what to expect."""
    log_truth = small.truth("the log's own")
    for cases in sizes:
        for against in small.POLICIES if only is None else [only]:
            made = (small.log_of(FIRST_SEED + i, cases, against) for i in range(logs))
            yield measured("small", against, cases, small.truth(against), log_truth, made)


def engine_rows(logs: int) -> Iterator[Row]:
    """The real decider under the policy `default` with explore = 0.15, without its messages.

    A few thousand cases are played once; each log is some of their customers, drawn without putting back.
    """
    log, first = _policy(0.15), _policy(0.0)
    pool = list(engine.log_of(FIRST_SEED, ENGINE_POOL, log))
    log_truth = _truth(log)
    for against, policy in (("the log's own", log), ("its first choice only", first)):
        chooser = Chooser(policy, shipped(), "coverage")
        gone = [go_through(v, chooser, "half-hour") for v in pool]
        truth = log_truth if policy is log else _truth(policy)
        made = (crossed(_some(gone, FIRST_SEED + i)) for i in range(logs))
        yield measured("engine", against, ENGINE_CASES, truth, log_truth, made)


def _some(gone: Sequence[Gone], seed: int) -> list[Gone]:
    """All cases of customers drawn until there are enough cases."""
    by_customer: dict[str, list[Gone]] = defaultdict(list)
    for g in gone:
        by_customer[g.customer].append(g)
    customers = list(by_customer)
    random.Random(seed).shuffle(customers)
    found: list[Gone] = []
    for customer in customers:
        if len(found) >= ENGINE_CASES:
            break
        found += by_customer[customer]
    return found


def _policy(explore: float) -> Policy:
    base = parse(text_of("default")[0])
    return msgspec.structs.replace(
        base, message=(), timing=msgspec.structs.replace(base.timing, explore=explore)
    )


def _truth(policy: Policy) -> float:
    views = engine.log_of(77, ENGINE_TRUTH_CASES, policy)
    return sum(v.outcome is not None and v.outcome.state == "recovered" for v in views) / ENGINE_TRUTH_CASES


def cells(row: Row) -> Iterator[tuple[str, ...]]:
    """The row's lines in the table, one for each estimator; a row whose logs were all refused has one."""
    first = (
        row.world,
        row.against,
        f"{row.cases:,}",
        str(row.logs),
        f"{row.truth:.3f}",
        f"{row.refused / row.logs:.0%}",
    )
    for kind, t in row.tallies.items():
        if not t.errors:
            yield (*first, "-", "-", "-", "-", "-")
            return
        shares = (f"{sum(held) / len(held):.1%}" for held in (t.held, t.held_normal, t.difference_held))
        yield (*first, kind, f"{sum(t.errors) / len(t.errors):+.4f}", *shares)


def table(rows: Iterable[Row], say: Callable[[str], None]) -> str:
    """The rows as a Markdown table; each line is also told as it is made."""
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for row in rows:
        for line in cells(row):
            lines.append(f"| {' | '.join(line)} |")
            say(lines[-1])
    return "\n".join(lines)


def main() -> None:
    """Measures, prints, and with `--write` puts the table into the page."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--logs", type=int, default=250, help="logs of the small world for each row")
    asked.add_argument("--engine-logs", type=int, default=200, help="logs of the real decider for each row")
    asked.add_argument(
        "--cases", type=int, nargs="+", default=[600, 2400], help="cases of each log of the small world"
    )
    asked.add_argument("--only", choices=list(small.POLICIES), help="this policy of the small world alone")
    asked.add_argument("--write", action="store_true", help="write the table into docs/backtest.md")
    options = asked.parse_args()

    def rows() -> Iterator[Row]:
        if options.logs:
            yield from small_rows(options.logs, options.cases, options.only)
        if options.engine_logs:
            yield from engine_rows(options.engine_logs)

    made = table(rows(), lambda line: print(line, flush=True))
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        start, end = text.index(FROM) + len(FROM), text.index(TO)
        told = f"Made on {SystemClock().now():%d %B %Y}, seeds {FIRST_SEED} and up, {DRAWS} draws for each interval."
        PAGE.write_text(f"{text[:start]}\n{told}\n\n{made}\n{text[end:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
