"""Which transport runs."""

from __future__ import annotations

import logging
import sys

import pytest

from clipper_rpc import choose
from clipper_rpc.grpcio_transport import GrpcioTransport


class Native:
    name = "native"


class Module:
    NativeTransport = Native


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clipper_rpc.native_transport", None)
    monkeypatch.setattr(choose, "_said", set())


@pytest.fixture
def with_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clipper_rpc.native_transport", Module)


def test_grpcio_is_taken_when_asked_for(with_native: None) -> None:
    assert isinstance(choose.transport("grpcio"), GrpcioTransport)


def test_the_native_one_is_taken_where_it_is_there(with_native: None) -> None:
    assert choose.transport("native").name == "native"
    assert choose.transport().name == "native"


def test_without_it_grpcio_runs_and_the_log_says_so_once(
    without_native: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert choose.transport().name == "grpcio"
        assert choose.transport().name == "grpcio"
    assert [record.message for record in caplog.records] == ["native_transport_missing"]


def test_who_insists_on_it_is_told_what_to_do(without_native: None) -> None:
    with pytest.raises(ImportError, match="--transport grpcio"):
        choose.transport("native")
