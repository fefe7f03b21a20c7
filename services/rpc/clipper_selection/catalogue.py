"""The policies that there are: ours, and those of plug-ins."""

from __future__ import annotations

from collections.abc import Mapping

from clipper_selection import plugins
from clipper_selection.ensemble import Ensemble
from clipper_selection.exp3 import Exp3
from clipper_selection.exp4 import Exp4
from clipper_selection.greedy import EpsilonGreedy
from clipper_selection.policy import Policy
from clipper_selection.static import Static
from clipper_selection.thompson import Thompson
from clipper_selection.ucb1 import Ucb1

_OURS: dict[str, type[Policy]] = {
    policy.NAME: policy for policy in (Static, EpsilonGreedy, Ucb1, Thompson, Exp3, Exp4, Ensemble)
}


class UnknownPolicy(LookupError):
    """No policy of this name is installed here."""


def names() -> tuple[str, ...]:
    """The names of all policies that are installed here."""
    return (*_OURS, *sorted(plugins.found(plugins.POLICIES).keys() - _OURS.keys()))


def policy(name: str, parameters: Mapping[str, object] | None = None) -> Policy:
    """The policy of a name, with these parameters. No plug-in takes the name of one of ours.

    Raises:
        UnknownPolicy: there is none.
        BadParameter: it does not take a parameter, or not this value.
        TypeError: what a plug-in has under that name is no policy.
    """
    found = _OURS.get(name)
    if found is None:
        point = plugins.found(plugins.POLICIES).get(name)
        if point is None:
            raise UnknownPolicy(name)
        found = point.load()
        if not (isinstance(found, type) and issubclass(found, Policy)):
            raise TypeError(f'the plug-in "{name}" ({point.value}) is no class that derives from Policy')
    return found(parameters)
