"""Typed coroutines on the raw seam, health and reflection, without a wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from clipper.v1 import predict_pb2
from clipper_rpc.errors import ClipperError, Code, InvalidField, NoModel, UnknownService
from clipper_rpc.health import NOT_SERVING, SERVING, Health
from clipper_rpc.reflection import reflection_methods
from clipper_rpc.services import TypedClient, typed_methods
from clipper_rpc.status import RemoteError, to_status
from clipper_rpc.transport import OK, Metadata, Reply, Status, Streaming, Unary

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"


class Call:
    """A unary or streaming call, recorded."""

    method = "/m"
    metadata: Metadata = ()
    deadline_ns = None

    def __init__(self, *payloads: bytes) -> None:
        self.payload = payloads[0] if payloads else b""
        self.payloads = payloads
        self.on_leave: Callable[[], object] | None = None
        self.answered: asyncio.Future[bytes | ClipperError | Status] = asyncio.get_running_loop().create_future()
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()

    def reply(self, payload: bytes, trailing: Metadata = ()) -> None:
        self.answered.set_result(payload)

    def fail(self, error: ClipperError | Status) -> None:
        self.answered.set_result(error)

    async def requests(self) -> AsyncIterator[bytes]:
        for payload in self.payloads:
            yield payload

    async def send(self, payload: bytes) -> None:
        self.sent.put_nowait(payload)


class Checker:
    """Implements Health by what it is given."""

    def __init__(self, answer: health_pb2.HealthCheckResponse | Exception) -> None:
        self.answer = answer
        self.left = asyncio.Event()

    async def check(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        if isinstance(self.answer, Exception):
            raise self.answer
        if request.service == "slow":
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        return self.answer

    async def list(self, request: health_pb2.HealthListRequest) -> health_pb2.HealthListResponse:
        return health_pb2.HealthListResponse()

    async def watch(self, request: health_pb2.HealthCheckRequest) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        assert isinstance(self.answer, health_pb2.HealthCheckResponse)
        yield self.answer
        yield self.answer


def unary(methods: dict[str, Unary | Streaming], name: str, call: Call) -> None:
    method = methods[name]
    assert isinstance(method, Unary)
    method.handle(call)


async def streaming(methods: dict[str, Unary | Streaming] | dict[str, Streaming], name: str, call: Call) -> None:
    method = methods[name]
    assert isinstance(method, Streaming)
    await method.handle(call)


async def test_a_method_gets_its_request_and_its_response_is_sent() -> None:
    methods = typed_methods(HEALTH, Checker(health_pb2.HealthCheckResponse(status=SERVING)), process="test")
    call = Call(health_pb2.HealthCheckRequest(service="a").SerializeToString())
    unary(methods, CHECK, call)
    answer = await call.answered
    assert isinstance(answer, bytes)
    assert health_pb2.HealthCheckResponse.FromString(answer).status == SERVING


async def test_a_domain_error_fails_the_call_as_it_is() -> None:
    call = Call(b"")
    unary(typed_methods(HEALTH, Checker(NoModel(application="a")), process="test"), CHECK, call)
    assert isinstance(await call.answered, NoModel)


async def test_any_other_error_is_internal() -> None:
    call = Call(b"")
    unary(typed_methods(HEALTH, Checker(KeyError("secret")), process="test"), CHECK, call)
    answer = await call.answered
    assert isinstance(answer, ClipperError)
    assert (answer.code, "secret" in answer.message) == (Code.INTERNAL, False)


async def test_a_request_that_does_not_parse_is_refused() -> None:
    call = Call(b"\xff\xff")
    unary(typed_methods(HEALTH, Checker(health_pb2.HealthCheckResponse()), process="test"), CHECK, call)
    assert isinstance(await call.answered, InvalidField)


async def test_a_caller_that_leaves_ends_the_coroutine() -> None:
    checker = Checker(health_pb2.HealthCheckResponse())
    call = Call(health_pb2.HealthCheckRequest(service="slow").SerializeToString())
    unary(typed_methods(HEALTH, checker, process="test"), CHECK, call)
    await asyncio.sleep(0)
    leave = call.on_leave
    assert leave is not None
    leave()
    await checker.left.wait()
    assert not call.answered.done()


async def test_a_streaming_method_sends_each_response() -> None:
    call = Call(b"")
    methods = typed_methods(HEALTH, Checker(health_pb2.HealthCheckResponse(status=SERVING)), process="test")
    await streaming(methods, WATCH, call)
    assert call.sent.qsize() == 2


async def test_a_server_streaming_call_without_a_request_is_refused() -> None:
    methods = typed_methods(HEALTH, Checker(health_pb2.HealthCheckResponse()), process="test")
    with pytest.raises(InvalidField):
        await streaming(methods, WATCH, Call())


async def test_a_method_without_implementation_is_found_at_once() -> None:
    with pytest.raises(AttributeError, match="check"):
        typed_methods(HEALTH, object(), process="test")


class Peer:
    """A channel that answers as told."""

    address = "peer"

    def __init__(self, reply: Reply | None) -> None:
        self.reply = reply
        self.cancelled = False

    def call(
        self,
        method: str,
        payload: bytes,
        done: object,
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> Peer:
        assert callable(done)
        if self.reply is not None:
            asyncio.get_running_loop().call_soon(done, self.reply)
        return self

    def cancel(self) -> None:
        self.cancelled = True

    async def stream(
        self, method: str, payload: bytes, *, deadline_ns: int | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[bytes]:
        assert self.reply is not None
        yield self.reply.payload

    async def close(self) -> None:
        pass


def check(peer: Peer) -> asyncio.Task[health_pb2.HealthCheckResponse]:
    client = TypedClient(peer, HEALTH)
    return asyncio.create_task(client.call("Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse))


async def test_a_typed_client_gives_the_response() -> None:
    payload = health_pb2.HealthCheckResponse(status=SERVING).SerializeToString()
    assert (await check(Peer(Reply(OK, payload)))).status == SERVING


async def test_a_typed_client_raises_what_the_server_raised() -> None:
    with pytest.raises(NoModel) as raised:
        await check(Peer(Reply(to_status(NoModel(application="a")))))
    assert raised.value.fields == {"application": "a"}


async def test_a_response_that_does_not_parse_is_an_internal_error() -> None:
    with pytest.raises(RemoteError) as raised:
        await check(Peer(Reply(OK, b"\xff\xff")))
    assert raised.value.code == Code.INTERNAL


async def test_a_cancelled_caller_cancels_the_call() -> None:
    peer = Peer(None)
    task = check(peer)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert peer.cancelled


async def test_a_typed_stream_gives_parsed_responses() -> None:
    payload = health_pb2.HealthCheckResponse(status=SERVING).SerializeToString()
    client = TypedClient(Peer(Reply(OK, payload)), HEALTH)
    responses = client.stream("Watch", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse)
    assert [response.status async for response in responses] == [SERVING]


async def test_health_is_not_serving_until_told() -> None:
    health = Health("clipper.v1.PredictService")
    for service in ("", "clipper.v1.PredictService"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert (await health.check(request)).status == NOT_SERVING
        health.set_serving(True)
        assert (await health.check(request)).status == SERVING
        health.set_serving(False)


async def test_health_of_an_unknown_service_is_not_found() -> None:
    with pytest.raises(UnknownService):
        await Health().check(health_pb2.HealthCheckRequest(service="other"))


async def test_health_lists_every_service() -> None:
    listed = await Health("a", "b").list(health_pb2.HealthListRequest())
    assert sorted(listed.statuses) == ["", "a", "b"]


async def test_watchers_are_told_of_every_change_and_of_nothing_else() -> None:
    health = Health()
    watched = health.watch(health_pb2.HealthCheckRequest())
    assert (await anext(watched)).status == NOT_SERVING
    following = asyncio.ensure_future(anext(watched))
    await asyncio.sleep(0)
    health.set_serving(False)
    await asyncio.sleep(0)
    assert not following.done()
    health.set_serving(True)
    assert (await following).status == SERVING


async def test_a_process_that_stops_ends_its_watches_with_not_serving() -> None:
    health = Health()
    health.set_serving(True)
    watching = aiter(health.watch(health_pb2.HealthCheckRequest()))
    assert (await anext(watching)).status == SERVING
    health.end()
    assert [each.status async for each in watching] == [NOT_SERVING]


async def test_watching_an_unknown_service_says_so_and_goes_on() -> None:
    first = await anext(Health().watch(health_pb2.HealthCheckRequest(service="other")))
    assert first.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def reflect(request: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse:
    call = Call(request.SerializeToString())
    methods = reflection_methods(["clipper.v1.PredictService"])
    await streaming(methods, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", call)
    return reflection_pb2.ServerReflectionResponse.FromString(call.sent.get_nowait())


async def test_reflection_lists_services_and_itself() -> None:
    response = await reflect(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert [service.name for service in response.list_services_response.service] == [
        "clipper.v1.PredictService",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


async def test_reflection_gives_the_file_of_a_symbol_with_its_imports() -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="clipper.v1.PredictService.Predict")
    files = (await reflect(request)).file_descriptor_response.file_descriptor_proto
    assert files[0] == predict_pb2.DESCRIPTOR.serialized_pb
    assert len(files) > 1


async def test_reflection_gives_a_file_by_name() -> None:
    request = reflection_pb2.ServerReflectionRequest(file_by_filename=empty_pb2.DESCRIPTOR.name)
    assert list((await reflect(request)).file_descriptor_response.file_descriptor_proto) == [
        empty_pb2.DESCRIPTOR.serialized_pb
    ]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (reflection_pb2.ServerReflectionRequest(file_by_filename="no.proto"), Code.NOT_FOUND),
        (reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Thing"), Code.NOT_FOUND),
        (reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="no.Thing"), Code.NOT_FOUND),
        (reflection_pb2.ServerReflectionRequest(), Code.INVALID_ARGUMENT),
    ],
)
async def test_reflection_says_what_it_does_not_know(
    request_: reflection_pb2.ServerReflectionRequest, code: Code
) -> None:
    assert (await reflect(request_)).error_response.error_code == code


async def test_reflection_tells_extension_numbers() -> None:
    request = reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="google.protobuf.MethodOptions")
    numbers = (await reflect(request)).all_extension_numbers_response
    assert 72295728 in numbers.extension_number  # google.api.http
