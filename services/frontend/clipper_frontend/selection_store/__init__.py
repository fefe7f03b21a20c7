"""Redis, as the frontend uses it: what policies have learned, what was shown, and nothing else.

The only part of a frontend that knows Redis. In reading order:

store     what can be asked of it
pipe      commands, in bursts over one connection
changes   what other frontends learn, as it happens
"""

from clipper_frontend.selection_store.store import Lives, SelectionStore

__all__ = ["Lives", "SelectionStore"]
