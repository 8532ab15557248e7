"""The local Hub and the small snapshot of tests/pipeline/publishing, for those who attack them."""

from tests.pipeline.publishing.conftest import hub, snapshot

__all__ = ["hub", "snapshot"]
