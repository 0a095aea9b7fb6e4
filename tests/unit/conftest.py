"""A downloader over a client, a fetcher and a repository in memory."""

from __future__ import annotations

import pytest

from audiobatch import BatchDownloader
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher


@pytest.fixture
def client() -> FakeClient:
    """Give an empty client."""
    return FakeClient()


@pytest.fixture
def fetcher() -> FakeFetcher:
    """Give a fetcher that knows every book."""
    return FakeFetcher()


@pytest.fixture
def repository() -> MemoryRepository:
    """Give an empty repository."""
    return MemoryRepository()


@pytest.fixture
def downloader(client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository) -> BatchDownloader:
    """Give a downloader that does not wait between its tries."""
    return BatchDownloader(
        client=client, fetcher=fetcher, repository=repository, fetch_retry=AT_ONCE, confirm_retry=AT_ONCE
    )
