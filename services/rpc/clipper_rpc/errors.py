"""The errors of the domain: what can go wrong, said once, known to every process and to Python clients.

An error class has a canonical `code` and a unique `reason`; its fields are strings, from which its message and the
metadata of its ErrorInfo are built, so that a client gets the same exception back (see `status`). No gRPC and no HTTP
in here.

    ClipperError
    ├── INVALID_ARGUMENT     InvalidField, InputTypeMismatch, TooManyInputs
    ├── NOT_FOUND            ApplicationNotFound, ModelNotFound, VersionNotFound, ReplicaNotFound, LinkNotFound,
    │                        QueryNotFound, AnswerNotRemembered, LeaseEnded, UnknownService
    ├── ALREADY_EXISTS       ApplicationExists, VersionExists, LinkExists
    ├── FAILED_PRECONDITION  LinkTypeMismatch, TooManyLinks, VersionInUse, ReplicaUnhealthy, ReplicaTypeMismatch
    ├── ABORTED              StaleRevision
    ├── UNAVAILABLE          NoModel, NoReplica, ReplicaLost, StoreUnavailable, StoreInterrupted,
    │                        FeedbackInterrupted, ModelNotReady, Stopping
    ├── RESOURCE_EXHAUSTED   Overloaded, MessageTooLarge
    ├── DEADLINE_EXCEEDED    Late, BatchExpired
    ├── INTERNAL             ModelError, InternalError
    ├── UNIMPLEMENTED        NotSupported
    └── CANCELLED            Cancelled

Source: AIP-193 (errors), AIP-194 (which codes clients retry).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import ClassVar

DOMAIN = "clipper.v1"
"""The domain of every ErrorInfo that Clipper sends."""


class Code(IntEnum):
    """The canonical status codes, numbered as on the wire. Source: grpc.io/docs/guides/status-codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ClipperError(Exception):
    """Base of every error that Clipper tells a caller. Never raised itself.

    A subclass sets `code`, `reason` and `template`; the template names the fields that it needs as keyword arguments.
    """

    code: ClassVar[Code]
    reason: ClassVar[str]
    template: ClassVar[str]
    retry_after_s: ClassVar[float | None] = None
    """How long a caller should wait before it tries again; None where trying again is useless."""

    def __init__(self, **fields: str) -> None:
        super().__init__(self.template.format(**fields))
        self.fields: dict[str, str] = fields

    @property
    def message(self) -> str:
        """What went wrong and what to do about it, for people."""
        return str(self)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles by fields, since the constructor takes keywords only."""
        return _rebuild, (type(self), self.fields)


def _rebuild(cls: type[ClipperError], fields: dict[str, str]) -> ClipperError:
    return cls(**fields)


def all_errors(base: type[ClipperError] = ClipperError) -> Iterator[type[ClipperError]]:
    """Every error class below `base` that has a reason of its own, depth first."""
    for cls in base.__subclasses__():
        if "reason" in cls.__dict__:
            yield cls
        yield from all_errors(cls)


class InvalidField(ClipperError):
    """A field of a request has a value that it must not have."""

    code, reason = Code.INVALID_ARGUMENT, "INVALID_FIELD"
    template = "{field}: {problem}"


class InputTypeMismatch(ClipperError):
    """An input is not of the type that its application takes."""

    code, reason = Code.INVALID_ARGUMENT, "INPUT_TYPE_MISMATCH"
    template = 'Application "{application}" takes inputs of type {expected}, not {got}.'


class TooManyInputs(ClipperError):
    """A batch request has more inputs than the frontend takes at once."""

    code, reason = Code.INVALID_ARGUMENT, "TOO_MANY_INPUTS"
    template = "The request has {got} inputs; at most {limit} are taken at once. Send several requests."


class ApplicationNotFound(ClipperError):
    """There is no application of that name."""

    code, reason = Code.NOT_FOUND, "APPLICATION_NOT_FOUND"
    template = 'No application "{application}". List them with `clipperctl app list`.'


class ModelNotFound(ClipperError):
    """There is no model of that name."""

    code, reason = Code.NOT_FOUND, "MODEL_NOT_FOUND"
    template = 'No model "{model}". List them with `clipperctl model list`.'


class VersionNotFound(ClipperError):
    """A model has no such version. The wording is Clipper's own (contract Q12)."""

    code, reason = Code.NOT_FOUND, "VERSION_NOT_FOUND"
    template = "Requested version: {version} does not exist for model: {model}"


class ReplicaNotFound(ClipperError):
    """There is no such replica."""

    code, reason = Code.NOT_FOUND, "REPLICA_NOT_FOUND"
    template = "Model {model}:{version} has no replica {replica_id}."


class LinkNotFound(ClipperError):
    """A model is not linked to the application."""

    code, reason = Code.NOT_FOUND, "LINK_NOT_FOUND"
    template = 'Model "{model}" is not linked to application "{application}".'


class QueryNotFound(ClipperError):
    """No query of that id is known, or not any more."""

    code, reason = Code.NOT_FOUND, "QUERY_NOT_FOUND"
    template = (
        "No query {query_id} of application {application} is remembered. Feedback by id is taken up to {window}, for "
        "applications whose policy learns; send the input and its label instead."
    )


class AnswerNotRemembered(ClipperError):
    """Nobody who was asked remembers the answer to a query."""

    code, reason = Code.NOT_FOUND, "ANSWER_NOT_REMEMBERED"
    template = (
        "No answer to a query {query_id} is remembered: {remembered}. It was answered before that, or by another "
        "frontend, or not at all: it may be under way, or its caller has left."
    )


class LeaseEnded(ClipperError):
    """A lease is not known (any more). Register again."""

    code, reason = Code.NOT_FOUND, "LEASE_ENDED"
    template = "The lease has ended; register again."


class UnknownService(ClipperError):
    """Health was asked of a service that the process does not serve."""

    code, reason = Code.NOT_FOUND, "UNKNOWN_SERVICE"
    template = 'This process serves no "{service}".'


class ApplicationExists(ClipperError):
    """The application's name is taken."""

    code, reason = Code.ALREADY_EXISTS, "APPLICATION_EXISTS"
    template = 'Application "{application}" exists already.'


class VersionExists(ClipperError):
    """The version is registered already."""

    code, reason = Code.ALREADY_EXISTS, "VERSION_EXISTS"
    template = "Model {model} has a version {version} already. Deploy under another version."


class LinkExists(ClipperError):
    """The model is linked to the application already."""

    code, reason = Code.ALREADY_EXISTS, "LINK_EXISTS"
    template = 'Model "{model}" is already linked to application "{application}".'


class LinkTypeMismatch(ClipperError):
    """A model and an application that are, or would be, linked have different input types."""

    code, reason = Code.FAILED_PRECONDITION, "LINK_TYPE_MISMATCH"
    template = (
        'Model "{model}" takes {model_type}, application "{application}" takes {application_type}: '
        "linked ones must have the same input type."
    )


class TooManyLinks(ClipperError):
    """The application has one model, and no policy or weight says how several would share its queries."""

    code, reason = Code.FAILED_PRECONDITION, "TOO_MANY_LINKS"
    template = (
        'Application "{application}" is linked to model "{linked}" already, and its policy is static. Unlink that one '
        "first; or give a weight, to share out the queries; or set a policy that uses several models."
    )


class VersionInUse(ClipperError):
    """The version answers live queries."""

    code, reason = Code.FAILED_PRECONDITION, "VERSION_IN_USE"
    template = (
        'Version {version} is the current one of model "{model}", which application "{application}" uses. '
        "Activate another version or unlink the model first, or force it."
    )


class ReplicaUnhealthy(ClipperError):
    """A replica that wants to register does not answer health at the address that it gave."""

    code, reason = Code.FAILED_PRECONDITION, "REPLICA_UNHEALTHY"
    template = "The replica at {address} does not answer health as SERVING: {problem}"


class ReplicaTypeMismatch(ClipperError):
    """A replica that wants to register takes other inputs than its version is registered with."""

    code, reason = Code.FAILED_PRECONDITION, "REPLICA_TYPE_MISMATCH"
    template = "The replica takes inputs of type {got}; model {model}:{version} is registered with {expected}."


class StaleRevision(ClipperError):
    """What was to be changed has changed meanwhile."""

    code, reason = Code.ABORTED, "STALE_REVISION"
    template = "{what} has changed meanwhile (revision {stored}, not {given}). Read it again and retry."


class NoModel(ClipperError):
    """No model is linked to the application."""

    code, reason = Code.UNAVAILABLE, "NO_MODEL"
    template = 'No model is linked to application "{application}". Link one with `clipperctl link`.'


class NoReplica(ClipperError):
    """No replica of the wanted version is up."""

    code, reason = Code.UNAVAILABLE, "NO_REPLICA"
    template = "No replica of model {model}:{version} is up."
    retry_after_s = 1.0


class ReplicaLost(ClipperError):
    """The replica that had the query was lost, and no time was left to ask another one."""

    code, reason = Code.UNAVAILABLE, "REPLICA_LOST"
    template = "The replica of model {model}:{version} that had the query was lost."
    retry_after_s = 0.1


class StoreUnavailable(ClipperError):
    """Redis cannot be reached; nothing was changed."""

    code, reason = Code.UNAVAILABLE, "STORE_UNAVAILABLE"
    template = "The store cannot be reached ({problem}); nothing was changed."
    retry_after_s = 1.0


class StoreInterrupted(ClipperError):
    """The connection to Redis broke while a change was being stored: nobody can tell whether it was."""

    code, reason = Code.UNAVAILABLE, "STORE_INTERRUPTED"
    template = (
        "The connection to the store broke while the change was being stored ({problem}). "
        "It may have been made: look before you try again."
    )
    retry_after_s = 1.0


class FeedbackInterrupted(ClipperError):
    """The connection to Redis broke while feedback was being stored: nobody can tell whether it was."""

    code, reason = Code.UNAVAILABLE, "FEEDBACK_INTERRUPTED"
    template = (
        "The connection to the store broke while the feedback was being stored ({problem}). "
        "Send it again with the same token: then it counts once. Without a token it may count twice."
    )
    retry_after_s = 1.0


class ModelNotReady(ClipperError):
    """The runtime is still loading its model."""

    code, reason = Code.UNAVAILABLE, "MODEL_NOT_READY"
    template = "Model {model}:{version} is still loading."
    retry_after_s = 1.0


class Stopping(ClipperError):
    """The process is about to stop and takes no new work."""

    code, reason = Code.UNAVAILABLE, "STOPPING"
    template = "The {process} is stopping."
    retry_after_s = 0.5


class Overloaded(ClipperError):
    """A queue is full, or the query could not be answered in time: refused at once."""

    code, reason = Code.RESOURCE_EXHAUSTED, "OVERLOADED"
    template = "Model {model}:{version} has more queries than it can answer in time ({queued} are waiting)."
    retry_after_s = 0.1


class MessageTooLarge(ClipperError):
    """A message is larger than the receiver takes."""

    code, reason = Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"
    template = "The message has {got} bytes; at most {limit} are taken."


class Late(ClipperError):
    """The answer did not arrive before the deadline."""

    code, reason = Code.DEADLINE_EXCEEDED, "LATE"
    template = 'No prediction arrived for application "{application}" within {objective_ms} ms.'


class BatchExpired(ClipperError):
    """A runtime was not done with a batch, or had not begun, when the last caller stopped waiting."""

    code, reason = Code.DEADLINE_EXCEEDED, "BATCH_EXPIRED"
    template = "Nobody waits any more for the batch that model {model}:{version} was given."


class ModelError(ClipperError):
    """The model raised an error for this input, or returned what is no prediction."""

    code, reason = Code.INTERNAL, "MODEL_ERROR"
    template = "Model {model}:{version} failed with {kind}: {problem}"


class InternalError(ClipperError):
    """A fault of Clipper's own. The log of the process has the trace."""

    code, reason = Code.INTERNAL, "INTERNAL"
    template = "An internal error occurred; the log of the {process} tells more."


class NotSupported(ClipperError):
    """The contract has it, but this cluster does not do it."""

    code, reason = Code.UNIMPLEMENTED, "NOT_SUPPORTED"
    template = "{what} is not supported here."


class Cancelled(ClipperError):
    """The caller has left."""

    code, reason = Code.CANCELLED, "CANCELLED"
    template = "The caller has left."
