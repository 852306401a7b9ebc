"""The Stripe gateway keeps what every provider must keep."""

from collections.abc import Iterator

import pytest

from tests.psp.conformance import Conformance, World
from tests.psp.stripe_world import stripe_world


class TestStripe(Conformance):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        with stripe_world() as running:
            yield running
