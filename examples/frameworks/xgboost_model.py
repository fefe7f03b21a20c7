"""An XGBoost model, in XGBoost's own format."""

import numpy as np
import xgboost

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import xgboost as xgboost_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4))
_CLASSES = (_ROWS.sum(axis=1) > 0).astype(int)


def predict(model, inputs):
    return model.predict(xgboost.DMatrix(inputs))


def run(clipper_conn):
    model = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(_ROWS, _CLASSES), 10)
    xgboost_deployer.create_endpoint(clipper_conn, "xgboost-example", "doubles", predict, model)
    client = clipper_conn.client
    reply = client.predict(client.describe_application("xgboost-example"), _ROWS[0])
    print("XGBoost:", reply.output)
    return reply.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
