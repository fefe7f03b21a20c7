"""Sends images: as raw bytes over gRPC, as base64 over REST. The model is asked with the bytes as they were.

clipperctl start
python examples/image_query.py
clipperctl stop
"""

import base64

import httpx
import numpy as np

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import python as python_deployer


def as_pgm(pixels):
    """A grey image in the simplest of formats: a line of text, then one byte per pixel."""
    height, width = pixels.shape
    return f"P5 {width} {height} 255\n".encode() + pixels.astype(np.uint8).tobytes()


def brightness(images):
    """Which half of each image is the brighter one, and by how much."""
    answers = []
    for image in images:
        header, _, body = image.partition(b"\n")
        _, width, height, _ = header.split()
        pixels = np.frombuffer(body, np.uint8).reshape(int(height), int(width))
        left, right = pixels[:, : int(width) // 2].mean(), pixels[:, int(width) // 2 :].mean()
        answers.append(
            {"brighter": "left" if left > right else "right", "difference": round(float(abs(left - right)), 1)}
        )
    return answers


def run(clipper_conn):
    python_deployer.create_endpoint(clipper_conn, name="image-query", input_type="bytes", func=brightness)
    image = as_pgm(np.tile(np.linspace(0, 255, 64), (64, 1)))

    body = {"input": base64.b64encode(image).decode()}
    reply = httpx.post(f"http://{clipper_conn.get_query_addr()}/image-query/predict", json=body, timeout=10).json()
    print("over REST:", reply["output"])

    client = clipper_conn.client
    prediction = client.predict(client.describe_application("image-query"), image)
    print("over gRPC:", prediction.output)
    return reply["output"], prediction.output


if __name__ == "__main__":
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn)
