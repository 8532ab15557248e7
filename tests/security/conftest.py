"""The local Hub and the small snapshot of tests/hub, for those who attack them."""

from tests.hub.conftest import hub, snapshot

__all__ = ["hub", "snapshot"]
