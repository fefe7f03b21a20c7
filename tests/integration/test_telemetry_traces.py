"""Traces through all processes, and that watching changes no answer."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from collector import Collector, Span
from gateways import Chain, events, until
from prometheus_client.parser import text_string_to_metric_families

from clipper.v1 import predict_pb2, predict_pb2_grpc, values_pb2
from processes import RedisServer


def traced(inputs: Any) -> list[str]:
    """Tells the trace that it is part of; has a span of its own; hates 13, and says so with all that it was given."""
    import time

    from opentelemetry import trace

    if any(13 in row for row in inputs):
        raise ValueError(f"unlucky: {[list(row) for row in inputs]}")
    with trace.get_tracer("model").start_as_current_span("own step"):
        time.sleep(0.01)
        context = trace.get_current_span().get_span_context()
        return [f"trace {context.trace_id:032x}" for _ in inputs]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chain, Collector]]:
    directory = tmp_path_factory.mktemp("traces")
    (directory / "redis").mkdir()
    redis = RedisServer(directory / "redis")
    redis.start()
    collector = Collector()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        environment.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        for process in ("FRONTEND", "RUNTIME", "MANAGER"):
            environment.setenv(f"CLIPPER_{process}_METRICS_PORT", "0")
        for process in ("FRONTEND", "RUNTIME", "MANAGER", "GATEWAY"):
            environment.setenv(f"CLIPPER_{process}_LOG_LEVEL", "debug")
        # One of each: the seam passes metadata on both (test_transport_unary).
        environment.setenv("CLIPPER_RUNTIME_TRANSPORT", "grpcio")
        environment.setenv("CLIPPER_FRONTEND_CACHE_BYTES", "0")
        chain = Chain(directory, redis.url)
        try:
            chain.start()
            chain.runtime = chain.deploy("app", traced)  # type: ignore[attr-defined]
            chain.serves("app", {"input": [1.0]})
            yield chain, collector
        finally:
            chain.stop()
            collector.kill()
            redis.kill()


class Context:
    """A trace that a caller has begun."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.header = f"00-{self.trace_id}-{self.span_id}-{'01' if sampled else '00'}"


def found(collector: Collector, context: Context, *names: str) -> list[Span]:
    """The spans of these names, when they have come."""
    until(lambda: set(names) <= set(collector.trace(context.trace_id)), f"the spans {names} have come")
    spans = collector.trace(context.trace_id)
    return [spans[name] for name in names]


def test_one_rest_call_is_one_connected_trace_through_all_processes(house: tuple[Chain, Collector]) -> None:
    chain, collector = house
    context = Context()
    headers = {"traceparent": context.header, "x-request-id": "order-66"}
    answer = chain.query.post("/app/predict", json={"input": [1.0]}, headers=headers).json()
    assert answer["output"] == f"trace {context.trace_id}"
    gateway, frontend, batch, model, own = found(
        collector,
        context,
        "clipper-gateway: POST /{application}/predict",
        "clipper-frontend: Predict",
        "clipper-frontend: batch",
        "clipper-runtime: model",
        "clipper-runtime: own step",
    )
    assert gateway.parent_id == context.span_id
    assert frontend.parent_id == gateway.span_id
    assert batch.parent_id == frontend.span_id
    assert model.parent_id == batch.span_id
    assert own.parent_id == model.span_id
    assert batch.links == (frontend.span_id,)
    assert len(collector.trace(context.trace_id)) == 5
    assert frontend.attributes["clipper.query_id"] == answer["query_id"]
    assert frontend.attributes["clipper.application"] == "app"
    assert (batch.attributes["clipper.model"], batch.attributes["clipper.batch_rows"]) == ("app-model", 1)
    assert gateway.attributes["http.response.status_code"] == 200


def test_a_batch_is_linked_with_all_queries_that_it_serves(house: tuple[Chain, Collector]) -> None:
    chain, collector = house
    contexts = [Context() for _ in range(24)]
    with grpc.insecure_channel(chain.frontend.address) as channel:
        predict = predict_pb2_grpc.PredictServiceStub(channel).Predict
        request = predict_pb2.PredictRequest(
            application="app", input=values_pb2.Input(doubles=values_pb2.Doubles(values=[1]))
        )
        calls = [predict.future(request, metadata=(("traceparent", each.header),), timeout=30) for each in contexts]
        assert all(not call.result().default for call in calls)
    spans = {each.trace_id: found(collector, each, "clipper-frontend: Predict")[0] for each in contexts}
    wanted = {span.span_id for span in spans.values()}

    def batches() -> list[Span]:
        return [span for span in list(collector.spans) if span.name == "batch" and wanted & set(span.links)]

    until(lambda: {link for batch in batches() for link in batch.links} == wanted, "each query is in a batch")
    assert max(len(batch.links) for batch in batches()) > 1
    for batch in batches():
        assert batch.attributes["clipper.batch_rows"] == len(batch.links)
        for query in spans.values():
            if query.span_id in batch.links[1:]:
                assert query.links == (batch.span_id,)


def test_a_trace_that_is_not_sampled_leaves_no_span(house: tuple[Chain, Collector]) -> None:
    chain, collector = house
    silent, loud = Context(sampled=False), Context()
    for context in (silent, loud):
        chain.query.post("/app/predict", json={"input": [1.0]}, headers={"traceparent": context.header})
    chain.predict("app", {"input": [1.0]})  # not of any trace: the sampler says no
    found(collector, loud, "clipper-gateway: POST /{application}/predict", "clipper-runtime: model")
    assert collector.trace(silent.trace_id) == {}
    known = {span.trace_id for span in collector.spans if span.parent_id == ""}
    assert known == set()


def test_many_inputs_in_one_call_and_a_stream_are_traced_too(house: tuple[Chain, Collector]) -> None:
    chain, collector = house
    batch, stream = Context(), Context()
    value = values_pb2.Input(doubles=values_pb2.Doubles(values=[1]))
    with grpc.insecure_channel(chain.frontend.address) as channel:
        stub = predict_pb2_grpc.PredictServiceStub(channel)
        many = predict_pb2.PredictBatchRequest(application="app", inputs=[value] * 3)
        stub.PredictBatch(many, metadata=(("traceparent", batch.header),), timeout=30)
        one = predict_pb2.PredictStreamRequest(request=predict_pb2.PredictRequest(application="app", input=value))
        answers = stub.PredictStream(iter([one]), metadata=(("traceparent", stream.header),), timeout=30)
        assert len(list(answers)) == 1
    for context, name in ((batch, "PredictBatch"), (stream, "PredictStream")):
        served, model = found(collector, context, f"clipper-frontend: {name}", "clipper-runtime: model")
        assert served.parent_id == context.span_id
        assert model.trace_id == context.trace_id


def test_an_error_of_the_model_is_named_with_its_request_in_every_log(house: tuple[Chain, Collector]) -> None:
    chain, _ = house
    chain.query.post("/app/predict", json={"input": [13.0]}, headers={"x-request-id": "friday"})
    runtime = chain.runtime  # type: ignore[attr-defined]
    for process, event in ((chain.frontend, "default_answered"), (runtime, "model_raised")):
        [line] = [each for each in events(process) if each["event"] == event and each.get("request_id") == "friday"]
        assert line["level"] in ("warning", "error")


def test_payloads_are_in_no_log_and_no_span_not_even_those_that_a_model_quotes(house: tuple[Chain, Collector]) -> None:
    chain, collector = house
    secret, context = 4711.25, Context()
    headers = {"traceparent": context.header, "x-request-id": "quoted"}
    given = chain.query.post("/app/predict", json={"input": [13.0, secret]}, headers=headers).json()
    assert str(secret) in given["default_explanation"], "callers are told"
    chain.query.post("/app/predict", json={"input": [secret]}, headers=headers)
    chain.query.post("/app/predict", content=f'{{"input": [{secret}', headers=headers)
    chain.query.post("/app/predict", json={"input": str(secret)}, headers=headers)
    chain.query.post("/app/update", json={"uid": 1, "input": [secret], "label": secret}, headers=headers)
    found(collector, context, "clipper-frontend: Predict", "clipper-runtime: model")
    runtime = chain.runtime  # type: ignore[attr-defined]
    for process in (chain.gateway, chain.frontend, runtime, chain.manager):
        text = process.log.read_text()
        assert str(secret) not in text
        if process is not chain.manager:
            assert '"quoted"' in text, "it has been at work, and its log is at DEBUG"
    assert not [body for body in collector.bodies if str(secret).encode() in body]


def test_clippers_json_tells_what_all_frontends_counted_whichever_way_queries_came(
    house: tuple[Chain, Collector],
) -> None:
    chain, _ = house

    def counters() -> dict[str, int]:
        groups = chain.query.get("/metrics").json()
        assert set(groups) == {"counters", "ratio_counters", "meters", "histograms"}
        return {name: each["count"] for group in groups["counters"] for name, each in group.items()}

    before = counters()
    chain.predict("app", {"input": [1.0]})
    with grpc.insecure_channel(chain.frontend.address) as channel:
        value = values_pb2.Input(doubles=values_pb2.Doubles(values=[1]))
        batch = predict_pb2.PredictBatchRequest(application="app", inputs=[value] * 4)
        predict_pb2_grpc.PredictServiceStub(channel).PredictBatch(batch, timeout=30)
    after = counters()
    for name in ("internal:aggregate_num_predictions", "app:app:num_predictions", "model:app-model:1:num_predictions"):
        assert after[name] - before[name] == 5


def test_every_metric_is_in_the_docs_and_has_help_and_a_unit_in_its_name(house: tuple[Chain, Collector]) -> None:
    chain, _ = house
    documented = documented_names()
    runtime = chain.runtime  # type: ignore[attr-defined]
    places = [f"{each.ready['metrics']}" for each in (chain.frontend, chain.manager, runtime)]
    for place in (*places, str(chain.gateway.ready["query"])):
        text = httpx.get(f"http://{place}/metrics", headers={"accept": "text/plain"}).text
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            if not name.startswith(("go_", "process_", "python_", "target")):
                assert name in documented, f"{name} of {place}"
            assert family.documentation
            assert not name.endswith(("_us", "_micros")), name


def documented_names() -> set[str]:
    """The names of metrics in the docs; `a_{b,c}_d` stands for several."""
    text = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    names: set[str] = set()
    for word in re.findall(r"`([a-z_{},]+)`", text):
        names |= {word.partition("{")[0]}
        if found := re.fullmatch(r"([a-z_]*_)\{([a-z_,]+)\}([a-z_]*)(?:\{[a-z_,]+\})?", word):
            names |= {found[1] + each + found[3] for each in found[2].split(",")}
    return names


def test_neither_a_dead_collector_nor_eager_scrapes_change_an_answer(house: tuple[Chain, Collector]) -> None:
    chain, collector = house
    collector.kill()
    runtime = chain.runtime  # type: ignore[attr-defined]
    places = [f"http://{each.ready['metrics']}/metrics" for each in (chain.frontend, chain.manager, runtime)]
    over = threading.Event()

    def scrape(place: str) -> int:
        scrapes = 0
        with httpx.Client(timeout=30) as client:
            while not over.wait(0.1):
                assert client.get(place).status_code == 200
                scrapes += 1
        return scrapes

    def ask(number: int) -> Any:
        headers = {"traceparent": Context().header}
        return chain.query.post("/app/predict", json={"input": [float(number % 7)]}, headers=headers).json()

    with ThreadPoolExecutor(16) as pool:
        scrapes = [pool.submit(scrape, place) for place in places]
        until_s = time.monotonic() + 2
        answers = []
        while time.monotonic() < until_s:
            answers += pool.map(ask, range(50))
        over.set()
        assert all(each.result() > 0 for each in scrapes)
    assert len(answers) >= 50
    assert not [answer for answer in answers if answer["default"]]
