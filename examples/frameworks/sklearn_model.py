"""A scikit-learn pipeline, pickled together with the function that asks it."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import sklearn as sklearn_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4))
_CLASSES = (_ROWS.sum(axis=1) > 0).astype(int)


def predict(model, inputs):
    return model.predict_proba(inputs)[:, 1]


def run(clipper_conn):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(_ROWS, _CLASSES)
    sklearn_deployer.create_endpoint(clipper_conn, "sklearn-example", "doubles", predict, model)
    client = clipper_conn.client
    reply = client.predict(client.describe_application("sklearn-example"), _ROWS[0])
    print("scikit-learn:", reply.output)
    return reply.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
