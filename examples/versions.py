"""A new version of a model, step by step: staged, proven by examples, on trial, live, and back again.

clipperctl start
python examples/versions.py
clipperctl stop
"""

from clipper_admin import ClipperConnection, ClipperException, LocalContainerManager
from clipper_admin.deployers import python as python_deployer

_EXAMPLES = [([1.0, 2.0], 3.0), ([0.5], lambda output: 0.4 < output < 0.6)]


def total(xs):
    return [float(sum(x)) for x in xs]


def broken(xs):
    return [float(len(x)) for x in xs]


def run(clipper_conn):
    python_deployer.create_endpoint(clipper_conn, "versions", "doubles", total, golden=_EXAMPLES)

    try:
        python_deployer.deploy_python_closure(clipper_conn, "versions", 2, "doubles", broken, golden=_EXAMPLES)
    except ClipperException as error:
        print(f"refused: {error}")

    def faster(xs):
        return xs.sum(axis=1) if xs.ndim == 2 else total(xs)

    python_deployer.deploy_python_closure(
        clipper_conn, "versions", 3, "doubles", faster, golden=_EXAMPLES, activate=False
    )
    print("staged, asked directly:", clipper_conn.ask_model_version("versions", 3, [[1.0, 2.0], [5.0, 5.0]]))
    clipper_conn.set_model_version("versions", 3, share=0.1)  # a tenth of the queries
    clipper_conn.set_model_version("versions", 3)  # all of them
    clipper_conn.set_model_version("versions", 1)  # back, at once: version 1 kept running
    print("current:", clipper_conn.get_current_model_version("versions"), "of", clipper_conn.get_all_models())
    clipper_conn.stop_inactive_model_versions(["versions"])
    return clipper_conn.get_current_model_version("versions")


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
