"""Starts a program so that it ends with its parent, or so that it outlives it.

Run as a script, by path:

    python -I -S launch.py with-parent PID PROGRAM [ARGUMENT…]   the program leads a group, and gets SIGTERM
                                                                 when PID, its parent, dies
    python -I -S launch.py detached PROGRAM [ARGUMENT…]          the program runs in a session of its own, under init

It becomes the program (exec), so it costs its 15 ms once and no memory. Imports nothing of ours, to be quick.
Where the system cannot bind a child's life to its parent's (not Linux), `leftovers` ends it at the next start.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _with_parent(parent: int, program: list[str]) -> None:
    os.setpgid(0, 0)  # so that whatever it starts itself can be ended with it
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before it could be watched
            sys.exit(1)
    _become(program)


def _detached(program: list[str]) -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    _become(program)


def _become(program: list[str]) -> None:
    try:
        os.execvp(program[0], program)  # noqa: S606  # replaces this process; no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        os._exit(127)


if __name__ == "__main__":
    if sys.argv[1] == "with-parent":
        _with_parent(int(sys.argv[2]), sys.argv[3:])
    else:
        _detached(sys.argv[2:])
