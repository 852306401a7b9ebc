"""Makes the fakes' fixtures available to the tests of the fakes themselves."""

from tests.fakes.stripe.fixture import fake_stripe

__all__ = ["fake_stripe"]
