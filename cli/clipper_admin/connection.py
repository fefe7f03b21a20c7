"""ClipperConnection: everything that one can do with a cluster, under Clipper's names (contract 1.3)."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from clipper_admin import given, progress, views
from clipper_admin.client import Client
from clipper_admin.container_manager import ContainerManager
from clipper_admin.exceptions import ClipperException, found_or_none, translated
from clipper_admin.learning import Learning
from clipper_admin.resources import Application, Description
from clipper_admin.versions import Versions
from clipper_rpc.errors import ClipperError, Code
from clipper_runtime.names import InputType, checked_name

_HEARD_WITHIN_S = 2.0
_HEARD_PAUSE_S = 0.005
_MICROS = (-(2**62), 2**62)
"""What is no time at all; the manager says which objectives are allowed."""
_log = logging.getLogger(__name__)


class ClipperConnection(Versions, Learning):
    """A connection to one cluster, through the manager of its containers.

    Before `start_clipper` or `connect`, methods that need a cluster raise UnconnectedException. Whatever cannot be done
    raises ClipperException, whose `__cause__` is the domain error of the service that refused.
    """

    def __init__(self, container_manager: ContainerManager) -> None:
        progress.show()
        self.cm = container_manager
        self._connected: Client | None = None

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<ClipperConnection to {self.cm!r}, {state}>"

    @property
    def connected(self) -> bool:
        """Whether a cluster was started or found."""
        return self._connected is not None

    # Cluster

    def start_clipper(
        self,
        query_frontend_image: str | None = None,
        mgmt_frontend_image: str | None = None,
        frontend_exporter_image: str | None = None,
        cache_size: int = 33554432,
        qf_http_thread_pool_size: int = 1,
        qf_http_timeout_request: int = 5,
        qf_http_timeout_content: int = 300,
        num_frontend_replicas: int = 1,
    ) -> None:
        """Starts a cluster, waits until it answers, and connects to it. Images are for managers that have images."""
        self.cm.start_clipper(
            query_frontend_image,
            mgmt_frontend_image,
            frontend_exporter_image,
            cache_size,
            qf_http_thread_pool_size,
            qf_http_timeout_request,
            qf_http_timeout_content,
            num_frontend_replicas,
        )
        self._use_cluster()
        _log.info("Clipper is running")

    def connect(self) -> None:
        """Connects to the running cluster of the container manager's name."""
        self.cm.connect()
        self._use_cluster()
        _log.info("Successfully connected to Clipper cluster %s", self.cm.cluster_name)

    def stop_all(self, graceful: bool = True) -> None:
        """Stops the cluster with all models; queries under way are answered first, unless not `graceful`."""
        self.cm.stop_all(graceful=graceful)
        self.close()
        _log.info("Stopped all Clipper cluster and all model containers")

    def close(self) -> None:
        """Ends the connection; the cluster goes on."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    # Applications

    def register_application(
        self,
        name: str,
        input_type: str,
        default_output: Any,
        slo_micros: int,
        *,
        policy: str = "static",
        policy_parameters: Mapping[str, Any] | None = None,
        confidence_threshold: float = 0.0,
    ) -> None:
        """Registers an application: from then on it can be queried.

        Args:
            name: lower-case letters, digits and inner dashes.
            input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
            default_output: answered when no prediction can be given in time; usually text. None: such queries fail
                with a status instead.
            slo_micros: the time within which every query is answered, in microseconds; 100000 is a good start.
            policy: how it chooses among its linked models: "static", "epsilon_greedy", "ucb1", "thompson", "exp3",
                "exp4", "ensemble" or that of a plug-in (docs/selection.md).
            policy_parameters: the policy's, by name.
            confidence_threshold: below this confidence, from 0 to 1, the default output is answered.
        """
        slo_micros = given.whole(slo_micros, "slo_micros", *_MICROS, "give whole microseconds; 100000 is a good start")
        with translated():
            application = Application(
                checked_name(name),
                InputType.parse(input_type),
                slo_micros,
                default_output is not None,
                default_output,
                policy=policy,
                policy_parameters=policy_parameters or {},
                confidence_threshold=confidence_threshold,
            )
            self.client.create_application(application)
        self._wait_for_frontend(name, lambda found: found is not None)
        _log.info("Application %s was successfully registered", name)

    def unregister_application(self, name: str) -> None:
        """Deletes an application with its links. Its traffic ends at once."""
        with translated():
            self.client.delete_application(name)
        self._wait_for_frontend(name, lambda found: found is None)
        _log.info("Application %s was successfully unregistered", name)

    def delete_application(self, name: str) -> None:
        """An old name of `unregister_application`."""
        warnings.warn("delete_application is now unregister_application", DeprecationWarning, stacklevel=2)
        self.unregister_application(name)

    def link_model_to_app(self, app_name: str, model_name: str, weight: float = 0) -> None:
        """Routes an application's queries to a model. Their input types must agree.

        Args:
            app_name: the application.
            model_name: the model.
            weight: its share of the queries, or its say in an ensemble's answers, relative to other linked models; 0
                stands for 1. An application whose policy is "static" has one model unless weights are given. Linking
                again with another weight changes it; users and sessions (`context`) move no more than they must.
        """
        with translated():
            self.client.link_model(app_name, model_name, weight)
        self._wait_for_frontend(app_name, lambda found: found is None or model_name in found.models)
        _log.info("Model %s is now linked to application %s", model_name, app_name)

    def unlink_model_from_app(self, app_name: str, model_name: str) -> None:
        """Ends the routing of an application's queries to a model."""
        with translated():
            self.client.unlink_model(app_name, model_name)
        self._wait_for_frontend(app_name, lambda found: found is None or model_name not in found.models)
        _log.info("Model %s is no longer linked to application %s", model_name, app_name)

    def get_all_apps(self, verbose: bool = False) -> list[Any]:
        """The names of all applications or, if `verbose`, a dict for each."""
        with translated():
            found = self.client.list_applications()
        return [views.application(each) if verbose else each.name for each in found]

    def get_app_info(self, name: str) -> dict[str, Any] | None:
        """What is known of an application; None, with a warning, if there is none."""
        return found_or_none(lambda: views.application(self.client.get_application(name)), f"Application {name}")

    def get_linked_models(self, app_name: str) -> list[str]:
        """The names of the models that an application is linked to."""
        with translated():
            return [link.model for link in self.client.get_application(app_name).links]

    # Looking in

    def get_clipper_logs(self, logging_dir: str = "clipper_logs/") -> list[str]:
        """Writes the logs of all processes into a directory and returns the files' paths."""
        self.client  # noqa: B018  # raises where there is no connection
        try:
            return self.cm.get_logs(logging_dir)
        except OSError as error:
            raise ClipperException(f"Logs cannot be written to {logging_dir}: {error}") from error

    def inspect_instance(self) -> dict[str, Any]:
        """The cluster's metrics, as a dict."""
        import httpx  # here and below, since most programs never come here and these take long to import

        url = f"http://{self.get_query_addr()}/metrics"
        try:
            reply = httpx.get(url, timeout=10, trust_env=False)
        except httpx.HTTPError as error:
            raise ClipperException(f"{url} cannot be read: {error}") from error
        if reply.status_code != httpx.codes.OK:
            raise ClipperException(f"{url} answered {reply.status_code}: {reply.text[:500]}")
        found: dict[str, Any] = reply.json()
        return found

    def get_query_addr(self) -> str:
        """Where REST predictions are reached: host:port."""
        self.client  # noqa: B018
        return self.cm.get_query_addr()

    def get_metric_addr(self) -> str:
        """Where metrics are reached: host:port."""
        self.client  # noqa: B018
        return self.cm.get_metric_addr()

    def test_predict_function(self, query: Mapping[str, Any], func: Callable[[Any], Any], input_type: str) -> Any:
        """Tries a function here as a replica would call it, without a cluster; returns its outputs.

        Args:
            query: as REST takes it: {"input": X} or {"input_batch": [X, …]}.
            func: the function, from a batch of inputs to a list of outputs.
            input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
        """
        from clipper_admin import rehearsal

        return rehearsal.rehearse(query, func, input_type)

    # Parts of the above

    def _use_cluster(self) -> None:
        self.close()
        self._connected = Client(self.cm.get_manager_addr(), self.cm.get_frontend_addr())

    def _wait_for_frontend(self, application: str, has_heard: Callable[[Description | None], bool]) -> None:
        """Waits until the frontend has heard of a change, so that the next query is answered by it.

        Only for a moment: a change is made whether or not frontends can be reached, and they hear of it when they can.
        """
        until = time.monotonic() + _HEARD_WITHIN_S
        while (left_s := until - time.monotonic()) > 0:
            try:
                found = self.client.describe_application(application, timeout_s=left_s)
            except ClipperError as error:
                if error.code != Code.NOT_FOUND:
                    _log.debug("The frontend cannot be asked whether it has heard of the change: %s", error)
                    return
                found = None
            if has_heard(found):
                return
            time.sleep(_HEARD_PAUSE_S)
