"""Where a merchant's own addresses may lead, and that the name on a certificate counts wherever we were sent."""

from pathlib import Path

import pytest

from recoup.wire.public_address import NotPublic, is_public, public_address
from recoup.wire.transport import Answer, NotOpened, Transport
from tests.psp.test_transport import good, peer
from tests.support.certificates import certified


def test_the_address_is_picked_and_the_name_still_checked(tmp_path: Path) -> None:
    """Connected to where we were sent, and nothing said there: its certificate is for another name."""
    asked: list[tuple[str, int]] = []

    def address_of(host: str, port: int) -> str:
        asked.append((host, port))
        return "127.0.0.1"

    tls = certified(tmp_path, "127.0.0.1")
    with peer(good, tls.serving()) as running, peer(good) as plain:
        there = f"https://billing.example:{running.port}"
        told = Transport(there, tls=tls.trusting(), address_of=address_of).call("POST", "/", body=b"{}")
        said = Transport(f"http://billing.example:{plain.port}", address_of=address_of).call("POST", "/")
    assert isinstance(told, NotOpened)
    assert "billing.example" in told.why
    assert running.requests == []
    assert asked == [("billing.example", running.port), ("billing.example", plain.port)]
    assert isinstance(said, Answer)
    assert f"Host: billing.example:{plain.port}".encode() in plain.requests[0]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False),
        ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("255.255.255.255", False), ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:8.8.8.8", True), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False), ("ff02::1", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_name_that_leads_inside_is_refused() -> None:
    with pytest.raises(NotPublic, match="RECOUP_ALLOW_PRIVATE_ENDPOINTS"):
        public_address("localhost", 80)
