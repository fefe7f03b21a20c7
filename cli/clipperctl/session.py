"""What every subcommand has: which cluster it is for, which form its output has, and progress while it waits."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from clipperctl import texts

if TYPE_CHECKING:
    from clipper_admin import Client, ClipperConnection, LocalContainerManager

F = TypeVar("F", bound=Callable[..., Any])


_OPTIONS = (
    click.option("--cluster", metavar="NAME", help="The local cluster.  [default: default-cluster; $CLIPPER_CLUSTER]"),
    click.option("--home", metavar="DIR", help="Where local clusters are kept.  [default: ~/.clipper; $CLIPPER_HOME]"),
    click.option("--manager", metavar="HOST:PORT", help="The manager of a cluster elsewhere.  [$CLIPPER_MANAGER]"),
    click.option("--frontend", metavar="HOST:PORT", help="Its frontend, for predict.  [$CLIPPER_FRONTEND]"),
    click.option(
        "-o", "--output", type=click.Choice(["table", "json", "yaml"]), help="What to print.  [default: table]"
    ),
    click.option("-v", "--verbose", is_flag=True, default=None, help="Tell each step on stderr."),
)
_ENVIRONMENT = {
    "cluster": "CLIPPER_CLUSTER",
    "home": "CLIPPER_HOME",
    "manager": "CLIPPER_MANAGER",
    "frontend": "CLIPPER_FRONTEND",
}


@dataclass(frozen=True, slots=True)
class Session:
    """The common options of one run, from the innermost place where they were given."""

    cluster: str
    home: str | None
    manager: str | None
    frontend: str | None
    output: str
    is_verbose: bool

    def local(self) -> LocalContainerManager:
        """The local cluster that is meant.

        Raises:
            click.UsageError: the one that is meant is elsewhere.
        """
        from clipper_admin import LocalContainerManager

        if self.manager:
            raise click.UsageError("This is for local clusters: the processes behind --manager are run by others.")
        return LocalContainerManager(self.cluster, home=self.home)

    @contextmanager
    def connected(self, doing: str = "Connecting") -> Iterator[ClipperConnection]:
        """A connection to the cluster that is meant; until the block ends, progress is shown."""
        from clipper_admin import ClipperConnection, RemoteContainerManager

        with self.working(doing):
            elsewhere = RemoteContainerManager(self.manager, self.frontend or "") if self.manager else None
            connection = ClipperConnection(elsewhere or self.local())
            connection.connect()
            try:
                yield connection
            finally:
                connection.close()

    @contextmanager
    def predicting(self) -> Iterator[Client]:
        """A client for predictions; where --frontend is given, no manager is needed."""
        from clipper_admin import Client

        if self.frontend and not self.manager:
            with self.working("Asking"), Client("", self.frontend) as client:
                yield client
        else:
            with self.connected("Asking") as connection:
                yield connection.client

    def frontends(self, stack: ExitStack) -> dict[str, Client]:
        """A client of each frontend, by its address, for as long as the stack is open."""
        from clipper_admin import Client

        if self.frontend:
            return {self.frontend: stack.enter_context(Client("", self.frontend))}
        with self.connected("Looking for frontends") as connection:
            addresses = {each.address for each in connection.client.list_instances() if each.kind == "frontend"}
        if not addresses:
            raise click.ClickException("No frontend has registered: nobody answers queries. See clipperctl doctor.")
        return {address: stack.enter_context(Client("", address)) for address in sorted(addresses)}

    @contextmanager
    def working(self, doing: str) -> Iterator[None]:
        """Shows on stderr that something is going on, and what; nothing if stderr is no terminal."""
        console = Console(stderr=True)
        logger = logging.getLogger("clipper_admin")
        with console.status(f"{escape(doing)} …") as status:

            def tell(record: logging.LogRecord) -> None:
                if record.levelno >= logging.WARNING or self.is_verbose:
                    style = "yellow" if record.levelno >= logging.WARNING else "dim"
                    console.print(record.getMessage(), style=style, markup=False, highlight=False, soft_wrap=True)
                else:
                    status.update(f"{escape(record.getMessage())} …")

            handler = logging.Handler()
            handler.emit = tell  # type: ignore[method-assign]
            before = logger.handlers[:], logger.level, logger.propagate
            logger.handlers[:], logger.propagate = [handler], False
            logger.setLevel(logging.INFO)
            try:
                yield
            finally:
                logger.handlers[:], logger.propagate = before[0], before[2]
                logger.setLevel(before[1])


def common_options(command: F) -> F:
    """Adds the common options; a command gets them as they are, and usually takes a Session by `with_session`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def with_session(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the common options and gives the command a Session as its first argument."""

    @common_options
    @functools.wraps(command)
    def run(**options: Any) -> None:
        own = {name: options.pop(name) for name in ("cluster", "home", "manager", "frontend", "output", "verbose")}
        command(session_of(click.get_current_context(), own), **options)

    return run


def session_of(context: click.Context, own: dict[str, Any] | None = None) -> Session:
    """The session that options given here, or before the subcommand, or in the environment, make."""
    found = dict(own or {})
    for name in ("cluster", "home", "manager", "frontend", "output", "verbose"):
        each: click.Context | None = context
        while found.get(name) is None and each is not None:
            found[name] = each.params.get(name)
            each = each.parent
        if found.get(name) is None and name in _ENVIRONMENT:
            found[name] = os.environ.get(_ENVIRONMENT[name]) or None
    for name in ("manager", "frontend"):
        if found[name]:
            texts.Address().convert(found[name], None, context)
    return Session(
        cluster=found["cluster"] or "default-cluster",
        home=found["home"],
        manager=found["manager"],
        frontend=found["frontend"],
        output=found["output"] or "table",
        is_verbose=bool(found["verbose"]),
    )
