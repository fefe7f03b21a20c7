"""A Keras model, in Keras's own format."""

import keras
import numpy as np

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import keras as keras_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)


def predict(model, inputs):
    return model.predict_on_batch(inputs)[:, 0]


def run(clipper_conn):
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    wanted = predict(model, _ROWS[:1])[0]
    # A golden example also warms a replica up: the first query of all is slow.
    golden = [(_ROWS[0], lambda output: np.isclose(output, wanted, rtol=1e-4))]
    keras_deployer.create_endpoint(clipper_conn, "keras-example", "floats", predict, model, golden=golden)
    client = clipper_conn.client
    reply = client.predict(client.describe_application("keras-example"), _ROWS[0])
    print("Keras:", reply.output)
    return reply.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
