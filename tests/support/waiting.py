"""Waiting for what another thread or process does. A limit here finds what hangs; no test is held to a clock."""

import time
from collections.abc import Callable

HANGS_S = 240.0
"""Far beyond what anything here needs on a machine that has other work to do."""


def until(
    done: Callable[[], object],
    what: str | Callable[[], object] = "it",
    *,
    pause: Callable[[float], object] = lambda ms: time.sleep(ms / 1000),
) -> None:
    """Returns once `done` is true; fails when it is not for so long that it never will be. A browser's own `pause`
    (milliseconds) lets its events through."""
    end = time.monotonic() + HANGS_S
    while not done():
        assert time.monotonic() < end, f"waited in vain for {what() if callable(what) else what}"
        pause(20.0)
