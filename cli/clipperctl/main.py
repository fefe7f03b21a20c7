"""The command's process: its exit codes, and how errors are told: in one line, never as a traceback.

What takes long to import is imported within `main`, so that Ctrl-C finds somebody there.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

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


def main() -> NoReturn:
    """Runs the command and exits."""
    try:
        import click

        from clipperctl.command import cli
    except KeyboardInterrupt:
        _interrupted()
    try:
        code = cli.main(prog_name="clipperctl", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
            _interrupted()
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


def _interrupted() -> NoReturn:
    sys.stderr.write("Interrupted.\n")
    sys.exit(_INTERRUPTED)
