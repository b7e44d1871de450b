"""Settings of the property tests."""

from hypothesis import settings

# A slow machine is no failure: what an example may take is no part of the behaviour under test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
