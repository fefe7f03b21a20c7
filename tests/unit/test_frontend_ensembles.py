"""Applications whose policy names models: who is asked, what arrives in time becomes one answer, what is recorded."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count

import pytest
from engine_fakes import MS, FakeCall, FakeClock, FakeCluster

import clipper_selection
from clipper.v1 import predict_pb2, values_pb2
from clipper_frontend.batch_policies import Policy as BatchPolicy
from clipper_frontend.chooser import Chooser
from clipper_frontend.dispatch import Dispatcher
from clipper_frontend.joint import member_deadline_ns
from clipper_frontend.outputs import Outputs
from clipper_frontend.pool import Limits
from clipper_frontend.predictor import Predictor
from clipper_frontend.routes import Application, Batching, Entity, Link, Model, Replica, RouteTable, Version
from clipper_frontend.runtime import Failure, Predictions
from clipper_frontend.selection.records import Shown, StateKey
from clipper_frontend.service import PredictService
from clipper_rpc.errors import ClipperError, InvalidField, Late, ModelError, NoReplica
from clipper_selection import Answer, Arm, Choice, Combined, Policy, State, Uniform

DOUBLES = values_pb2.INPUT_TYPE_DOUBLES
DEFAULT = values_pb2.Output(string="dunno")
FIXED = Batching(policy=BatchPolicy.FIXED)


class FakeRecorder:
    def __init__(self) -> None:
        self.records: list[Shown] = []

    def shown(self, record: Shown) -> None:
        self.records.append(record)


class FakeStates(dict[StateKey, State]):
    def state(self, key: StateKey, policy: Policy) -> State:
        return self.get(key, {})


def entities(
    policy: Policy,
    links: Mapping[str, float],
    *,
    threshold: float = 0.0,
    default: bool = True,
    dead: Sequence[str] = (),
) -> list[Entity]:
    """Application "app" with models of one replica each at "{model}:1"; dead ones have none."""
    output = DEFAULT.SerializeToString() if default else None
    linked = tuple(Link(model, weight) for model, weight in links.items())
    found: list[Entity] = [Application("app", DOUBLES, 100 * MS, output, linked, policy, threshold)]
    for model in links:
        found += [Model(model, "1"), Version(model, "1", f"uid-{model}", DOUBLES, FIXED)]
        found += [] if model in dead else [Replica(model, "1", 0, f"{model}:1")]
    return found


class House:
    """The frontend between a fake transport and fake replicas of models a, b, c."""

    def __init__(self, policy: Policy, *, links: Mapping[str, float] | None = None, **options: object) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        dispatcher = Dispatcher(self.clock, self.cluster.connect, Limits(16, 100, 1, 3, 1_000_000))
        ids = count(1).__next__
        self.states, self.recorder, self.points = FakeStates(), FakeRecorder(), [0.0]
        chooser = Chooser(dispatcher, ids, Outputs(), self.states, self.recorder, lambda: self.points[0])
        self.predictor = Predictor(dispatcher, ids, chooser, reply_margin_ns=5 * MS)
        self.links = links or {"a": 1.0, "b": 1.0, "c": 1.0}
        self.predictor.use(RouteTable.of(entities(policy, self.links, **options)))  # type: ignore[arg-type]
        self.clock.settle()
        self.service = PredictService(self.predictor, self.clock, max_batch_inputs=10, max_stream_queries=10)

    def ask(self, **fields: object) -> FakeCall:
        request = predict_pb2.PredictRequest(
            application="app",
            input=values_pb2.Input(doubles=values_pb2.Doubles(values=[1])),
            **fields,  # type: ignore[arg-type]
        )
        call = FakeCall(request.SerializeToString())
        self.service.predict(call)
        self.clock.settle()
        return call

    def answer(self, **outputs: values_pb2.Output | Failure) -> None:
        """The replicas of these models answer what they have."""
        for model, output in outputs.items():
            [batch] = self.cluster[f"{model}:1"].open
            given = output if isinstance(output, Failure) else output.SerializeToString()
            batch.answer(Predictions([given] * len(batch.inputs), model_us=5))
        self.clock.settle()

    @property
    def asked(self) -> list[str]:
        return [model for model in self.links if self.cluster[f"{model}:1"].open]


def text(value: str) -> values_pb2.Output:
    return values_pb2.Output(string=value)


def reply(call: FakeCall) -> predict_pb2.PredictResponse:
    assert not call.errors, call.errors
    [payload] = call.replies
    return predict_pb2.PredictResponse.FromString(payload)


ENSEMBLE = clipper_selection.policy("ensemble")


# Ensembles


def test_all_models_are_asked_and_the_vote_is_answered_as_soon_as_all_have_answered() -> None:
    house = House(ENSEMBLE)
    call = house.ask(explain=True)
    assert house.asked == ["a", "b", "c"]
    house.clock.advance(3 * MS)
    house.answer(a=text("cat"), b=text("dog"))
    assert not call.answers
    house.clock.advance(MS)
    house.answer(c=text("cat"))
    found = reply(call)
    assert found.output == text("cat")
    assert found.confidence == pytest.approx(2 / 3)
    assert not found.default
    assert [(each.model, each.version, each.weight, each.latency_us) for each in found.contributions] == [
        ("a", "1", pytest.approx(1 / 3), 3000),
        ("b", "1", pytest.approx(1 / 3), 3000),
        ("c", "1", pytest.approx(1 / 3), 4000),
    ]
    assert (found.timing.total_us, found.timing.model_us) == (4000, 5)


def test_at_the_deadline_what_has_arrived_is_answered_with_less_confidence() -> None:
    house = House(ENSEMBLE, dead=["b"])
    call, began_ns = house.ask(), house.clock.ns
    house.answer(a=text("cat"))
    house.clock.advance(95 * MS)
    assert house.clock.ns < began_ns + 100 * MS
    found = reply(call)
    assert (found.output, found.confidence) == (text("cat"), pytest.approx(1 / 3))
    assert {each.model: (each.weight, each.latency_us > 0) for each in found.contributions} == {
        "a": (1.0, True),
        "b": (0.0, False),
        "c": (0.0, False),
    }


def test_members_leave_time_to_answer() -> None:
    assert member_deadline_ns(0, 20 * MS) == 18 * MS
    assert member_deadline_ns(0, 1000 * MS) == 980 * MS
    assert member_deadline_ns(50, 40) == 40


def test_the_answer_keeps_the_bytes_of_the_member_that_gave_it() -> None:
    odd = values_pb2.Output(json='{"b": 1, "a": 2}')
    house = House(ENSEMBLE)
    call = house.ask()
    house.answer(a=values_pb2.Output(json='{"a":2,"b":1}'), b=odd, c=values_pb2.Output(json='{"a":3}'))
    assert reply(call).output.json == '{"a":2,"b":1}'
    assert reply(call).confidence == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([{"number": 1.0}, {"number": 2.0}, {"number": 6.0}], values_pb2.Output(number=3.0)),
        (
            [{"floats": {"values": [0, 1]}}, {"floats": {"values": [0, 1]}}, {"floats": {"values": [3, 1]}}],
            values_pb2.Output(floats=values_pb2.Floats(values=[1, 1])),
        ),
        (
            [{"integers": {"values": [1]}}, {"integers": {"values": [2]}}, {"integers": {"values": [2]}}],
            values_pb2.Output(doubles=values_pb2.Doubles(values=[5 / 3])),
        ),
        ([{"json": "1"}, {"json": "2.0"}, {"json": "3"}], values_pb2.Output(json="2.0")),
        ([{"json": "[1, 2]"}, {"json": "[2, 3]"}, {"json": "[3, 4]"}], values_pb2.Output(json="[2.0, 3.0]")),
    ],
)
def test_numbers_are_averaged_in_the_form_in_which_they_came(
    outputs: list[dict[str, object]], expected: values_pb2.Output
) -> None:
    house = House(ENSEMBLE)
    call = house.ask()
    house.answer(**{m: values_pb2.Output(**each) for m, each in zip("abc", outputs, strict=True)})  # type: ignore[arg-type]
    assert reply(call).output == expected


def test_text_that_reads_as_numbers_can_be_averaged() -> None:
    house = House(clipper_selection.policy("ensemble", {"combine": "mean"}))
    call = house.ask()
    house.answer(a=text("1"), b=text("2"), c=text("6"))
    assert reply(call).output == text("3.0")


@pytest.mark.parametrize(
    ("value", "form", "written"),
    [
        ("cat", text("dog"), text("cat")),
        (b"x", text("dog"), values_pb2.Output(bytes=b"x")),
        (0.5, text("dog"), text("0.5")),
        (float("nan"), values_pb2.Output(json="1"), None),
        ((1.0, 2.0), text("dog"), values_pb2.Output(doubles=values_pb2.Doubles(values=[1, 2]))),
    ],
)
def test_a_value_of_a_plug_ins_own_is_written_after_the_form_where_that_can_be(
    value: clipper_selection.Value, form: values_pb2.Output, written: values_pb2.Output | None
) -> None:
    found = values_pb2.Output.FromString(Outputs().written(value, form.SerializeToString()))
    assert found == written if written is not None else found.WhichOneof("value") == "number"


def test_a_tensor_is_averaged_by_element() -> None:
    def tensor(*values: float) -> values_pb2.Output:
        data = struct.pack("<2f", *values)
        return values_pb2.Output(
            tensor=values_pb2.Tensor(data_type=values_pb2.DATA_TYPE_FLOAT32, shape=[2, 1], data=data)
        )

    house = House(ENSEMBLE)
    call = house.ask()
    house.answer(a=tensor(0, 1), b=tensor(0, 1), c=tensor(3, 4))
    assert reply(call).output == tensor(1, 2)


def test_when_nobody_arrives_the_default_says_why_and_who_was_asked() -> None:
    house = House(ENSEMBLE)
    call = house.ask()
    house.answer(a=Failure("ValueError", "no"))
    house.clock.advance(100 * MS)
    found = reply(call)
    assert (found.output, found.default) == (DEFAULT, True)
    assert found.default_reason == predict_pb2.DEFAULT_REASON_LATE
    assert [each.model for each in found.contributions] == ["a", "b", "c"]
    assert found.confidence == 0


@pytest.mark.parametrize(
    ("answers", "dead", "error"),
    [
        ({}, (), Late),
        (dict.fromkeys("abc", Failure("ValueError", "no")), (), ModelError),
        ({}, ("a", "b", "c"), NoReplica),
    ],
)
def test_without_a_default_the_reason_of_most_is_the_status(
    answers: dict[str, Failure], dead: tuple[str, ...], error: type[ClipperError]
) -> None:
    house = House(ENSEMBLE, default=False, dead=dead)
    call = house.ask()
    house.answer(**answers)
    house.clock.advance(100 * MS)
    assert [type(each) for each in call.errors] == [error]


def test_below_the_threshold_the_default_is_answered() -> None:
    house = House(ENSEMBLE, threshold=0.6)
    sure = house.ask()
    house.answer(a=text("cat"), b=text("cat"), c=text("dog"))
    assert reply(sure).output == text("cat")
    unsure = house.ask()
    house.answer(a=text("cat"), b=text("cow"), c=text("dog"))
    found = reply(unsure)
    assert (found.output, found.default) == (DEFAULT, True)
    assert found.default_reason == predict_pb2.DEFAULT_REASON_LOW_CONFIDENCE
    assert found.default_explanation == "The models disagreed: the confidence 0.333 is below 0.6"
    assert all(each.latency_us for each in found.contributions)


def test_a_caller_that_leaves_takes_its_members_along() -> None:
    house = House(ENSEMBLE)
    call = house.ask()
    call.leave()
    house.clock.advance(200 * MS)
    assert not call.answers
    assert house.recorder.records == []


def test_answers_that_cannot_be_read_are_none() -> None:
    house = House(ENSEMBLE)
    call = house.ask()
    for model, raw in (("a", b"\xff\xff"), ("b", b""), ("c", text("cat").SerializeToString())):
        [batch] = house.cluster[f"{model}:1"].open
        batch.answer(Predictions([raw]))
    house.clock.settle()
    assert reply(call).output == text("cat")
    assert reply(call).confidence == pytest.approx(1 / 3)


def test_when_no_answer_can_be_read_the_model_is_at_fault() -> None:
    house = House(ENSEMBLE)
    call = house.ask()
    for model in house.links:
        [batch] = house.cluster[f"{model}:1"].open
        batch.answer(Predictions([b"\xff\xff"]))
    house.clock.settle()
    assert reply(call).default_reason == predict_pb2.DEFAULT_REASON_MODEL_ERROR
    assert "it answered with no value" in reply(call).default_explanation


def test_what_was_learned_weighs_the_votes() -> None:
    house = House(clipper_selection.policy("exp4"))
    house.states[StateKey("app", "exp4", "user")] = {"b/log_weight": -5.0, "c/log_weight": -5.0}
    anybody, somebody = house.ask(), house.ask(context="user")
    house.answer(a=text("cat"), b=text("dog"), c=text("dog"))
    house.clock.settle()
    for call in (anybody, somebody):
        if not call.answers:
            house.answer(a=text("cat"), b=text("dog"), c=text("dog"))
    assert reply(anybody).output == text("dog")
    assert reply(somebody).output == text("cat")


def test_a_batch_has_an_ensembles_answer_for_each_input() -> None:
    house = House(ENSEMBLE)
    request = predict_pb2.PredictBatchRequest(application="app")
    for value in (1, 2):
        request.inputs.add().doubles.values.append(value)
    call = FakeCall(request.SerializeToString())
    house.service.predict_batch(call)
    house.clock.settle()
    while house.asked:
        house.answer(**{model: text("cat") for model in house.asked})
    [payload] = call.replies
    results = predict_pb2.PredictBatchResponse.FromString(payload).results
    assert [each.prediction.output for each in results] == [text("cat")] * 2
    assert len({each.prediction.query_id for each in results}) == 2


# One model at a time


def test_one_model_is_asked_and_its_answer_recorded_with_its_propensity() -> None:
    house = House(clipper_selection.policy("epsilon_greedy", {"epsilon": 0.3}))
    house.states[StateKey("app", "epsilon_greedy", "u")] = {"b/plays": 9, "b/reward": 9, "a/plays": 9, "c/plays": 9}
    house.points = [0.5]
    call = house.ask(context="u")
    assert house.asked == ["b"]
    house.answer(b=text("cat"))
    assert (reply(call).output, reply(call).confidence) == (text("cat"), 1)
    [record] = house.recorder.records
    assert (record.query_id, record.application, record.policy, record.context) == (1, "app", "epsilon_greedy", "u")
    assert values_pb2.Input.FromString(record.input).doubles.values == [1]
    assert (record.output, record.is_default, record.models) == (
        text("cat").SerializeToString(),
        False,
        ("a", "b", "c"),
    )
    [asked] = record.asked
    assert (asked.model, asked.version, asked.weight) == ("b", "1", 1)
    assert asked.propensity == pytest.approx(0.8)
    assert asked.output == record.output


def test_the_record_is_there_before_the_answer() -> None:
    house = House(clipper_selection.policy("exp3"))
    call = house.ask()
    seen: list[int] = []
    original, call.reply = call.reply, lambda *given: seen.append(len(house.recorder.records)) or original(*given)  # type: ignore[method-assign, func-returns-value]
    house.answer(a=text("cat"))
    assert seen == [1]


def test_a_chosen_model_that_fails_is_answered_with_the_default_and_recorded_as_such() -> None:
    house = House(clipper_selection.policy("exp3"))
    call = house.ask()
    house.answer(a=Failure("ValueError", "no"))
    assert reply(call).default_reason == predict_pb2.DEFAULT_REASON_MODEL_ERROR
    [record] = house.recorder.records
    assert (record.is_default, record.output) == (True, DEFAULT.SerializeToString())
    assert (record.asked[0].output, record.asked[0].weight) == (None, 0)


def test_a_model_without_a_replica_is_not_chosen_while_there_is_another() -> None:
    for point in (0.0, 0.4, 0.99):
        house = House(clipper_selection.policy("exp3"), dead=["a", "c"])
        house.points = [point]
        house.ask()
        assert house.asked == ["b"]
    everyone = House(clipper_selection.policy("exp3"), dead=["a", "b", "c"])
    assert reply(everyone.ask()).default_reason == predict_pb2.DEFAULT_REASON_NO_REPLICA


def test_all_members_are_recorded_also_those_that_are_missing() -> None:
    house = House(clipper_selection.policy("exp4"))
    house.ask()
    house.answer(a=text("cat"), b=text("cat"))
    house.clock.advance(100 * MS)
    [record] = house.recorder.records
    assert [(each.model, each.propensity, each.weight, each.output is None) for each in record.asked] == [
        ("a", 1, 0.5, False),
        ("b", 1, 0.5, False),
        ("c", 1, 0, True),
    ]
    assert record.confidence == pytest.approx(2 / 3)


def test_who_does_not_learn_is_not_recorded() -> None:
    house = House(ENSEMBLE)
    house.ask()
    house.answer(a=text("cat"), b=text("cat"), c=text("cat"))
    assert house.recorder.records == []


def test_a_recorder_that_fails_keeps_no_answer_back(caplog: pytest.LogCaptureFixture) -> None:
    house = House(clipper_selection.policy("exp3"))
    house.recorder.shown = None  # type: ignore[method-assign, assignment]
    call = house.ask()
    house.answer(a=text("cat"))
    assert reply(call).output == text("cat")
    assert "record_failed" in caplog.text


def test_a_version_can_be_pinned_where_one_model_is_linked() -> None:
    alone = House(clipper_selection.policy("exp3"), links={"a": 1.0})
    alone.ask(version="1")
    assert alone.asked == ["a"]
    assert alone.recorder.records == []
    several = House(clipper_selection.policy("exp3"))
    with pytest.raises(InvalidField, match="3 linked models"):
        several.ask(version="1")


# Plug-ins that go wrong


class Broken(Policy):
    NAME = "broken"
    ASKS_ALL = True

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        if context == "select":
            raise RuntimeError("out of luck")
        if context == "nobody":
            return Choice((), ())
        if context == "stranger":
            return Choice(("stranger",), (1.0,))
        return Choice(tuple(arm.model for arm in arms), (1.0,) * len(arms))

    def combine(self, state: State, asked: Sequence[Arm], answers: Sequence[Answer]) -> Combined:
        raise RuntimeError("out of luck")


@pytest.mark.parametrize("context", ["select", "nobody", "stranger", "combine"])
def test_a_plug_in_that_fails_is_told_and_the_default_answered(context: str, caplog: pytest.LogCaptureFixture) -> None:
    house = House(Broken())
    call = house.ask(context=context)
    if context == "combine":
        house.answer(a=text("cat"), b=text("cat"), c=text("cat"))
    assert reply(call).output == DEFAULT
    assert reply(call).default_reason == predict_pb2.DEFAULT_REASON_MODEL_ERROR
    assert "policy_failed" in caplog.text


# Fixed shares


STATIC = clipper_selection.policy("static")


def test_queries_of_a_context_stick_to_a_model_and_follow_the_weights() -> None:
    table = RouteTable.of(entities(STATIC, {"a": 3.0, "b": 1.0}))
    route = table.route("app")
    assert route.panel is None
    versions = {context: route.version_for(context) for context in map(str, range(4000))}
    assert all(route.version_for(context) == version for context, version in versions.items())
    shares = Counter(version.model for version in versions.values() if version)
    assert shares["a"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_queries_of_a_context_stay_on_trial_as_the_share_grows() -> None:
    def on_trial(share: float) -> set[str]:
        more = [Version("a", "2", "uid-2", DOUBLES), Model("a", "1", "2", share)]
        route = RouteTable.of([*entities(STATIC, {"a": 1.0}), *more]).route("app")
        found = {context: route.version_for(context) for context in map(str, range(2000))}
        return {context for context, version in found.items() if version and version.version == "2"}

    few, many = on_trial(0.1), on_trial(0.3)
    assert few < many
    assert (len(few) / 2000, len(many) / 2000) == (pytest.approx(0.1, abs=0.03), pytest.approx(0.3, abs=0.04))


def test_a_static_application_asks_one_model_without_any_record() -> None:
    house = House(STATIC)
    call = house.ask(context="user-7")
    [model] = house.asked
    house.answer(**{model: text("cat")})
    assert reply(call).output == text("cat")
    assert house.recorder.records == []


# What answers are


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (text("7"), "7"),
        (values_pb2.Output(bytes=b"x"), b"x"),
        (values_pb2.Output(number=2.5), 2.5),
        (values_pb2.Output(json="true"), "true"),
        (values_pb2.Output(json="null"), "null"),
        (values_pb2.Output(json='"cat"'), "cat"),
        (values_pb2.Output(json="7"), 7.0),
        (values_pb2.Output(json="9007199254740993"), "9007199254740993"),
        (values_pb2.Output(json="[1, 2.5]"), (1.0, 2.5)),
        (values_pb2.Output(json="[]"), ()),
        (values_pb2.Output(json='[1, "x"]'), '[1.0,"x"]'),
        (values_pb2.Output(json="[" * 5000), None),
        (values_pb2.Output(json="{"), None),
        (values_pb2.Output(json="1" * 10_000), "1" * 10_000),
        (values_pb2.Output(), None),
        (values_pb2.Output(tensor=values_pb2.Tensor(data_type=1, shape=[2], data=b"\0\1")), (0.0, 1.0)),
        (values_pb2.Output(tensor=values_pb2.Tensor(data_type=12, shape=[2], data=b"\0")), None),
        (values_pb2.Output(tensor=values_pb2.Tensor(data_type=0, shape=[1], data=b"\0")), None),
    ],
)
def test_what_an_output_means(output: values_pb2.Output, value: object) -> None:
    assert Outputs().value(output.SerializeToString()) == value
