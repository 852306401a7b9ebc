"""`python -m benchmarks [--quick] [--json] [--database KIND] [--n N] [name ...]`: what `make bench` runs."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec

from benchmarks import decisions, http, post, storage
from benchmarks.figures import Figure, Wrong, machine, table

Benchmark = Callable[[str, int], Iterator[Figure]]


def _paint(kind: str, n: int) -> Iterator[Figure]:
    """The first paint in a browser."""
    from benchmarks import paint

    return paint.first_paint(kind, n)


def _figures(kind: str, n: int) -> Iterator[Figure]:
    """Refreshing figures and asking pages: brings in the whole web, which must not count as a worker's memory."""
    from benchmarks import insight

    return insight.refreshing(kind, n)


BOTH = ("sqlite", "postgresql")
ALL: dict[str, tuple[Benchmark, tuple[str, ...], tuple[int, ...]]] = {
    "open": (storage.opening, BOTH, (1_000, 10_000, 100_000)),
    "idle": (storage.idle, BOTH, (10_000, 100_000, 1_000_000)),
    "due": (storage.due, BOTH, (1_000, 10_000, 100_000)),
    "http": (http.due_over_http, BOTH, (1_000, 10_000)),
    "hooks": (http.hooks, BOTH, (10_000,)),
    "fairness": (storage.fairness, BOTH, (100_000,)),
    "insight": (_figures, BOTH, (10_000, 100_000, 1_000_000)),
    "letters": (post.rendered, ("none",), (10_000,)),
    "outbox": (post.sent, BOTH, (10_000,)),
    "outage": (post.outage, BOTH, (10_000,)),
    "killed": (post.killed, BOTH, (10_000,)),
    "workers": (post.several, BOTH, (10_000,)),
    "paint": (_paint, ("sqlite",), (9,)),
    "decisions": (decisions.decisions, ("none",), (20_000,)),
}
"""Name -> what measures it, on which databases, for how many."""
QUICK = 1_000
QUICK_AT_LEAST = {"fairness": 10_000, "paint": 9}


def main() -> int:
    """Runs, prints, and returns 1 when the books of a run were wrong."""
    asked = _asked()
    if asked.one:
        return _one(*asked.one)
    figures: list[Figure] = []
    wrong: list[str] = []
    for name in asked.names or list(ALL):
        _, kinds, sizes = ALL[name]
        for kind in kinds:
            if asked.database and kind not in (asked.database, "none"):
                continue
            quick = (QUICK_AT_LEAST.get(name, QUICK),)
            for n in asked.n or (quick if asked.quick else sizes):
                print(f"{name} on {kind}, N = {n:,} ...", file=sys.stderr, flush=True)
                found = _in_a_process_of_its_own(name, kind, n)
                figures += found.figures
                wrong += found.wrong
    where = machine()
    if asked.json:
        print(msgspec.json.encode({"machine": where, "figures": figures, "wrong": wrong}).decode())
    else:
        print(f"{where}\n\n{table(figures)}")
    for each in wrong:
        print(f"WRONG, and so without a speed: {each}", file=sys.stderr)
    return 1 if wrong else 0


class _Found(msgspec.Struct):
    figures: list[Figure]
    wrong: list[str]


def _in_a_process_of_its_own(name: str, kind: str, n: int) -> _Found:
    """One measurement; what another has left behind in memory is not counted as its own."""
    command = [sys.executable, "-m", "benchmarks", "--one", name, kind, str(n)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if told.returncode:
        return _Found([], [f"{name} on {kind}, N = {n:,}: exit code {told.returncode}"])
    return msgspec.json.decode(told.stdout.splitlines()[-1], type=_Found)


def _one(name: str, kind: str, n: str) -> int:
    found = _Found([], [])
    try:
        found.figures += list(ALL[name][0](kind, int(n)))
    except Wrong as e:
        found.wrong.append(f"{name} on {kind}, N = {int(n):,}: {e}")
    print(msgspec.json.encode(found).decode())
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed beside its bare limit.")
    parser.add_argument("names", nargs="*", choices=[*ALL, []], help="which; all when none is named")
    parser.add_argument("--quick", action="store_true", help="small N")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "KIND", "N"), help=argparse.SUPPRESS)
    parser.add_argument("--database", choices=BOTH)
    parser.add_argument("--n", type=int, action="append", help="N instead of the usual ones; repeatable")
    return parser.parse_args()


if __name__ == "__main__":
    from tests.support.postgres import close_run

    try:
        code = main()
    finally:
        close_run()
    sys.exit(code)
