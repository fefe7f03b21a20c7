"""The rules of clipper.model.v1.ModelService, each as one look at a runtime.

A rule asks only what the contract promises to any client: no rule knows the model. Where the outputs themselves matter,
the model's answer to each input alone is the measure, so a model whose answers are drawn by chance skips those rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clipperctl.client import Answer, Outcome, same, unknown_field, waited
from clipperctl.conformance import samples
from clipperctl.conformance.verdicts import HOLDS, Rule, Subject, Verdict, broken, skipped, warning

_SERVICE = "clipper.model.v1.ModelService"
_MOST_KIND_BYTES = 128
_MOST_MESSAGE_BYTES = 512
_ABOVE_DEFAULT_BYTES = 5 * 1024 * 1024
"""More than the 4 MiB that most gRPC libraries take unless told otherwise."""
_AT_ONCE = 16


def is_healthy(subject: Subject) -> Verdict:
    """Health of the process as a whole."""
    return _serving(subject, "")


def is_healthy_by_name(subject: Subject) -> Verdict:
    """Health of ModelService."""
    return _serving(subject, _SERVICE)


def _serving(subject: Subject, service: str) -> Verdict:
    status = subject.client.health(service)
    return HOLDS if status == "SERVING" else broken(f'Check of "{service}" answered {status}')


def knows_its_services(subject: Subject) -> Verdict:
    """Health of what is not served."""
    status = subject.client.health("no.such.Service")
    return HOLDS if status in ("NOT_FOUND", "SERVICE_UNKNOWN") else broken(f"answered {status}, not NOT_FOUND")


def can_be_watched(subject: Subject) -> Verdict:
    """The first answer of Watch."""
    status = subject.client.first_of_watch("")
    return HOLDS if status == "SERVING" else warning(f"Watch answered {status}")


def describes_its_model(subject: Subject) -> Verdict:
    """GetModelInfo."""
    info = subject.info
    if info.code != "OK":
        return broken(f"{info.code} {info.text}".strip())
    missing = [name for name in ("model", "version", "input_type") if not getattr(info, name)]
    if missing:
        return broken(f"{', '.join(missing)} not set, or not known")
    if info.max_batch_rows < 0:
        return broken(f"max_batch_rows is {info.max_batch_rows}")
    return HOLDS if info.runtime else warning("it does not name itself (runtime)")


def answers_one(subject: Subject) -> Verdict:
    """A batch of one."""
    return _each_answered(subject.client.predict(subject.samples[:1]), 1)


def answers_many(subject: Subject) -> Verdict:
    """Batches of several sizes, up to the largest that the model takes."""
    most = subject.info.max_batch_rows or 64
    for rows in sorted({2, 3, 7, 64, most} & set(range(most + 1))):
        verdict = _each_answered(subject.client.predict(_repeated(subject.samples, rows)), rows)
        if verdict is not HOLDS:
            return verdict
    return HOLDS


def keeps_the_order(subject: Subject) -> Verdict:
    """A batch against its inputs alone."""
    inputs = _fitting(subject, subject.samples)
    alone = _alone(subject, inputs)
    if alone is None:
        return skipped("the same input gives another output each time, or none")
    if len(inputs) < 2 or all(same(alone[0], each) for each in alone):
        return skipped("the model answers all inputs alike; give others by --input")
    for batch, expected in ((inputs, alone), (inputs[::-1], alone[::-1])):
        verdict = _gives(subject.client.predict(batch), expected)
        if verdict is not HOLDS:
            return verdict
    return HOLDS


def refuses_no_input(subject: Subject) -> Verdict:
    """A batch of none."""
    return _refused(subject.client.predict([]), {"INVALID_ARGUMENT"})


def refuses_no_request(subject: Subject) -> Verdict:
    """Bytes that are no request. Generated servers answer INTERNAL before their handler is asked."""
    answer = subject.client.predict_raw(samples.NO_REQUEST)
    return _alive(subject) if answer.code == "INTERNAL" else _refused(answer, {"INVALID_ARGUMENT"})


def refuses_another_type(subject: Subject) -> Verdict:
    """An input of another type alone."""
    answer = subject.client.predict([samples.of_another_type(subject.info.input_type)])
    if answer.is_ok:
        return _failed_at(answer, 1, {0})
    return _refused(answer, {"INVALID_ARGUMENT"})


def isolates_another_type(subject: Subject) -> Verdict:
    """An input of another type among good ones."""
    return _isolated(subject, samples.of_another_type(subject.info.input_type))


def isolates_no_value(subject: Subject) -> Verdict:
    """An input without a value among good ones."""
    return _isolated(subject, samples.NOT_SET)


def isolates_errors(subject: Subject) -> Verdict:
    """An input that makes the model raise, among good ones."""
    if not subject.failing:
        return skipped("name an input that the model fails on by --failing-input")
    return _isolated(subject, subject.failing[0])


def _isolated(subject: Subject, bad: bytes) -> Verdict:
    batch = _fitting(subject, [subject.samples[0], bad, *subject.samples[1:3]])
    if len(batch) < 2:
        return skipped("the model takes one input at a time")
    answer = subject.client.predict(batch)
    if not answer.is_ok:
        return broken(f"the whole batch failed with {_told(answer)}")
    return _failed_at(answer, len(batch), {1})


def takes_vectors_of_any_length(subject: Subject) -> Verdict:
    """Vectors of different lengths in one batch."""
    longer = samples.longer(subject.info.input_type)
    if longer is None:
        return skipped(f"{subject.info.input_type} are no vectors")
    batch = _fitting(subject, [subject.samples[0], longer])
    return _each_answered(subject.client.predict(batch), len(batch), may_fail=True)


def takes_the_empty_input(subject: Subject) -> Verdict:
    """An input of no length."""
    empty = samples.empty(subject.info.input_type)
    if empty is None:
        return skipped(f"{subject.info.input_type} have none")
    return _each_answered(subject.client.predict([empty]), 1, may_fail=True)


def takes_every_number(subject: Subject) -> Verdict:
    """NaN and infinities."""
    special = samples.special(subject.info.input_type)
    if special is None:
        return skipped(f"{subject.info.input_type} have no NaN")
    return _each_answered(subject.client.predict([special]), 1, may_fail=True)


def reads_the_long_form(subject: Subject) -> Verdict:
    """A vector whose elements are not packed."""
    if subject.info.input_type not in samples.NUMERIC:
        return skipped(f"{subject.info.input_type} have one form")
    expected = _alone(subject, [samples.packed(subject.info.input_type)])
    if expected is None:
        return skipped("the same input gives another output each time, or none")
    return _gives(subject.client.predict([samples.not_packed(subject.info.input_type)]), expected)


def ignores_what_it_does_not_know(subject: Subject) -> Verdict:
    """A field of a later version."""
    expected = _alone(subject, subject.samples[:1])
    if expected is None:
        return skipped("the same input gives another output each time, or none")
    return _gives(subject.client.predict([subject.samples[0] + unknown_field()]), expected)


def takes_large_messages(subject: Subject) -> Verdict:
    """A request above gRPC's usual limit."""
    answer = subject.client.predict([samples.of_bytes(_ABOVE_DEFAULT_BYTES, subject.info.input_type)])
    if not answer.is_ok:
        return broken(f"a request of {_ABOVE_DEFAULT_BYTES >> 20} MiB failed with {_told(answer)}")
    return _each_answered(answer, 1, may_fail=True)


def overlaps_calls(subject: Subject) -> Verdict:
    """Several calls at once, each against its inputs alone."""
    inputs = subject.samples
    expected = _alone(subject, inputs)
    calls = [[inputs[at % len(inputs)]] for at in range(_AT_ONCE)]
    for at, answer in enumerate(subject.client.predict_together(calls)):
        verdict = _each_answered(answer, 1)
        if verdict is HOLDS and expected is not None:
            verdict = _gives(answer, [expected[at % len(inputs)]])
        if verdict is not HOLDS:
            return broken(f"one of {_AT_ONCE} calls at once: {verdict.found}")
    return HOLDS


def outlives_deadlines(subject: Subject) -> Verdict:
    """Calls whose deadline passes at once."""
    for _ in range(_AT_ONCE):
        answer = subject.client.predict(subject.samples[:1], timeout_s=0.001)
        if answer.code not in ("OK", "DEADLINE_EXCEEDED"):
            return broken(f"a call whose deadline passed failed with {_told(answer)}")
    return _alive(subject)


def outlives_callers(subject: Subject) -> Verdict:
    """Calls that are cancelled at once."""
    for _ in range(_AT_ONCE):
        subject.client.leave(subject.samples[:1])
    return _alive(subject)


def has_no_other_methods(subject: Subject) -> Verdict:
    """A method that there is not."""
    code, _, _ = subject.client.call("/clipper.model.v1.ModelService/NoSuchMethod", b"")
    return HOLDS if code == "UNIMPLEMENTED" else broken(f"answered {code}, not UNIMPLEMENTED")


def tells_errors_shortly(subject: Subject) -> Verdict:
    """The form of errors."""
    bad = [samples.of_another_type(subject.info.input_type), samples.NOT_SET, *subject.failing]
    answers = [subject.client.predict([each]) for each in bad]
    errors = [each for answer in answers for each in answer.outcomes if each.has_error]
    if not errors:
        return skipped("none was seen")
    for each in errors:
        if not each.kind:
            return broken("an error has no kind")
        if len(each.kind.encode()) > _MOST_KIND_BYTES or len(each.message.encode()) > _MOST_MESSAGE_BYTES:
            return broken(f"kind has {len(each.kind.encode())} bytes, message {len(each.message.encode())}")
        if "\n" in each.message:
            return broken("a message has more than one line")
    return HOLDS


# What answers are measured by


def _each_answered(answer: Answer, rows: int, *, may_fail: bool = False) -> Verdict:
    if not answer.is_ok:
        return broken(f"{rows} inputs failed with {_told(answer)}")
    if len(answer.outcomes) != rows:
        return broken(f"{rows} inputs got {len(answer.outcomes)} results")
    for at, each in enumerate(answer.outcomes):
        if not (each.has_output or each.has_error):
            return broken(f"result {at} has neither a readable output nor an error")
        if each.has_error and not may_fail:
            return broken(f"input {at} failed with {_error(each)}; give inputs that the model takes by --input")
    return HOLDS


def _failed_at(answer: Answer, rows: int, failed: set[int]) -> Verdict:
    verdict = _each_answered(answer, rows, may_fail=True)
    if verdict is not HOLDS:
        return verdict
    for at, each in enumerate(answer.outcomes):
        if at in failed and not each.has_error:
            return broken(f"input {at} got an output ({_short(each.output)}), not an error")
        if at not in failed and each.has_error:
            return broken(f"input {at} is good, and failed with {_error(each)}")
    return HOLDS


def _gives(answer: Answer, outputs: Sequence[object]) -> Verdict:
    verdict = _each_answered(answer, len(outputs))
    if verdict is not HOLDS:
        return verdict
    for at, (each, expected) in enumerate(zip(answer.outcomes, outputs, strict=True)):
        if not same(each.output, expected):
            return broken(f"input {at} got {_short(each.output)}; alone it gets {_short(expected)}")
    return HOLDS


def _refused(answer: Answer, codes: set[str]) -> Verdict:
    if answer.is_ok:
        return broken(f"succeeded with {len(answer.outcomes)} results, not {' or '.join(sorted(codes))}")
    return HOLDS if answer.code in codes else broken(f"failed with {_told(answer)}, not {' or '.join(sorted(codes))}")


def _alive(subject: Subject) -> Verdict:
    """Whether it still answers, soon: expired and abandoned calls may be computed still."""
    if waited(lambda: subject.client.predict(subject.samples[:1]).is_ok, subject.client.timeout_s):
        return HOLDS
    return broken(f"does not answer any more within {subject.client.timeout_s:g} s")


def _alone(subject: Subject, inputs: Sequence[bytes]) -> list[object] | None:
    """The output for each input, asked alone and twice; None if they differ or one has none."""
    outputs = []
    for each in inputs:
        first, second = (subject.client.predict([each]) for _ in range(2))
        if not (_has_output(first) and _has_output(second)):
            return None
        if not same(first.outcomes[0].output, second.outcomes[0].output):
            return None
        outputs.append(first.outcomes[0].output)
    return outputs


def _has_output(answer: Answer) -> bool:
    return len(answer.outcomes) == 1 and answer.outcomes[0].has_output


def _fitting(subject: Subject, inputs: list[bytes]) -> list[bytes]:
    return inputs[: subject.info.max_batch_rows] if subject.info.max_batch_rows else inputs


def _repeated(inputs: list[bytes], rows: int) -> list[bytes]:
    return [inputs[at % len(inputs)] for at in range(rows)]


def _told(answer: Answer) -> str:
    return f"{answer.code} ({_short(answer.text)})" if answer.text else answer.code


def _error(outcome: Outcome) -> str:
    return _short(f"{outcome.kind}: {outcome.message}")


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else f"{text[:99]}…"


def _rule(name: str, look: Callable[[Subject], Verdict], breaks: str) -> Rule:
    return Rule(name, breaks, look)


RULES = (
    _rule("health is SERVING", is_healthy, "The manager refuses to register the replica."),
    _rule("health knows ModelService by name", is_healthy_by_name, "Probes by service name see the replica as down."),
    _rule("health says NOT_FOUND for other services", knows_its_services, "A wrong address can pass for a replica."),
    _rule("health can be watched", can_be_watched, "Clients that watch health see no change in time."),
    _rule("GetModelInfo tells the model", describes_its_model, "The manager cannot tell whose replica it is."),
    _rule("one input, one result", answers_one, "Queries get default outputs."),
    _rule("a result for every input of a batch", answers_many, "The frontend fails whole batches."),
    _rule("results in the order of inputs", keeps_the_order, "Callers get the answers of others."),
    _rule("an empty batch is INVALID_ARGUMENT", refuses_no_input, "Mistakes of clients pass unseen."),
    _rule("what is no request is refused", refuses_no_request, "A broken peer can stop the replica."),
    _rule("an input of another type is an error", refuses_another_type, "Wrong inputs get wrong answers."),
    _rule("a wrong input fails alone", isolates_another_type, "One caller's mistake fails the whole batch."),
    _rule("an input without value fails alone", isolates_no_value, "One caller's mistake fails the whole batch."),
    _rule("an error of the model fails alone", isolates_errors, "One caller's input fails the whole batch."),
    _rule("vectors of a batch may differ in length", takes_vectors_of_any_length, "Whole batches fail by chance."),
    _rule("an empty input is legal", takes_the_empty_input, "Whole batches fail by chance."),
    _rule("NaN and infinities are legal", takes_every_number, "Whole batches fail by chance."),
    _rule("vectors need not be packed", reads_the_long_form, "Inputs of some client libraries are misread."),
    _rule("unknown fields are ignored", ignores_what_it_does_not_know, "Clusters cannot be upgraded part by part."),
    _rule("messages above 4 MiB are taken", takes_large_messages, "Large batches and images fail."),
    _rule("calls may overlap", overlaps_calls, "Several frontends, or batches in flight, disturb one another."),
    _rule("passed deadlines do no harm", outlives_deadlines, "A slow moment stops the replica for good."),
    _rule("callers may leave", outlives_callers, "A caller that leaves stops the replica."),
    _rule("other methods are UNIMPLEMENTED", has_no_other_methods, "Newer frontends misread the replica."),
    _rule("errors are short and of one line", tells_errors_shortly, "Errors are cut, or flood logs and replies."),
)
"""All rules, in the order in which they are looked at."""
