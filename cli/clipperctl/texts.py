"""What is typed on the command line: durations, values, and the places of functions."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from clipper_admin.learned import Latencies
    from clipper_admin.resources import Contribution, Prediction, Timing

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m)?")
_ADDRESS = re.compile(r"unix:.+|.+:\d{1,5}")
_MICROS = {"us": 1, "µs": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, None: 1}


class Objective(click.ParamType):  # type: ignore[type-arg]  # generic in its type stubs only
    """A time as 50ms, 1.5s, 100000us, or a plain number of microseconds; its value is in microseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The microseconds that are meant."""
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no time; write 50ms, 1.5s or 100000us.", param, ctx)
        return round(float(found[1]) * _MICROS[found[2]])


class Address(click.ParamType):  # type: ignore[type-arg]
    """Where a process listens."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address as it is typed."""
        if not _ADDRESS.fullmatch(str(value)):
            self.fail(f"{value!r} is no address; write HOST:PORT, e.g. 127.0.0.1:7000.", param, ctx)
        return str(value)


class Parameter(click.ParamType):  # type: ignore[type-arg]  # generic in its type stubs only
    """A policy's parameter as eta=0.1 or combine=vote; its value is the name with a number or a word."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, object]:
        """The name and the value that are meant."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not (name and equals and text):
            self.fail(f"{value!r} is no parameter; write eta=0.1 or combine=vote.", param, ctx)
        try:
            return name, float(text)
        except ValueError:
            return name, text


def check_names(model: str, version: str) -> None:
    """Raises click.UsageError where a model, or a version, cannot be called so."""
    from clipper_admin import given

    try:
        given.name(model)
        given.version(version)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


def explained(found: Prediction) -> list[str]:
    """Who has answered, and where the time went, a line for each."""
    return [*map(contributed, found.contributions), *([timed(found.timing)] if found.timing is not None else [])]


def contributed(found: Contribution) -> str:
    """How a model answered."""
    who = f"{found.model}:{found.version}"
    if not found.latency_us:
        return f"{who} did not answer in time"
    how = "from the cache" if found.cached else f"replica {found.replica_id}"
    if found.joined:
        how += ", with an identical query that was under way"
    return f"{who} answered after {ms(found.latency_us)} ({how})"


def timed(timing: Timing) -> str:
    """Where the time went."""
    parts = [f"{ms(timing.total_us)} in all"]
    if timing.batch_rows:
        linger = f" ({ms(timing.linger_us)} of it for more to come)" if timing.linger_us else ""
        parts += [
            f"{ms(timing.queue_us)} in the queue{linger}",
            f"{ms(timing.model_us)} in the model, in a batch of {timing.batch_rows}",
            f"{ms(timing.network_us)} on the way there and back",
        ]
    return ", ".join(parts)


def ms(micros: int) -> str:
    """Microseconds as people say them."""
    return f"{micros / 1000:.3g} ms" if micros < 999_500 else f"{micros / 1000:,.0f} ms"


def latencies(found: Latencies) -> str:
    """Quantiles of latencies."""
    return " / ".join(ms(us) for us in (found.p50_us, found.p95_us, found.p99_us)) if found.mean_us else "-"


def default_output(text: str) -> Any:
    """A default output as it is typed: JSON where it is JSON ('"hello"', 0.5), else text (hello)."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def given(text: str, input_type: str) -> Any:
    """What a typed input means: `-` is stdin, `@PATH` a file, anything else itself.

    Bytes come from stdin and files as they are, and are typed as base64. Strings may be typed with or without JSON's
    quotation marks; all else is JSON.
    """
    if text == "-" or text.startswith("@"):
        raw = _read(text)
        if input_type == "bytes":
            return raw
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise click.UsageError(f"The input is not UTF-8 text: {error}.") from None
        text = text.removesuffix("\n")
    if input_type == "bytes":
        return text
    if input_type == "strings":
        found = default_output(text)
        return found if isinstance(found, str) else text
    return _json(text)


def given_batch(text: str) -> list[Any]:
    """A typed batch: a JSON array of inputs; `-` is stdin, `@PATH` a file."""
    if text == "-" or text.startswith("@"):
        text = _read(text).decode(errors="replace")
    found = _json(text)
    if not isinstance(found, list):
        raise click.UsageError("A batch is a JSON array with one element per input, e.g. '[[1.5, 2], [3, 4]]'.")
    return found


def function_at(place: str) -> Callable[[Any], Any]:
    """The function at "path/to/file.py:name" or "package.module:name", which is run or imported for it.

    Raises:
        click.UsageError: there is none, or its module raises.
    """
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise click.UsageError(f"{place!r} names no function: write path/to/file.py:name or package.module:name.")
    is_file = where.endswith(".py")
    if not is_file and "/" in where:
        raise click.UsageError(f"{where} is no Python file: write path/to/file.py:name or package.module:name.")
    try:
        module = _loaded(Path(where)) if is_file else _imported(where)
    except (Exception, SystemExit) as error:  # the user's own code: told
        raise click.UsageError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise click.UsageError(f"{where} has no function {name}.")
    function: Callable[[Any], Any] = found
    return function


def _imported(name: str) -> object:
    sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(name)


def _loaded(path: Path) -> object:
    sys.path.insert(0, str(path.absolute().parent))  # its neighbours are importable, as when it is run
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _read(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{text[1:]} cannot be read: {error.strerror}.") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(
            f"The input is not JSON ({error}): {text[:80]!r}. Write e.g. '[1.1, 2.2, 3.3]'."
        ) from None
