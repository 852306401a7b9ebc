"""Writes docs/results.md: our policies against every other schedule in every shipped world, by one command.

Run it as `make results`. The same seed and the same code give the same tables, on any number of processes.
"""

import argparse
import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from recoup.channels.formats import money
from recoup.decide.model import prior, write_model
from recoup.domain.view import CaseView
from recoup.engine.clock import SystemClock
from recoup.engine.policies import text_of
from recoup.lab import tally
from recoup.lab.learn import learn
from recoup.lab.random_log import write_log
from recoup.lab.rivals import NOT_PLAYED, rivals
from recoup.lab.simulate import Entrant, Local, Result, entrant, run
from recoup.lab.tally import Interval, Summary
from recoup.lab.world import World, load

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
WORLDS = ("consumer", "business", "prepaid", "europe", "enterprise", "hard_times")
SCHEDULE, SHIPPED, LEARNED = "default_schedule", "default", "default+model"
OURS = {LEARNED: "learned from a log", SHIPPED: "shipped model", SCHEDULE: "its schedule alone"}


def entrants(model: bytes) -> list[Entrant]:
    """Ours in three modes, then every other schedule."""
    text, _ = text_of("default")
    fixed = text.replace('name = "default"', f'name = "{SCHEDULE}"').replace(
        'mode = "learned"', 'mode = "schedule"'
    )
    if 'mode = "schedule"' not in fixed:
        raise SystemExit(
            'results: the default policy does not say mode = "learned" any more; play its schedule another way'
        )
    schedule = Entrant(
        name=SCHEDULE, title="Recoup, the default policy's schedule alone", source="", policy=fixed
    )
    return [entrant("default", model), entrant("default"), schedule, *(entrant(n) for n in rivals())]


def learned(world: World, seed: int, cases: int) -> bytes:
    """A model of `cases` other cases of the world, charged and written to by lot."""
    log = io.BytesIO()
    write_log(world, seed, cases, log)
    views = (msgspec.json.decode(line, type=CaseView) for line in log.getvalue().splitlines())
    return write_model(learn(views, prior()).model)


def page(results: Sequence[Result], log: int, command: str) -> str:
    """The whole page."""
    now = SystemClock().now()
    commit = subprocess.run(
        ["/usr/bin/env", "git", "log", "-1", "--format=%h"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return "\n".join([*_head(results), *_made(results, log, command, f"{now:%Y-%m-%d %H:%M} UTC", commit), *_limits(), *_tables(results)]) + "\n"  # fmt: skip


def _head(results: Sequence[Result]) -> Iterator[str]:
    yield "# Results: our policies against other schedules, in simulated worlds\n"
    better = [r for r in results if _gap(r, LEARNED).low > 0]
    level = [r for r in results if _gap(r, LEARNED).low <= 0 <= _gap(r, LEARNED).high]
    yield (
        f"After learning from a log of the same world, our default policy keeps more than every lawful fixed schedule in "
        f"{len(better)} of {len(results)} worlds; in {len(level)} the difference to the best of them may be chance.\n"
    )
    yield "| World | best other schedule | ours, its schedule alone | ours, shipped model | ours, learned | learned against the best other, a case |"
    yield "|---|---|---|---|---|---|"
    for r in results:
        best = rival(r)
        cells = [f"{_share(best.of_best)} {best.policy}"]
        cells += [_share(_of(r, name).of_best) for name in (SCHEDULE, SHIPPED, LEARNED)]
        yield f"| [{r.title}](#{r.world}) | {' | '.join(cells)} | {_signed(_gap(r, LEARNED), r.currency)} |"
    yield (
        "\nShares are of what a clairvoyant would keep, who knows every hidden life; 95 % intervals in brackets, by a "
        "bootstrap over cases. Differences are paired: the same cases under both policies. Kept is the margin on what was "
        "collected and on what the customer goes on to pay, less fees, excess fees and the price of messages.\n"
    )


def _made(results: Sequence[Result], log: int, command: str, when: str, commit: str) -> Iterator[str]:
    r = results[0]
    yield "## How this was made\n"
    yield f"`{command}`, {when}, on commit `{commit}`; seed {r.seed}, {r.cases:,} failed payments a world.\n"
    yield (
        f"The learned model comes from {log:,} other cases of the same world, whose charges and messages were drawn by lot "
        "within the network rules (`recoup simulate --world NAME --export FILE`, then `recoup learn`). Nothing in the policy or "
        "the shipped model was fitted to these worlds. Any line can be played again: `recoup simulate --world NAME --policy NAME`. "
        "The schedules' sources, and what was assumed of each, are in `recoup simulate --list`; where a system's own model "
        "picks the times, an even spread over its window stands in for it.\n"
    )
    yield (
        "The same cases go the same way through the whole house (`--engine house`: database, sandbox provider, mails, the "
        "worker's steps on a test clock) as in memory, case by case; `tests/lab/test_simulate.py` holds that. One thing "
        "differs by design: explored instants are drawn by the case's version there and by its step here.\n"
    )


def _limits() -> Iterator[str]:
    yield "## What this does not prove\n"
    yield from (
        "- The customers and issuers are made up. Shapes follow what is published (declines by cause, pay days, updaters, opened and clicked mails); most levels are judgements, graded A to D in `src/recoup/lab/worlds/`. Believe the order of policies in a world more than the size of a gap, and neither blindly.",
        "- We made both the worlds and the policy. The worlds were written from published figures, and are richer than our model (issuers that tire and go away, uneven money, customers who name a day). One level was set again after the first runs: the customers' patience, because more left over a message than the plausible range allows. Whoever doubts all this is right to; a world file of your own is played the same way.",
        "- Other systems' models are secret. Stripe's, Recurly's, Chargebee's, Paddle's, Zuora's, Adyen's and GoCardless's choice of times is replaced by an even spread, which may do them wrong. GoCardless and Adyen SEPA are made for bank debits and play here on cards.",
        "- Their endings are not held against them: every customer may pay by themselves until the world's window ends.",
        "- Nobody publishes how many customers leave over a dunning message. About 1 % a message is assumed here, within the plausible 0 to 1.5 %; policies that write much lose or gain with that number.",
        "- Only a holdout among your own customers shows what a policy is worth to you.",
    )
    yield ""
    yield "Not played: " + "; ".join(f"{name} ({why})" for name, why in NOT_PLAYED.items()) + ".\n"


def _tables(results: Sequence[Result]) -> Iterator[str]:
    yield "## The worlds\n"
    for r in results:
        yield f"### {r.world}\n"
        yield f"{r.title}. A clairvoyant keeps {money(round(r.best), r.currency, 'en')} a case, within {r.window_days} days.\n"
        yield "| policy | of best | against ours learned, a case | recovered | of the sums | by retry | by customer | left | tries | messages | breaches | median days |"
        yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
        for s in r.summaries:
            yield _line(s, r)
        yield "\n| cause | cases | ours, learned | ours, shipped | best other |\n|---|---|---|---|---|"
        best = rival(r)
        for cause, (cases, _, kept) in _of(r, LEARNED).by_cause.items():
            yield f"| {cause} | {cases} | {_kept(kept)} | {_kept(_of(r, SHIPPED).by_cause[cause][2])} | {_kept(best.by_cause[cause][2])} |"
        yield ""
    yield "`*`: not bound by network rules, as its documents describe it; breaches are counted and their fees paid."


def _kept(share: float | None) -> str:
    return "nothing to keep" if share is None else f"{share:.1%}"


def _line(s: Summary, r: Result) -> str:
    name = f"**ours, {OURS[s.policy]}**" if s.policy in OURS else s.policy
    star = "`*`" if s.policy not in OURS and not rivals()[s.policy].lawful else ""
    against = "" if s.against is None else _signed(s.against, r.currency)
    days = "" if s.days is None else f"{s.days:.1f}"
    return (
        f"| {name}{star} | {_share(s.of_best)} | {against} | {s.recovered.value:.1%} | {s.recovered_value:.1%} | {s.by_retry:.1%} "
        f"| {s.by_customer:.1%} | {s.left:.1%} | {s.tries:.2f} | {s.messages:.2f} | {s.breaches} | {days} |"
    )


def rival(r: Result) -> Summary:
    """The lawful schedule of others that keeps most."""
    return next(s for s in r.summaries if s.policy not in OURS and rivals()[s.policy].lawful)


def _of(r: Result, name: str) -> Summary:
    return next(s for s in r.summaries if s.policy == name)


def _gap(r: Result, name: str) -> Interval:
    return tally.paired(r.rows[name], r.rows[rival(r).policy], tally.resamples(r.cases, r.seed))


def _share(of: Interval) -> str:
    return f"{of.value * 100:.1f} [{of.low * 100:.1f}, {of.high * 100:.1f}]"


def _signed(d: Interval, currency: str) -> str:
    def said(minor: float) -> str:
        return f"{'+' if minor >= 0 else '-'}{money(round(abs(minor)), currency, 'en')}"

    return f"{said(d.value)} [{said(d.low)}, {said(d.high)}]"


def main() -> None:
    """Plays everything and writes the page."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--cases", type=int, default=1500)
    asked.add_argument("--log", type=int, default=3000, help="cases to learn from")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--jobs", type=int, default=2)
    asked.add_argument(
        "--world", action="append", help="only this world (may be given again); prints, writes nothing"
    )
    given = asked.parse_args()
    results = []
    for name in given.world or WORLDS:
        world = load(name)
        print(f"{name}: learning from {given.log} cases", file=sys.stderr)
        model = learned(world, given.seed, given.log)
        print(f"{name}: playing {given.cases} cases", file=sys.stderr)
        results.append(run(world, given.seed, entrants(model), given.cases, Local(given.jobs)))
    arguments = "" if (given.cases, given.log, given.seed) == (1500, 3000, 1) else f' ARGS="--cases {given.cases} --log {given.log} --seed {given.seed}"'  # fmt: skip
    text = page(results, given.log, f"make results{arguments}")
    if given.world:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
