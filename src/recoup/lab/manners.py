"""Learns from finished cases what customers do: answer messages, pay by themselves, leave; and how new details fare."""

from collections import Counter, defaultdict
from math import exp, log

from recoup.decide.model import Replies, Spontaneous
from recoup.lab.lessons import ANSWERED_WITHIN, Life, Strain

NUMBERS = 6
"""Messages are told apart up to this number; later ones count as the last."""
SHRINK = 60.0
"""How many messages the starting rate counts for."""
SHRINK_CASES = 40.0
PATIENCE_HELD = 150.0
"""How many strains the starting patience counts for."""
_PATIENCES = tuple(2.0 * 1.19**n for n in range(26))
_REFUSALS = (0.02, 0.05, 0.08, 0.12, 0.16, 0.2, 0.3)


class Manners:
    """Counts over any number of cases; small however many there are."""

    def __init__(self) -> None:
        self.told: dict[str, Counter[int]] = defaultdict(Counter)
        self.answered: dict[str, Counter[int]] = defaultdict(Counter)
        self.hours, self.answers = 0.0, 0
        self.strained: Counter[Strain] = Counter()
        self.open_days, self.cures = 0.0, 0
        self.updates: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.update_days, self.updated = 0.0, 0
        self.fresh, self.fresh_cleared = 0, 0

    def add(self, life: Life) -> None:
        """Counts one case."""
        for touch in life.touches:
            nth = min(touch.nth, NUMBERS - 1)
            self.told[touch.category][nth] += 1
            if touch.answered_after_hours is not None:
                self.answered[touch.category][nth] += 1
                self.hours, self.answers = self.hours + touch.answered_after_hours, self.answers + 1
        self.strained.update(life.strains)
        self.open_days += life.open_days
        self.cures += life.cures
        seen = self.updates[life.category]
        # A case that was soon over could not have been updated: it counts for the part of the time it was open.
        arrived = life.updated_after_days is not None
        seen[0] += 1.0 if arrived else 1.0 - exp(-life.watched_days / 2.0)
        if life.updated_after_days is not None:
            seen[1] += 1
            self.update_days, self.updated = self.update_days + life.updated_after_days, self.updated + 1
        self.fresh += life.fresh_tries
        self.fresh_cleared += life.fresh_cleared

    def cures_per_day(self, start: float) -> float:
        """How often customers pay by themselves, per day the case is open."""
        return round((self.cures + start * 300) / (self.open_days + 300), 6)

    def replies(self, start: Replies, cures_per_day: float) -> Replies:
        """What messages do, less what would have happened without them."""
        days = ANSWERED_WITHIN.total_seconds() / 86400
        chance_alone = 1 - exp(-cures_per_day * days)
        everywhere = self._rates(start.by_category[""], list(self.told), chance_alone)
        found = {"": everywhere}
        for category in sorted({*self.told, *start.by_category} - {""}):
            known = start.by_category.get(category)
            level = everywhere
            if known is not None:
                # What sets the category apart is kept; the merchant's own level is what was counted everywhere.
                own = sum(everywhere) / sum(self._stretched(start.by_category[""]))
                level = tuple(min(0.9, k * own) for k in self._stretched(known))
            found[category] = self._rates(level, [category], chance_alone)
        patience, refusal = self._patience(start)
        hours = (self.hours + start.hours * 20) / (self.answers + 20)
        return Replies(by_category=found, hours=round(hours, 2), patience=patience, refusal=refusal)

    def spontaneous(self, start: Spontaneous) -> Spontaneous:
        """What happens without us."""
        shares = dict(start.updater_share)
        for category, (cases, arrived) in sorted(self.updates.items()):
            before = shares.get(category, shares.get("", 0.0))
            share = (arrived + SHRINK_CASES * before) / (cases + SHRINK_CASES)
            shares[category] = round(min(share, 0.99), 4)
        days = (self.update_days + start.updater_days * 10) / (self.updated + 10)
        return Spontaneous(
            cures_per_day=self.cures_per_day(start.cures_per_day),
            updater_share=shares,
            updater_days=round(max(days, 0.1), 2),
        )

    def fresh_share(self, start: float) -> float:
        """How often new details clear at once."""
        return round((self.fresh_cleared + 30 * start) / (self.fresh + 30), 4)

    def _stretched(self, rates: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(rates[min(n, len(rates) - 1)] for n in range(NUMBERS))

    def _rates(self, start: tuple[float, ...], categories: list[str], alone: float) -> tuple[float, ...]:
        found = []
        for nth, rate in enumerate(self._stretched(start)):
            told = sum(self.told[c][nth] for c in categories)
            answered = sum(self.answered[c][nth] for c in categories)
            net = max(0.0, answered - alone * told)
            found.append(round((net + SHRINK * rate) / (told + SHRINK), 5))
        return tuple(found)

    def _patience(self, start: Replies) -> tuple[float, float]:
        """Patience and the wear of a refusal under which the departures are likeliest, held to the start."""
        best, top = (start.patience, start.refusal), float("-inf")
        seen = sum(self.strained.values())
        for patience in (start.patience, *_PATIENCES):
            for refusal in (start.refusal, *_REFUSALS):
                model = Replies(by_category={"": (0.1,)}, patience=patience, refusal=refusal)
                fit = sum(n * _log_chance(model, strain) for strain, n in self.strained.items())
                away = log(patience / start.patience) ** 2 + 0.5 * log(refusal / start.refusal) ** 2
                value = fit - away * PATIENCE_HELD / (PATIENCE_HELD + seen) * 3
                if value > top + 1e-9:
                    best, top = (round(patience, 2), refusal), value
        return best


def _log_chance(model: Replies, strain: Strain) -> float:
    worn = strain.messages + model.refusal * strain.refusals
    leaves = model.leaves(worn, 1.0 if strain.is_message else model.refusal)
    return log(max(leaves, 1e-9)) if strain.left else log(max(1.0 - leaves, 1e-9))
