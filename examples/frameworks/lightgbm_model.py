"""A LightGBM booster, in LightGBM's own format."""

import lightgbm
import numpy as np

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import lightgbm as lightgbm_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4))
_CLASSES = (_ROWS.sum(axis=1) > 0).astype(int)


def predict(booster, inputs):
    return booster.predict(inputs)


def run(clipper_conn):
    data = lightgbm.Dataset(_ROWS, _CLASSES)
    model = lightgbm.train({"objective": "binary", "verbose": -1}, data, num_boost_round=10)
    lightgbm_deployer.create_endpoint(clipper_conn, "lightgbm-example", "doubles", predict, model)
    client = clipper_conn.client
    reply = client.predict(client.describe_application("lightgbm-example"), _ROWS[0])
    print("LightGBM:", reply.output)
    return reply.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
