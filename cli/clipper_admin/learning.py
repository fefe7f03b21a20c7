"""What one can do with feedback and policies; all of it beyond Clipper's own Python API, which had none."""

from __future__ import annotations

import logging
from typing import Any

from clipper_admin.client import Client
from clipper_admin.exceptions import UnconnectedException, translated
from clipper_admin.learned import Acknowledged, Policy, SelectionState, Shadow

_log = logging.getLogger(__name__)


class Learning:
    """The part of ClipperConnection that is about learning which model to trust."""

    _connected: Client | None

    @property
    def _client(self) -> Client:
        if self._connected is None:
            raise UnconnectedException
        return self._connected

    def set_selection_policy(
        self, app_name: str, policy: str, *, confidence_threshold: float = 0.0, **parameters: Any
    ) -> None:
        """Has an application choose among its linked models by a policy.

        What was learned under a policy of another name is forgotten; other parameters keep it.

        Args:
            app_name: the application.
            policy: "static", "epsilon_greedy", "ucb1", "thompson", "exp3", "exp4", "ensemble", or a plug-in's name.
            confidence_threshold: predictions with a lower confidence are replaced by the default output.
            parameters: the policy's parameters, such as epsilon=0.1; left out ones have their default.
        """
        with translated():
            self._client.set_policy(app_name, Policy(policy, parameters, confidence_threshold))
        _log.info("Application %s now chooses by policy %s", app_name, policy)

    def get_selection_policy(self, app_name: str) -> Policy:
        """How an application chooses among its linked models."""
        with translated():
            return self._client.get_policy(app_name)

    def send_feedback(
        self,
        app_name: str,
        *,
        query_id: int | None = None,
        input: Any = None,  # noqa: A002  # as in a query
        label: Any = None,
        reward: float | None = None,
        context: str = "",
        token: str = "",
    ) -> Acknowledged:
        """Tells what turned out to be true; once it returns, what that changed is stored.

        Args:
            app_name: the application.
            query_id: the id of an answered query; or give an `input`.
            input: an input as in a query, with its `label` (Clipper's /update).
            label: the true output.
            reward: how good the answer was, from 0 to 1; only with `query_id`.
            context: the user or session that the input belongs to; the query's own with `query_id`.
            token: makes it safe to send again: the same token counts once.
        """
        with translated():
            asked = None if query_id is not None else self._client.describe_application(app_name)
            return self._client.send_feedback(
                app_name,
                query_id=query_id,
                asked=asked,
                value=input,
                context=context,
                label=label,
                reward=reward,
                token=token,
            )

    def get_selection_state(self, app_name: str, context: str = "") -> SelectionState:
        """What an application has learned, or what was learned for one of its users or sessions."""
        with translated():
            return self._client.get_selection_state(app_name, context)

    def reset_selection_state(self, app_name: str, context: str = "") -> None:
        """Forgets what an application has learned: all of it, or that for one user or session."""
        with translated():
            self._client.reset_selection_state(app_name, context)
        _log.info("What application %s has learned is forgotten", app_name)

    def shadow_model_of_app(self, app_name: str, model_name: str, share: float = 1.0) -> None:
        """Gives a model copies of an application's queries; it never has a say in answers, and is compared with them.

        `unlink_model_from_app` ends it.
        """
        with translated():
            self._client.link_shadow(app_name, model_name, share)
        _log.info("Model %s now shadows application %s", model_name, app_name)

    def compare_shadows(self, app_name: str) -> list[Shadow]:
        """How the shadows of an application do: agreement, latency and errors."""
        with translated():
            return self._client.compare_shadows(app_name)
