"""Which answer comes next for a payment method or a customer."""

from collections.abc import Sequence

from .outcomes import Outcome, Wish, outcome


class Scripts:
    """A list of outcomes per payment method or customer id; the last one is repeated."""

    def __init__(self) -> None:
        self._rest: dict[str, list[Outcome]] = {}

    def write(self, target: str, wishes: Sequence[Wish]) -> None:
        """Replaces what was written for `target` (an id `pm_...` or `cus_...`); nothing = forget it."""
        self._rest[target] = [outcome(wish) for wish in wishes]

    def next(self, *targets: str | None) -> Outcome | None:
        """The next answer of the first target that has any: the method's own before the customer's."""
        for target in targets:
            if target and (rest := self._rest.get(target)):
                return rest.pop(0) if len(rest) > 1 else rest[0]
        return None
