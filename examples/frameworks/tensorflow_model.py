"""A TensorFlow module, saved as SavedModel."""

import numpy as np
import tensorflow as tf

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import tensorflow as tensorflow_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)


class Weighted(tf.Module):
    """A linear model."""

    def __init__(self):
        self.weights = tf.Variable([[1.0], [2.0], [3.0], [4.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def __call__(self, x):
        return tf.matmul(x, self.weights)[:, 0]


def predict(model, inputs):
    return model(inputs).numpy()


def run(clipper_conn):
    model = Weighted()
    wanted = predict(model, _ROWS[:1])[0]
    # A golden example also warms a replica up: the first query of all is slow.
    golden = [(_ROWS[0], lambda output: np.isclose(output, wanted, rtol=1e-4))]
    tensorflow_deployer.create_endpoint(clipper_conn, "tensorflow-example", "floats", predict, model, golden=golden)
    client = clipper_conn.client
    reply = client.predict(client.describe_application("tensorflow-example"), _ROWS[0])
    print("TensorFlow:", reply.output)
    return reply.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
