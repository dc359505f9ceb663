"""Configuration: option declarations by subject, loading with checks, sample files.

``load(program, argv)`` is all that a program needs.
"""

from glance.config.loading import Loaded, load

__all__ = ["Loaded", "load"]
