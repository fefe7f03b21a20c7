"""Every error that Clipper tells a caller: well formed, documented, and the same on both ends of the wire."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from string import Formatter

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from clipper_rpc import errors
from clipper_rpc.errors import ClipperError, Code, ModelError, NoModel, Overloaded, all_errors
from clipper_rpc.status import RemoteError, for_caller, from_status, to_rpc_status, to_status
from clipper_rpc.transport import Status

# Those that a whole import of the package brings, not those that other tests define.
ERRORS = [cls for cls in all_errors() if cls.__module__.startswith("clipper_")]


def example(cls: type[ClipperError], text: str = "ä%{}") -> ClipperError:
    names = [name for _, name, _, _ in Formatter().parse(cls.template) if name]
    return cls(**{name: f"{name}-{text}" for name in names})


def test_there_are_errors() -> None:
    assert len(ERRORS) > 25


def test_reasons_are_unique() -> None:
    counted = Counter(cls.reason for cls in ERRORS)
    assert [reason for reason, count in counted.items() if count > 1] == []


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
class TestEveryError:
    def test_reason_has_the_syntax_of_aip_193(self, cls: type[ClipperError]) -> None:
        assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,62}", cls.reason)

    def test_code_is_canonical_and_no_success(self, cls: type[ClipperError]) -> None:
        assert isinstance(cls.code, Code)
        assert cls.code != Code.OK

    def test_says_when_it_happens(self, cls: type[ClipperError]) -> None:
        assert cls.__doc__
        assert cls.__doc__ != ClipperError.__doc__

    def test_stands_in_the_tree_of_the_module(self, cls: type[ClipperError]) -> None:
        assert errors.__doc__
        line = next(part for part in re.split(r"[├└]── ", errors.__doc__) if re.search(rf"\b{cls.__name__}\b", part))
        assert line.startswith(f"{cls.code.name} ")

    def test_comes_back_as_the_same_class_with_the_same_fields(self, cls: type[ClipperError]) -> None:
        error = example(cls)
        back = from_status(to_status(error))
        assert type(back) is cls
        assert back.fields == error.fields
        assert back.message == error.message

    def test_status_carries_reason_domain_and_retry_info(self, cls: type[ClipperError]) -> None:
        status = to_rpc_status(example(cls))
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert (info.reason, info.domain) == (cls.reason, "clipper.v1")
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details) == (cls.retry_after_s is not None)
        if cls.retry_after_s is not None:
            assert retry.retry_delay.ToTimedelta().total_seconds() == pytest.approx(cls.retry_after_s)

    def test_can_be_pickled(self, cls: type[ClipperError]) -> None:
        error = example(cls)
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), back.fields) == (cls, error.fields)


def test_codes_are_numbered_as_on_the_wire() -> None:
    assert {code.name: int(code) for code in Code} == dict(code_pb2.Code.items())


def test_a_missing_field_is_told_where_the_error_is_made() -> None:
    with pytest.raises(KeyError):
        NoModel()


def status_with(reason: str, code: Code, domain: str = "clipper.v1", **fields: str) -> Status:
    rpc = status_pb2.Status(code=int(code), message="text")
    rpc.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=fields))
    return Status(code, "text", rpc.SerializeToString())


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (status_with("FROM_A_LATER_VERSION", Code.ABORTED), "FROM_A_LATER_VERSION"),
        (status_with("NO_MODEL", Code.ABORTED, application="a"), "NO_MODEL"),  # its code has changed
        (status_with("NO_MODEL", Code.UNAVAILABLE), "NO_MODEL"),  # a field is missing
        (status_with("NO_MODEL", Code.UNAVAILABLE, domain="elsewhere", application="a"), "UNKNOWN"),
        (Status(Code.UNAVAILABLE, "text"), "UNKNOWN"),
        (Status(Code.UNAVAILABLE, "text", b"\xff\xff no status"), "UNKNOWN"),
    ],
)
def test_what_is_not_known_here_becomes_a_remote_error(status: Status, reason: str) -> None:
    error = from_status(status)
    assert type(error) is RemoteError
    assert (error.code, error.reason, error.message) == (status.code, reason, "text")


def test_a_status_without_text_is_named_by_its_code() -> None:
    assert from_status(Status(Code.DATA_LOSS)).message == "DATA_LOSS"


def test_texts_that_do_not_fit_into_trailers_are_clipped_and_the_class_survives() -> None:
    error = ModelError(model="m", version="1", kind="ValueError", problem="ü" * 100_000)
    status = to_status(error)
    assert len(status.message.encode()) <= 1024
    assert len(status.details) < 4096
    back = from_status(status)
    assert isinstance(back, ModelError)
    assert back.fields["problem"].endswith("ü…")
    assert back.fields["kind"] == "ValueError"


def test_a_domain_error_is_told_as_it_is() -> None:
    error = Overloaded(model="m", version="1", queued="9")
    assert for_caller(error, process="frontend") is error


def test_a_foreign_error_is_logged_and_its_text_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    told = for_caller(ValueError("the password is…"), process="frontend")
    assert told.code == Code.INTERNAL
    assert "password" not in told.message
    assert "frontend" in told.message
    assert caplog.records[0].exc_info is not None
