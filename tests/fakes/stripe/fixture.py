"""The fixture tests ask for: a running fake whose contract faults must be none at the end."""

from collections.abc import Iterator

import pytest

from .fake import FakeStripe


@pytest.fixture
def fake_stripe() -> Iterator[FakeStripe]:
    """A fresh account. At the end every request and answer must have fitted the official client's types;
    a test that provokes a fault on purpose takes it off with `fake.excuse(...)`.
    """
    with FakeStripe() as fake:
        yield fake
        assert fake.faults == []
