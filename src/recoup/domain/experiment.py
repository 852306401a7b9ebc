"""What an experiment is: its arms, what each does differently, and a case's place in one."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from recoup.domain.audience import Audience

Kind = Literal["policy", "messages", "page"]
"""What differs between the arms: the policy a case begins with, the messages, or the hosted page."""

WITHHOLD = "withhold"
"""The variant of a messages experiment that sends nothing but what the law or a scheme demands."""

WITHOUT = "without."
"""`without.soft_notice`: the variant of a messages experiment that leaves out one step."""

OTHER_WORDS = "texts"
"""What a case's place says of an arm with words of its own; the words themselves stand in the plan."""

CARD_FIRST = "card_first"
"""The variant of a page experiment that asks for another card first, and offers the same one again below."""

LEGAL_STEPS = ("final", "pre_debit", "prenotification", "mandate", "legal")
"""Messages whose step begins so are never withheld or worded otherwise: last notices, and notices before a debit."""

HOLDOUT = "message-holdout"
"""The id of a merchant's permanent holdout."""
HOLDOUT_SHARE = 0.05
"""The share of customers that hears nothing beyond legal notices, so that what messages bring can be known."""
HOLDOUT_BEGINS_AT = 250
"""Failed payments in 30 days from which a holdout of 5 % can answer within about a year and a half."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")]
Texts = dict[str, dict[str, str]]
"""Words by language and name of the sentence they stand for."""


class Arm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One side of an experiment. `policy` (`name@version`), `variant` or `texts` says what it does; none: as always."""

    name: Name
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    policy: str | None = None
    variant: Name | None = None
    texts: Texts = {}
    """Of a messages experiment: words said in place of the merchant's own, by language and sentence."""


class Enrolment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A case's place in one experiment, drawn when the case opened and kept for life."""

    experiment: str
    kind: Kind
    arm: str
    share: float
    """The probability with which this arm was drawn."""
    variant: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An experiment as it was registered; never changed afterwards. The first arm is the one compared with.

    `horizon_days`: a case counts as recovered when it is within so many days of opening. `effect`: the smallest change
    of the recovery rate worth knowing, in [0, 1]. `alpha`: the chance of ever calling a difference where there is none.
    """

    id: Name
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    kind: Kind
    salt: str
    arms: tuple[Arm, ...]
    horizon_days: Annotated[int, msgspec.Meta(ge=1, le=120)] = 30
    effect: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    alpha: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.05
    permanent: bool = False
    """A holdout that is never ended by its own result."""
    planned: int | None = None
    """Customers after which `effect` is found with a probability of 80 %."""
    audience: Audience | None = None
    """Of a test of policies: the cases it draws from; None: all."""

    def __post_init__(self) -> None:
        names = [a.name for a in self.arms]
        if len(self.arms) < 2 or len(set(names)) != len(names):
            raise ValueError("an experiment needs two or more arms with names of their own")
        if abs(sum(a.share for a in self.arms) - 1) > 1e-9:
            raise ValueError(f"the arms' shares add up to {sum(a.share for a in self.arms):g}, not to 1")
        if self.kind == "policy" and any(a.policy is None for a in self.arms):
            raise ValueError("each arm of a policy experiment names its policy as name@version")
        if self.kind != "policy" and any(a.policy is not None for a in self.arms):
            raise ValueError(f"an arm of a {self.kind} experiment names a variant, not a policy")
        if self.kind != "policy" and self.audience is not None:
            raise ValueError(
                f"a {self.kind} experiment is for everybody; an audience is for experiments of policies"
            )
        self._known_variants()
        self._where_texts_may_stand()

    def _known_variants(self) -> None:
        """Refuses a variant that nothing would do: an arm without one is as always."""
        for arm in self.arms:
            told = arm.variant
            if told is None or self.kind == "policy":
                continue
            silent = told == WITHHOLD or (told.startswith(WITHOUT) and len(told) > len(WITHOUT))
            if self.kind == "messages" and not silent:
                raise ValueError(
                    f"{told!r} is no variant of messages; write {WITHHOLD!r}, {WITHOUT + 'STEP'!r} for one message left out, "
                    "or nothing for as always"
                )
            if self.kind == "page" and told != CARD_FIRST:
                raise ValueError(
                    f"{told!r} is no variant of the page; write {CARD_FIRST!r}, or nothing for as always"
                )

    def _where_texts_may_stand(self) -> None:
        """Refuses words of an arm that nobody would say, and those of the first arm: it is what happens today."""
        for arm in self.arms:
            if arm.texts and self.kind != "messages":
                raise ValueError(
                    f"an arm of a {self.kind} experiment has no texts; give the experiment the kind messages"
                )
            if arm.texts and arm.variant is not None:
                raise ValueError(f"the arm {arm.name!r} has a variant and texts; choose one of them")
        if self.arms[0].texts:
            raise ValueError(
                f"the first arm, {self.arms[0].name!r}, is what happens today and has no texts; give them to another"
            )

    @property
    def words_differ(self) -> bool:
        """Whether an arm says something in other words."""
        return any(a.texts for a in self.arms)

    def sentences(self) -> frozenset[str]:
        """The names of the sentences that some arm says in other words."""
        return frozenset(key for a in self.arms for words in a.texts.values() for key in words)

    def arm(self, name: str) -> Arm:
        """The arm of that name. Raises `KeyError`."""
        found = next((a for a in self.arms if a.name == name), None)
        if found is None:
            raise KeyError(f"experiment {self.id} has no arm {name!r}")
        return found


def is_legal(step: str) -> bool:
    """Whether the law or a scheme demands this message: no experiment touches it."""
    return step.startswith(LEGAL_STEPS)


def withheld(places: tuple[Enrolment, ...], step: str) -> str | None:
    """The experiment because of which the message `step` must not go out, or None. Legal notices always go out."""
    if not places or is_legal(step):
        return None
    silent = (WITHHOLD, WITHOUT + step)
    return next((p.experiment for p in places if p.kind == "messages" and p.variant in silent), None)


def variant(places: tuple[Enrolment, ...], kind: Kind) -> str | None:
    """What an experiment of that kind wants for this case; None: as always."""
    return next((p.variant for p in places if p.kind == kind and p.variant is not None), None)


def worded(plans: Sequence[Plan], places: tuple[Enrolment, ...], step: str) -> list[tuple[Plan, str]]:
    """Those of `plans` that may word the message `step` otherwise for a case with these places, each with its arm."""
    if is_legal(step):
        return []
    arms = {p.experiment: p.arm for p in places}
    return [(plan, arms[plan.id]) for plan in plans if plan.id in arms]


def place_name(experiment: str, arm: str) -> str:
    """How a message's record names the arm it was written in."""
    return f"{experiment}:{arm}"
