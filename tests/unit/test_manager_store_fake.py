"""The fake store behaves as the real one."""

from __future__ import annotations

import pytest
from store_contract import HISTORY, TTL_S, Advance, StoreContract

from fakes import FakeStore


class TestFakeStore(StoreContract):
    @pytest.fixture
    def store(self) -> FakeStore:
        return FakeStore(lease_ttl_s=TTL_S, history=HISTORY)

    @pytest.fixture
    def advance(self, store: FakeStore) -> Advance:
        async def advance(seconds: float) -> None:
            store.now_s += seconds

        return advance
