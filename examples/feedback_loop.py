"""Two models compete for one application; feedback shows which of them to trust.

clipperctl start
python examples/feedback_loop.py
clipperctl policy show feedback-loop
clipperctl stop
"""

import random

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import python as python_deployer

_ROUNDS = 150


def careful(xs):
    return [int(sum(x) > 0) for x in xs]


def careless(xs):
    return [int(x[0] > 0) for x in xs]


def run(clipper_conn):
    clipper_conn.register_application("feedback-loop", "doubles", None, 1000000)
    for name, func in (("careful", careful), ("careless", careless)):
        python_deployer.deploy_python_closure(clipper_conn, name, 1, "doubles", func)
    # A policy that learns before the second link: the static one has room for a single model.
    clipper_conn.set_selection_policy("feedback-loop", "thompson")
    for name in ("careful", "careless"):
        clipper_conn.link_model_to_app("feedback-loop", name)

    client = clipper_conn.client
    asked = client.describe_application("feedback-loop")
    used = []
    for number in range(_ROUNDS):
        vector = [random.gauss(0, 1), random.gauss(0, 2)]
        reply = client.predict(asked, vector)
        used += [each.model for each in reply.contributions]
        truth = int(sum(vector) > 0)  # turns out later; a token makes it safe to tell it twice
        clipper_conn.send_feedback("feedback-loop", query_id=reply.query_id, label=truth, token=f"round-{number}")
    early, late = used[:50].count("careful"), used[-50:].count("careful")
    print(f"of the first 50 queries the careful model got {early}, of the last 50 {late}")
    print("learned:", clipper_conn.get_selection_state("feedback-loop").values)
    return late


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
