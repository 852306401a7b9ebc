"""What could mislead and what could be wrong in the data: every check with its evidence, its size and the right figure."""

from recoup.insight.checks import amounts, clocks, conduct, counting, proof, records, trends
from recoup.insight.checks.verdict import Check, Ground, Report, Verdict, known

__all__ = ["ALL", "Check", "Ground", "Report", "Verdict", "examine"]

_ROOMS = (counting, proof, trends, records, amounts, clocks, conduct)
ALL: tuple[Check, ...] = tuple(sorted(known(), key=lambda c: (c.id[0], c.id)))
"""The misconceptions M01 to M35, then the data checks Q01 to Q42."""


def examine(ground: Ground, ids: frozenset[str] | None = None) -> Report:
    """Every check (or those named), in order of their ids."""
    return Report(verdicts=tuple(c.run(ground) for c in ALL if ids is None or c.id in ids))
