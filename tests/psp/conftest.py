"""The fixtures of the provider tests."""

from tests.fakes.stripe.fixture import fake_stripe

__all__ = ["fake_stripe"]
