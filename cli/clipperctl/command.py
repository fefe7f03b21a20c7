"""The command itself: its subcommands, and what `clipperctl --help` says."""

from __future__ import annotations

import importlib.metadata

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
