"""What all tests share."""

from hypothesis import settings

# A busy machine must not fail a test: time decides nothing.
settings.register_profile("glance", deadline=None)
settings.load_profile("glance")
