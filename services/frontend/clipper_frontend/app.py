"""The frontend process: reads the settings, wires the parts, starts them, and stops them in reverse of the flow.

Start   connect to a manager -> load routes, reserve ids -> listen -> health SERVING -> ready -> register
Stop    health NOT_SERVING -> running calls end (grace) -> engine -> watch, registration -> connections
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
from pydantic import ValidationError

from clipper.v1 import inspect_pb2
from clipper_frontend import explaining, stats
from clipper_frontend.cache import PredictionCache
from clipper_frontend.cached import CachedDispatcher
from clipper_frontend.chooser import Chooser
from clipper_frontend.client import RegistryClient
from clipper_frontend.clock import LoopClock
from clipper_frontend.dispatch import Dispatcher
from clipper_frontend.feedback import FEEDBACK_SERVICE, FeedbackService
from clipper_frontend.followed import followed
from clipper_frontend.instance import Registration
from clipper_frontend.metrics import Metrics
from clipper_frontend.metrics_export import families
from clipper_frontend.observing import Observer
from clipper_frontend.outputs import Outputs, logged_input, logged_output
from clipper_frontend.pool import Limits
from clipper_frontend.prediction_log import PredictionLog
from clipper_frontend.predictor import Predictor
from clipper_frontend.profiles import profiles_of
from clipper_frontend.query_ids import QueryIds
from clipper_frontend.recent import Recent
from clipper_frontend.replica import ReplicaConnections
from clipper_frontend.routes import RouteTable
from clipper_frontend.school import School
from clipper_frontend.selection_store import Lives, SelectionStore
from clipper_frontend.service import PREDICT_SERVICE, PredictService
from clipper_frontend.settings import Settings, options
from clipper_frontend.shadowing import Shadows
from clipper_frontend.stats import InspectService, of_all, stats_of
from clipper_frontend.watch import Watch
from clipper_frontend.workers import serve_with_workers
from clipper_rpc import choose, lifecycle, logs
from clipper_rpc.health import Health
from clipper_rpc.lifecycle import StopRequest
from clipper_rpc.reflection import reflection_methods
from clipper_rpc.services import typed_methods
from clipper_rpc.telemetry.endpoint import Pages, serving, serving_at, text_page
from clipper_rpc.telemetry.export import Exposition
from clipper_rpc.telemetry.tracing import tracing_of
from clipper_rpc.transport import ServerOptions, Transport

_log = logging.getLogger(__name__)

_INSPECT = inspect_pb2.DESCRIPTOR.services_by_name["InspectService"]
_HEALTH_SERVICE = "grpc.health.v1.Health"
_ENVELOPE_BYTES = 64 * 1024
_MANAGER_MESSAGE_BYTES = 256 * 1024 * 1024
_CANNOT_LISTEN = 7


async def serve(settings: Settings, stop: StopRequest) -> None:
    """Answers calls until it is asked to stop.

    Raises:
        OSError: the address cannot be listened on.
    """
    clock = LoopClock(asyncio.get_running_loop())
    transport = choose.transport(settings.transport)
    registry = RegistryClient(transport, settings.manager, max_message_bytes=_MANAGER_MESSAGE_BYTES)
    tracing = tracing_of("frontend")
    recent = Recent(settings.max_explained_queries) if settings.max_explained_queries else None
    observer = Observer(Metrics(clock), tracing, recent, follows=_log.isEnabledFor(logging.DEBUG))
    try:
        async with _engine(settings, transport, clock, registry, observer) as engine:
            if await _unless_stopped(engine.is_ready, stop):
                await _listen(settings, stop, transport, clock, registry, engine, observer)
    finally:
        await registry.close()
        if tracing is not None:
            await tracing.close()
        _log.info("stopped")


_GC_AFTER = 5000
"""After how many new objects the collector looks for circles: a burst of queries has hundreds, and makes no circles."""


@dataclass(frozen=True, slots=True)
class _Engine:
    """What answers queries and takes feedback, and what to wait for before it can be asked."""

    predictor: Predictor
    feedback: FeedbackService
    is_ready: Awaitable[object]
    inspect: InspectService
    metrics: str
    """Where its metrics are told."""


@asynccontextmanager
async def _engine(
    settings: Settings, transport: Transport, clock: LoopClock, registry: RegistryClient, observer: Observer
) -> AsyncIterator[_Engine]:
    """The engine with all that it stands on."""
    log = _prediction_log(settings)
    school = School(_selection_store(settings), clock, log, max_contexts=settings.max_cached_contexts)
    async with school.running(), asyncio.TaskGroup() as tasks:
        # an input may fill a message, and a batch of one carries it with a few bytes around it
        message_bytes = settings.max_message_bytes + _ENVELOPE_BYTES
        connections = ReplicaConnections(
            transport,
            tasks,
            max_message_bytes=message_bytes,
            late_answers_ns=round(settings.late_answers_ms * 1e6),
        )
        connect = followed(connections.connect) if observer.follows else connections.connect
        dispatcher = Dispatcher(clock, connect, _limits(settings), observer)
        query_ids = QueryIds(registry.reserve_query_ids, clock.sleep)
        cached = _cached(settings, dispatcher, clock)
        outputs = Outputs()
        chooser = Chooser(cached, query_ids.take, outputs, school.states, school)
        shadows = Shadows(cached, query_ids.take, clock, outputs, school.store, clock.sleep)
        margin_ns = round(settings.reply_margin_ms * 1e6)
        predictor = Predictor(cached, query_ids.take, chooser, shadows, reply_margin_ns=margin_ns)
        teacher = school.teacher(cached, query_ids.take, outputs, window_s=settings.feedback_window_s)
        feedback = FeedbackService(predictor, teacher, clock, tasks)

        def use(table: RouteTable) -> None:
            observer.metrics.follow(table)
            school.use(table)
            shadows.use(table)
            predictor.use(table)

        watch = Watch(registry, use, clock.sleep)
        following = [tasks.create_task(each.run()) for each in (watch, query_ids, shadows)]
        cache = cached if isinstance(cached, CachedDispatcher) else None
        told = families(observer.metrics, dispatcher, cache)
        exposition = Exposition([told, school.families], process="frontend", transport=transport.name)
        own = stats_of(observer.metrics, dispatcher, cache, clock.now_ns)
        known = explaining.known_to(observer.recent, clock.now_ns)
        inspect = InspectService(
            partial(of_all, own, settings.told_at),
            profiles_of(dispatcher, lambda: predictor.table),
            partial(explaining.by_all, known, settings.told_at),
        )
        pages: Pages = {
            "/metrics": text_page(exposition.text),
            stats.PAGE: stats.page(own),
            explaining.PAGE: explaining.desk(known),
        }
        try:
            async with _telling(settings, pages) as metrics:
                is_ready = asyncio.gather(watch.has_table.wait(), query_ids.has_ids.wait())
                yield _Engine(predictor, feedback, is_ready, inspect, metrics)
        finally:
            dispatcher.close()
            cached.close()
            for task in following:
                task.cancel()
            await shadows.end()
            await connections.close()


def _telling(settings: Settings, pages: Pages) -> AbstractAsyncContextManager[str]:
    """Serves pages to whoever watches: to everybody, or as a worker to the parent."""
    if settings.told_at is not None:
        return serving_at(pages, settings.told_at)
    return serving(pages, settings.host, settings.metrics_port)


async def _listen(
    settings: Settings,
    stop: StopRequest,
    transport: Transport,
    clock: LoopClock,
    registry: RegistryClient,
    engine: _Engine,
    observer: Observer,
) -> None:
    service = PredictService(
        engine.predictor,
        clock,
        max_batch_inputs=settings.max_batch_inputs,
        max_stream_queries=settings.max_stream_queries,
        observer=observer,
    )
    health = Health(PREDICT_SERVICE, FEEDBACK_SERVICE, _INSPECT.full_name)
    server = await transport.serve(
        {
            **service.methods(),
            **engine.feedback.methods(),
            **typed_methods(_INSPECT, engine.inspect, process="frontend"),
            **health.methods(),
            **reflection_methods([PREDICT_SERVICE, FEEDBACK_SERVICE, _INSPECT.full_name, _HEALTH_SERVICE]),
        },
        f"{settings.host}:{settings.port}",
        _server_options(settings),
    )
    address = settings.advertise or f"{settings.host}:{server.port}"
    registration = Registration(registry, address, importlib.metadata.version("clipper-serve"), clock.sleep)
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not look at it again
    gc.set_threshold(_GC_AFTER)
    async with asyncio.TaskGroup() as tasks:
        renewing = tasks.create_task(registration.run())
        health.set_serving(True)
        _tell_ready(settings, address, engine.metrics)
        await stop.wait()
        _log.info("stopping", extra={"grace_s": settings.grace_s})
        health.end()
        await server.stop(settings.grace_s)
        renewing.cancel()
    await registration.end()


async def _unless_stopped(awaited: Awaitable[object], stop: StopRequest) -> bool:
    """Waits for something; False if the process shall stop before."""
    happened, stopped = asyncio.ensure_future(awaited), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((happened, stopped), return_when=asyncio.FIRST_COMPLETED)
        return happened.done() and not stopped.done()
    finally:
        happened.cancel()
        stopped.cancel()


def _cached(settings: Settings, dispatcher: Dispatcher, clock: LoopClock) -> Dispatcher | CachedDispatcher:
    """The engine with the prediction cache before it, if there is to be one."""
    if not settings.cache_bytes:
        return dispatcher
    cache = PredictionCache(
        max_bytes=settings.cache_bytes, ttl_ns=round(settings.cache_ttl_s * 1e9), secret=secrets.token_bytes(16)
    )
    return CachedDispatcher(dispatcher, cache, clock, max_callers=settings.max_queue_rows)


def _selection_store(settings: Settings) -> SelectionStore:
    lives = Lives(
        token_s=settings.feedback_token_s,
        context_s=settings.context_s,
        max_contexts=settings.max_contexts,
        shown_s=settings.feedback_window_s,
        max_shown=settings.max_remembered_queries,
    )
    return SelectionStore(settings.redis_url, settings.cluster, lives)


def _prediction_log(settings: Settings) -> PredictionLog | None:
    if settings.prediction_log is None:
        return None
    return PredictionLog(
        settings.prediction_log,
        share=settings.prediction_log_share,
        max_bytes=round(settings.prediction_log_mb * 1e6),
        value=logged_output,
        input_value=logged_input,
    )


def _server_options(settings: Settings) -> ServerOptions:
    above = settings.compress_above_bytes
    return ServerOptions(
        max_message_bytes=settings.max_message_bytes,
        reuse_port=settings.shared_port,
        max_concurrent_streams=settings.max_concurrent_calls or None,
        max_connection_age_s=settings.max_connection_age_s or None,
        compress_above_bytes=None if above < 0 else above,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_batch_rows=settings.max_batch_rows,
        max_queue_rows=settings.max_queue_rows,
        max_batches_in_flight=settings.max_batches_in_flight,
        max_attempts=settings.max_attempts,
        max_batch_bytes=settings.max_message_bytes,
    )


def _tell_ready(settings: Settings, address: str, metrics: str) -> None:
    _log.info("listening", extra={"address": address, "metrics": metrics})
    if settings.ready_fd is not None:
        with os.fdopen(settings.ready_fd, "w", encoding="utf-8") as ready:
            ready.write(json.dumps({"address": address, "metrics": metrics, "pid": os.getpid()}) + "\n")


async def _run(settings: Settings, stop: StopRequest) -> None:
    if settings.parent_fd is not None:  # its end means that our parent is gone
        asyncio.get_running_loop().add_reader(settings.parent_fd, stop.set)
    if settings.workers == 1:
        await serve(settings, stop)
    else:
        await serve_with_workers(settings, stop, partial(_tell_ready, settings))


_HELP = """Answers queries over gRPC (clipper.v1.PredictService and FeedbackService).

It follows the configuration from a manager, asks the replicas of models in batches, and answers every query within its
application's objective: with a prediction, or with the application's default output and the reason for it. Once it
runs it needs no manager to go on. It listens as soon as it knows the configuration; until then it waits for a manager.

\b
Examples:
  # one process, beside a manager on this machine
  clipper-frontend
\b
  # four processes share port 7000; two managers, either of which will do
  clipper-frontend --host 0.0.0.0 --workers 4 --manager 10.0.0.5:7001,10.0.0.6:7001
\b
  # ask it (with reflection, any gRPC tool can)
  clipperctl predict hello-world '[1.1, 2.2, 3.3]'

SIGTERM stops it gracefully: health says NOT_SERVING, running calls end, then it exits. A second one ends it at once.
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@options
def main(**flags: Any) -> None:
    """Runs the process. See _HELP."""
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise click.UsageError("\n".join(_told(each) for each in error.errors())) from None
    logs.configure("frontend", settings.log_level)
    try:
        lifecycle.run(lambda stop: _run(settings, stop))
    except* OSError as errors:
        click.echo(f"Error: {_first(errors)}", err=True)
        sys.exit(_CANNOT_LISTEN)


def _first(group: BaseExceptionGroup[OSError]) -> OSError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _told(error: Any) -> str:
    flag = "--" + "-".join(str(part) for part in error["loc"][:1]).replace("_", "-")
    return f"{flag}: {str(error['msg']).removeprefix('Value error, ')} (given: {error['input']!r})"
