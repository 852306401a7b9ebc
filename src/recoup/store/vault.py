"""Seals provider credentials with authenticated encryption; keys rotate, old ones still open."""

import base64
import hashlib

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

MIN_SECRET = 32


class WeakSecret(ValueError):
    """The secret key is too short to protect credentials and links."""


class Sealed(ValueError):
    """Stored credentials cannot be opened with the secret keys given."""


class Vault:
    """Seals and opens with keys derived from `RECOUP_SECRET_KEY`; `older` secrets open what they once sealed."""

    def __init__(self, secret: str, older: tuple[str, ...] = ()) -> None:
        for one in (secret, *older):
            if len(one) < MIN_SECRET:
                raise WeakSecret(
                    f"the secret key has {len(one)} characters; use at least {MIN_SECRET} random ones"
                )
        self._fernet = MultiFernet([Fernet(_derived(s)) for s in (secret, *older)])

    def __repr__(self) -> str:
        return "Vault(…)"

    def seal(self, account: dict[str, str]) -> bytes:
        """`account` as sealed bytes."""
        return self._fernet.encrypt(msgspec.json.encode(account))

    def open(self, sealed: bytes) -> dict[str, str]:
        """What was sealed. Raises `Sealed` when none of the keys fits."""
        try:
            return msgspec.json.decode(self._fernet.decrypt(sealed), type=dict[str, str])
        except InvalidToken as e:
            raise Sealed(
                "stored provider credentials were sealed with another secret key; "
                "set RECOUP_SECRET_KEY to it, or add it to RECOUP_OLD_SECRET_KEYS"
            ) from e

    def reseal(self, sealed: bytes) -> bytes:
        """The same contents under the newest key."""
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as e:
            raise Sealed(
                "stored provider credentials cannot be opened with any of the secret keys given"
            ) from e


def _derived(secret: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"recoup/vault/" + secret.encode()).digest())
