"""An ONNX model, run by ONNX Runtime: whatever framework it comes from."""

import numpy as np
from onnx import TensorProto, helper

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import onnx as onnx_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4))


def model():
    """y = x * w, written by hand; usually an exporter writes it."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "weighted", inputs, outputs, [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def predict(session, inputs):
    return session.run(None, {"x": inputs})[0]


def run(clipper_conn):
    onnx_deployer.create_endpoint(clipper_conn, "onnx-example", "floats", predict, model())
    client = clipper_conn.client
    reply = client.predict(client.describe_application("onnx-example"), _ROWS[0])
    print("ONNX:", reply.output)
    return reply.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
