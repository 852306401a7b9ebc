"""A model laid out for arithmetic: all the ways things may stand, in one fixed order, and which of them clear when."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from math import dist, floor, hypot
from typing import NamedTuple

from recoup.decide.model import CAUSES, CYCLE_DAYS, CYCLES, PHASES, Cycle, Model

CURED_BY_TIME = ("funds", "technical", "limit", "issuer_risk")
ATOMS = 5
"""How long money lasts stands for by so many equally likely spans."""
ENDS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.98)
"""The quantiles between which the spans lie."""
DAY_HOURS = 24


class When(NamedTuple):
    """An instant as the belief sees it: local days after the first failure's, local hour, whole hours after the failure."""

    day: int
    hour: int
    elapsed: float


class Refused(NamedTuple):
    """A try that was refused, and what the refusal meant."""

    when: When
    category: str
    code: str


PastDebt = tuple[tuple[int, int, bool], ...]
"""The tries of an earlier debt, oldest first: local day (before the first refusal's: negative), hour, whether it cleared."""
Period = tuple[int, tuple[float, ...]]
"""Which period of a cycle, and a chance for each span that its money may last."""


class Evidence(NamedTuple):
    """All the belief goes by. `refusals` oldest first, the first at day 0; `told`: cycle, days until the next pay day,
    how sure; `past`: the customer's earlier debts; `on`: the first refusal's local date, given only where the model
    has seen that dates matter."""

    funding: str
    refusals: tuple[Refused, ...]
    told: tuple[Cycle, int, float] | None = None
    past: tuple[PastDebt, ...] = ()
    on: date | None = None


class Column:
    """The chance that a charge clears, for each scenario."""

    __slots__ = ("_chances", "_partly", "_square", "_sure", "clears")

    def __init__(self, clears: Sequence[float]) -> None:
        self.clears = tuple(clears)
        self._square = square(self.clears)
        self._sure = tuple([i for i, c in enumerate(self.clears) if c >= 1.0])
        self._partly = tuple([i for i, c in enumerate(self.clears) if 0.0 < c < 1.0])
        self._chances = tuple([self.clears[i] for i in self._partly])

    def of(self, weights: Sequence[float], weights_square: float) -> float:
        """The weight of what clears; `weights_square` is their `square`.

        A scalar product by the law of cosines: the distance of two points is what Python has always worked out in C.
        """
        found: float = (self._square + weights_square - dist(self.clears, weights) ** 2) / 2
        return found if found > 0.0 else 0.0

    def refuse(self, weights: list[float], vigour: float) -> None:
        """Counts a refusal: `vigour` is the chance that a charge clears which nothing stands against."""
        left = 1.0 - vigour
        for i in self._sure:
            weights[i] *= left
        for i, chance in zip(self._partly, self._chances, strict=True):
            weights[i] *= 1.0 - vigour * chance

    def forget(self, weights: list[float], vigour: float) -> None:
        """Takes back what `refuse` counted."""
        more = 1.0 / (1.0 - vigour)
        for i in self._sure:
            weights[i] *= more
        for i, chance in zip(self._partly, self._chances, strict=True):
            weights[i] /= 1.0 - vigour * chance

    def cleared(self, weights: Sequence[float], vigour: float) -> list[float]:
        """The weights times the chance that a charge cleared."""
        return [w * vigour * c for w, c in zip(weights, self.clears, strict=True)]


def square(numbers: Sequence[float]) -> float:
    """The sum of the squares."""
    return hypot(*numbers) ** 2


class Chart:
    """The scenarios of a model. A scenario is one way things may stand: a pay day and how long the money lasts; no
    money within reach; an outage or a limit of some length; an issuer that judges each try anew; and last, what time
    does not cure."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.pay = [(cycle, j) for cycle in CYCLES for j in range(PHASES[cycle])]
        self.broke = len(self.pay) * ATOMS
        self.technical = self.broke + 1
        self.limit = self.technical + len(model.outage_hours)
        self.risk = self.limit + len(model.limit_days)
        self.never = self.risk + len(model.risk_levels)
        edges = [0]
        for cycle in CYCLES:
            edges.append(edges[-1] + PHASES[cycle] * ATOMS)
        self.cycles = tuple(pairwise(edges))
        self.dated = len(set(model.pay.weekdays)) > 1 or len(set(model.pay.monthdays)) > 1
        self._lasts = {c: [model.pay.lasting[c].quantile(q) for q in ENDS] for c in CYCLES}
        self._clears: dict[tuple[Cycle, int, int], Period] = {}
        self._fails: dict[tuple[Cycle, int, int], Period] = {}
        self._pay_columns: dict[tuple[int, int], Column] = {}
        self._columns: dict[When, Column] = {}
        self._judged: dict[int, tuple[float, ...]] = {}
        self._priors: dict[tuple[str, str, str], tuple[float, ...]] = {}
        self.fitness: dict[PastDebt, tuple[float, ...]] = {}
        """How well each pay day explains an earlier debt, once worked out (see `memory`)."""

    def causes(self, category: str, code: str, funding: str) -> dict[str, float]:
        """The shares of the hidden causes behind a fresh refusal, from the most particular entry there is."""
        known = self.model.causes
        for key in (f"{category}|{code}|{funding}", f"{category}|{code}", f"{category}||{funding}", category):
            if key in known:
                found = known[key]
                break
        else:
            found = known["unknown"]
        total = sum(found.values())
        return {cause: found[cause] / total for cause in CAUSES if found.get(cause, 0.0) > 0}

    def prior(self, category: str, code: str, funding: str) -> tuple[float, ...]:
        """The weights of all scenarios before anything is known but the first refusal's meaning."""
        key = (category, code, funding)
        if key not in self._priors:
            causes = self.causes(*key)
            pay = self.model.pay
            shares = pay.shares.get(funding) or pay.shares[""]
            funds = causes.get("funds", 0.0)
            weights: list[float] = []
            for share, cycle in zip(shares[:3], CYCLES, strict=True):
                for weight in scaled(pay.phases[cycle], funds * share):
                    weights += [weight / ATOMS] * ATOMS
            weights.append(funds * shares[3])
            for cause, atoms in self.atoms():
                weights += scaled([w for _, w in atoms], causes.get(cause, 0.0))
            weights.append(max(0.0, 1.0 - sum(weights)))
            self._priors[key] = tuple(weights)
        return self._priors[key]

    def atoms(self) -> tuple[tuple[str, Sequence[tuple[float, float]]], ...]:
        """The causes whose scenarios are pairs of a value and its weight, in order."""
        m = self.model
        return ("technical", m.outage_hours), ("limit", m.limit_days), ("issuer_risk", m.risk_levels)

    def column(self, when: When) -> Column:
        """The scenarios in which a charge at `when` clears (the issuer's judgement is not among them)."""
        found = self._columns.get(when)
        if found is None:
            m, elapsed = self.model, when.elapsed
            over = [elapsed >= hours for hours, _ in m.outage_hours]
            lifted = [when.day >= 1 if days == 0 else elapsed >= days * DAY_HOURS for days, _ in m.limit_days]
            never = [False] * (1 + len(m.risk_levels))
            pays = self.pay_column(when.day, when.hour).clears
            found = self._columns[when] = Column([*pays, *map(float, [False, *over, *lifted, *never])])
        return found

    def pay_column(self, day: int, hour: int) -> Column:
        """The pay day scenarios alone."""
        found = self._pay_columns.get((day, hour))
        if found is None:
            clears: list[float] = []
            for cycle, j in self.pay:
                clears += self.clears(cycle, day - j, hour)[1]
            found = self._pay_columns[day, hour] = Column(clears)
        return found

    def clears(self, cycle: Cycle, days: int, hour: int) -> Period:
        """The period and, for each span that money may last, the chance that it is there: `days` after the next pay
        day (negative: before it, in an earlier period), at the local `hour`."""
        key = (cycle, days, hour)
        found = self._clears.get(key)
        if found is None:
            found = self._clears[key] = self._clear(
                cycle, days + (hour + 0.5 - self.model.pay.hour) / DAY_HOURS
            )
        return found

    def fails(self, cycle: Cycle, days: int, hour: int) -> Period:
        """The same for a charge that was refused though nothing stood against it but the lack of money."""
        key = (cycle, days, hour)
        found = self._fails.get(key)
        if found is None:
            period, chances = self.clears(*key)
            refused = tuple([1.0 - self.model.at_once * c for c in chances])
            found = self._fails[key] = period, refused
        return found

    def _clear(self, cycle: Cycle, since: float) -> Period:
        length = CYCLE_DAYS[cycle]
        period = floor(since / length)
        lag = since - period * length
        ends = self._lasts[cycle]
        found = []
        for atom in range(ATOMS):
            # How long the money lasts is drawn anew for each period: another span each time.
            at = (atom + 2 * period) % ATOMS
            low, high = ends[at], ends[at + 1]
            found.append(1.0 if lag <= low else 0.0 if lag >= high else (high - lag) / (high - low))
        return period, tuple(found)

    def judged(self, nth: int) -> tuple[float, ...]:
        """The chances of the `nth` try where the issuer judges, by scenario."""
        found = self._judged.get(nth)
        if found is None:
            decay = self.model.risk_decay**nth
            found = self._judged[nth] = tuple([p * decay for p, _ in self.model.risk_levels])
        return found

    def by_cause(self, weights: Sequence[float], causes: dict[str, float]) -> dict[str, float]:
        """The weights summed up; what time does not cure is split as in `causes`, the shares behind one refusal."""
        found = {
            "funds": sum(weights[: self.technical]),
            "technical": sum(weights[self.technical : self.limit]),
            "limit": sum(weights[self.limit : self.risk]),
            "issuer_risk": sum(weights[self.risk : self.never]),
        }
        rest = {c: p for c, p in causes.items() if c not in CURED_BY_TIME}
        total = sum(rest.values())
        for cause, share in rest.items():
            found[cause] = weights[self.never] * share / total
        return found


def scaled(weights: Sequence[float], to: float) -> list[float]:
    """The weights in proportion, adding up to `to`."""
    total = sum(weights)
    return [to * w / total for w in weights] if total > 0 else [0.0] * len(weights)
