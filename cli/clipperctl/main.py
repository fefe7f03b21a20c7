"""The command itself, its exit codes, and how errors are told: in one line, never as a traceback."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import NoReturn

import click

from clipperctl.apps import app, link, unlink
from clipperctl.batches import batching, profile
from clipperctl.clusters import start, status, stop
from clipperctl.completion import completion
from clipperctl.declared import apply, diff, export
from clipperctl.doctor import doctor
from clipperctl.explain import explain
from clipperctl.feedback import feedback
from clipperctl.logs import logs
from clipperctl.models import model
from clipperctl.policies import policy
from clipperctl.predict import predict
from clipperctl.runtimes import runtime
from clipperctl.session import common_options
from clipperctl.top import top

_EPILOG = """\b
Exit codes:
  0  done
  1  failed
  2  wrong usage, or a value that is not allowed
  3  not found
  4  conflict: exists already, is in use, or types do not fit
  5  no answer: the cluster does not run, is overloaded, or is too slow

\b
A first cluster:
  clipperctl start
  clipperctl app register greeter --input-type strings --default-output '"hello"'
  clipperctl model deploy shout --version 1 --input-type strings --file examples/shout.py:shout
  clipperctl link greeter shout
  clipperctl predict greeter '"good morning"'
  clipperctl stop
"""
_EXIT_CODES = {
    "INVALID_ARGUMENT": 2,
    "NOT_FOUND": 3,
    "ALREADY_EXISTS": 4,
    "FAILED_PRECONDITION": 4,
    "ABORTED": 4,
    "UNAVAILABLE": 5,
    "DEADLINE_EXCEEDED": 5,
    "RESOURCE_EXHAUSTED": 5,
}
_INTERRUPTED = 130


def _version() -> str:
    return importlib.metadata.version("clipper-serve")


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(_version(), prog_name="clipperctl")
@common_options
def cli(**_options: object) -> None:
    """Runs and asks Clipper, a prediction server: applications, models, and the link between them.

    Works on the local cluster that `clipperctl start` runs, or on any other one by --manager and --frontend.
    """


_COMMANDS = (
    *(start, stop, status, top, explain, doctor, logs),
    *(app, model, link, unlink, predict),
    *(policy, feedback),
    *(apply, diff, export),
    *(runtime, completion),
)
for _command in _COMMANDS:
    cli.add_command(_command)
for _command in (batching, profile):
    model.add_command(_command)


def main() -> NoReturn:
    """Runs the command and exits."""
    try:
        code = cli.main(prog_name="clipperctl", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
            click.echo("Interrupted.", err=True)
            sys.exit(_INTERRUPTED)
        click.echo("Nothing was done. Give --yes to go on without being asked.", err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the outermost boundary: told, and ended
        if os.environ.get("CLIPPERCTL_DEBUG"):
            raise
        click.echo(f"Error: {_told(error)}", err=True)
        sys.exit(exit_code(error))
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: BaseException) -> int:
    """What the command exits with after an error."""
    from clipper_admin.exceptions import AlreadyRunningException, NotRunningException
    from clipper_rpc.errors import ClipperError

    if isinstance(error, NotRunningException):
        return 5
    if isinstance(error, AlreadyRunningException):
        return 4
    cause = error if isinstance(error, ClipperError) else error.__cause__
    if isinstance(cause, ClipperError):
        return _EXIT_CODES.get(cause.code.name, 1)
    return 2 if isinstance(error, ValueError) or isinstance(cause, ValueError) else 1


def _told(error: Exception) -> str:
    from clipper_admin.exceptions import ClipperException
    from clipper_rpc.errors import ClipperError

    if isinstance(error, ClipperException | ClipperError):
        return str(error)
    return f"{type(error).__name__}: {error} (CLIPPERCTL_DEBUG=1 shows where)"
