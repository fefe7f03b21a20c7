"""The other door: FeedbackService.

No selection policy learns yet: feedback by input is checked and acknowledged with `learned` false, since no state had
to be stored (decision 0010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipper_frontend import codec
from clipper_frontend.predictor import Predictor
from clipper_rpc.errors import InvalidField, NotSupported
from clipper_rpc.transport import Methods, Unary, UnaryCall

if TYPE_CHECKING:
    from clipper.v1.feedback_pb2 import SendFeedbackRequest

FEEDBACK_SERVICE = "clipper.v1.FeedbackService"
_MAX_TOKEN_BYTES = 128


class FeedbackService:
    """Handlers of FeedbackService."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def methods(self) -> Methods:
        """The handlers, for the transport."""
        return {f"/{FEEDBACK_SERVICE}/SendFeedback": Unary(self.send_feedback)}

    def send_feedback(self, call: UnaryCall) -> None:
        """Takes one outcome."""
        request = codec.parse_feedback(call.payload)
        route = self._predictor.route(request.application)
        codec.check_context(request.context)
        _check_truth(request)
        match request.WhichOneof("target"):
            case "input":
                codec.check_input_type(request.input, route)
            case "query_id":
                raise NotSupported(what="Feedback by query_id (send the input and its label instead)")
            case _:
                raise InvalidField(field="target", problem="set input or query_id")
        call.reply(codec.feedback_acknowledged(learned=False))


def _check_truth(request: SendFeedbackRequest) -> None:
    match request.WhichOneof("truth"):
        case "label":
            if request.label.WhichOneof("value") is None:
                raise InvalidField(field="label", problem="required; set one of its fields, e.g. number")
        case "reward":
            if request.WhichOneof("target") == "input":
                raise InvalidField(field="reward", problem="needs a query_id; with an input send the true label")
            if not 0.0 <= request.reward <= 1.0:
                raise InvalidField(field="reward", problem=f"must be from 0 to 1, not {request.reward:g}")
        case _:
            raise InvalidField(field="truth", problem="set label or reward")
    if len(request.token.encode()) > _MAX_TOKEN_BYTES:
        raise InvalidField(field="token", problem=f"has more than {_MAX_TOKEN_BYTES} bytes")
