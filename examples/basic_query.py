"""Asks a sum model over REST, one vector at a time and many at once, and tells predictions from defaults.

clipperctl start
python examples/basic_query.py
clipperctl stop
"""

import httpx
import numpy as np

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import python as python_deployer


def feature_sum(xs):
    return [str(sum(x)) for x in xs]


def predict(address, body):
    """One request; the objective bounds how long it takes, whatever happens behind it."""
    return httpx.post(f"http://{address}/basic-query/predict", json=body, timeout=10).json()


def run(clipper_conn):
    python_deployer.create_endpoint(
        clipper_conn, name="basic-query", input_type="doubles", func=feature_sum, default_output="-1.0"
    )
    address = clipper_conn.get_query_addr()
    for _ in range(3):
        vector = np.random.random(200)
        reply = predict(address, {"input": list(vector)})
        if reply["default"]:
            print(f"default {reply['output']}: {reply['default_explanation']}")
        else:
            is_right = np.isclose(reply["output"], sum(vector))
            print(f"query {reply['query_id']}: {reply['output']}, which is {'right' if is_right else 'wrong'}")
    batch = predict(address, {"input_batch": [[1, 2], [3.5, 4], []]})["batch_predictions"]
    print("a batch:", [each["output"] for each in batch])
    return batch


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
