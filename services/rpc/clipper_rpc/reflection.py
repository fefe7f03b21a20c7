"""gRPC server reflection, v1 and v1alpha, so that grpcurl and its like work without .proto files.

Both versions have the same messages on the wire. Source: github.com/grpc/grpc/blob/master/doc/server-reflection.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2 as pb

from clipper_rpc.errors import Code, InvalidField
from clipper_rpc.transport import StreamCall, Streaming

_VERSIONS = ("v1", "v1alpha")
_SERVICE = "grpc.reflection.{}.ServerReflection"


def reflection_methods(services: Iterable[str]) -> dict[str, Streaming]:
    """The reflection methods of a server of `services` (full names), for the transport."""
    names = sorted({*services, *(_SERVICE.format(version) for version in _VERSIONS)})

    async def handle(call: StreamCall) -> None:
        async for payload in call.requests():
            try:
                request = pb.ServerReflectionRequest.FromString(payload)
            except DecodeError:
                raise InvalidField(field="request", problem="not a ServerReflectionRequest") from None
            await call.send(_answer(request, names).SerializeToString())

    return {f"/{_SERVICE.format(version)}/ServerReflectionInfo": Streaming(handle) for version in _VERSIONS}


def _answer(request: pb.ServerReflectionRequest, services: list[str]) -> pb.ServerReflectionResponse:
    response = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
    pool = descriptor_pool.Default()
    try:
        match request.WhichOneof("message_request"):
            case "list_services":
                response.list_services_response.service.extend(pb.ServiceResponse(name=name) for name in services)
            case "file_by_filename":
                _add_file(response, pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                _add_file(response, _file_containing(pool, request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                message = pool.FindMessageTypeByName(wanted.containing_type)
                _add_file(response, pool.FindExtensionByNumber(message, wanted.extension_number).file)  # type: ignore[attr-defined]  # the stubs lack it
            case "all_extension_numbers_of_type":
                message = pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                numbers = sorted(extension.number for extension in pool.FindAllExtensions(message))
                response.all_extension_numbers_response.base_type_name = message.full_name
                response.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                response.error_response.error_code = Code.INVALID_ARGUMENT
                response.error_response.error_message = "no request of a known kind"
    except KeyError as error:
        response.error_response.error_code = Code.NOT_FOUND
        response.error_response.error_message = str(error)
    return response


def _file_containing(pool: descriptor_pool.DescriptorPool, symbol: str) -> FileDescriptor:
    """The file that declares a symbol; the pool itself does not know methods."""
    try:
        return pool.FindFileContainingSymbol(symbol)
    except KeyError:
        service_name, _, method = symbol.rpartition(".")
        service = pool.FindServiceByName(service_name)
        if method not in service.methods_by_name:
            raise
        return service.file


def _add_file(response: pb.ServerReflectionResponse, file: FileDescriptor) -> None:
    """Adds a file and all that it imports, each once."""
    seen: set[str] = set()
    todo = [file]
    while todo:
        current = todo.pop()
        if current.name in seen:
            continue
        seen.add(current.name)
        response.file_descriptor_response.file_descriptor_proto.append(current.serialized_pb)
        todo.extend(current.dependencies)
