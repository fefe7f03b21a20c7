"""A PyTorch module: its numbers travel as data, its code with the function that asks it."""

import numpy as np
import torch

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import pytorch as pytorch_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)


def predict(model, inputs):
    with torch.no_grad():
        return model(torch.from_numpy(inputs))[:, 0].numpy()


def run(clipper_conn):
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    wanted = predict(model, _ROWS[:1])[0]
    golden = [(_ROWS[0], lambda output: np.isclose(output, wanted, rtol=1e-4))]
    pytorch_deployer.create_endpoint(clipper_conn, "pytorch-example", "floats", predict, model, golden=golden)
    client = clipper_conn.client
    reply = client.predict(client.describe_application("pytorch-example"), _ROWS[0])
    print("PyTorch:", reply.output)
    return reply.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
