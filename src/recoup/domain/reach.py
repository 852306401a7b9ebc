"""How far a message got: what is told late, twice or out of order never takes it back."""

ORDER = ("sent", "delivered", "bounced", "opened", "clicked", "complained")
"""Each outranks what stands before it: a bounce may follow a delivery, and whoever opened or clicked has got it."""
_RANK = {status: rank for rank, status in enumerate(ORDER)}
ARRIVED = frozenset({"sent", "delivered", "opened", "clicked", "complained"})
"""What left and did not come back, as far as anybody has told."""


def further(known: str, told: str) -> str:
    """Where a message stands that stood at `known` when `told` is heard of it."""
    if known in _RANK and told in _RANK:
        return max(known, told, key=_RANK.__getitem__)
    return told


def is_further(known: str, told: str) -> bool:
    """Whether `told` is news of a message that left and stands at `known`."""
    return known in _RANK and told in _RANK and _RANK[told] > _RANK[known]
