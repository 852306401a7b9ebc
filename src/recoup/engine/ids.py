"""The one place where ids and dice are made."""

import base64
import random
import secrets
import time
from hashlib import blake2b

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """An id such as `at_01jd…`: sorts by the millisecond it was made in, with 70 random bits behind."""
    millis = time.time_ns() // 1_000_000
    return f"{prefix}_{_base32(millis, 9)}{_base32(secrets.randbits(70), 14)}"


def new_secret(prefix: str) -> str:
    """An unguessable secret, 160 bits."""
    return f"{prefix}_{_base32(secrets.randbits(160), 32)}"


def new_hook_secret() -> str:
    """A secret to sign webhooks with, after Standard Webhooks: 192 bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def draw() -> float:
    """A number in [0, 1), for jitter."""
    return random.random()  # noqa: S311  (nothing secret hangs on it)


def draw_for(*what: object) -> float:
    """A number in [0, 1) that belongs to `what`: the same case at the same step draws the same, so it can be replayed."""
    digest = blake2b("/".join(map(str, what)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def _base32(number: int, length: int) -> str:
    """`number` in `length` digits, two at a time."""
    out = [_PAIRS[(number >> shift) & 1023] for shift in range(5 * length - 10 + 5 * (length % 2), -1, -10)]
    return "".join(out)[-length:]
