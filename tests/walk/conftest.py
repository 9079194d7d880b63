"""The walk goes through the doors that the tests of the API have opened."""

from tests.api.conftest import clock, counter, door, served, settings

__all__ = ["clock", "counter", "door", "served", "settings"]
