"""How often Python looks for circles of garbage."""

import gc


def collect_seldom() -> None:
    """For a process that decides and charges by the thousand: a batch or a plan makes tens of thousands of small values
    at once and hardly ever a circle of them. Looking for circles every few hundred values took a tenth of the CPU."""
    gc.set_threshold(20_000, 20, 20)
