"""Clipper in a minute: a cluster of its own, a real classifier and the README's sum model, asked over REST and gRPC.

    make demo        or: .venv/bin/python examples/demo.py

Trains a classifier of handwritten digits (scikit-learn's own data set), deploys it, asks it with curl and with gRPC
stubs, stops, and checks that no process is left. Free ports and a temporary
directory are used: nothing that runs is disturbed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clipper.v1 import predict_pb2, predict_pb2_grpc, values_pb2
from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import python as python_deployer

_SHADES = " .:-=+*#%@"
console = Console(highlight=False, soft_wrap=True)


def train():
    """A classifier of handwritten digits; and images, with what they show, that it has not seen."""
    digits = load_digits()
    images, unseen, labels, shown = train_test_split(digits.data, digits.target, test_size=0.25, random_state=7)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(images, labels)
    share = classifier.score(unseen, shown)
    console.print(f"  trained on {len(images)} images; right on {share:.1%} of {len(unseen)} unseen ones")
    return classifier, unseen, shown


def deploy(clipper_conn, classifier):
    """Both models, each linked to an application of its own."""

    def which_digit(images):
        return [int(digit) for digit in classifier.predict(images)]

    def feature_sum(xs):
        return [str(sum(x)) for x in xs]

    python_deployer.create_endpoint(
        clipper_conn, name="digits", input_type="doubles", func=which_digit, default_output="-1", slo_micros=1000000
    )
    clipper_conn.register_application(
        name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=1000000
    )
    python_deployer.deploy_python_closure(
        clipper_conn, name="sum-model", version=1, input_type="doubles", func=feature_sum
    )
    clipper_conn.link_model_to_app(app_name="hello-world", model_name="sum-model")


def clipped(text):
    """The beginning of a long text."""
    return text if len(text) <= 100 else f"{text[:100]}…"


def over_rest(address, application, body):
    """Asks with curl, and shows the command and the answer."""
    url = f"http://{address}/{application}/predict"
    text = json.dumps(body)
    command = ["curl", "-sS", "-X", "POST", "-H", "Content-Type: application/json", "-d", text, url]
    shown = f"$ curl -X POST -H 'Content-Type: application/json' -d '{clipped(text)}' {url}"
    console.print(f"  {shown}", style="dim", markup=False)
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    console.print(f"  {clipped(json.dumps(answer))}", markup=False)
    return answer


def over_grpc(address, application, vector):
    """Asks with the stubs that protoc has made from protos/, and shows question and answer."""
    with grpc.insecure_channel(address) as channel:
        stub = predict_pb2_grpc.PredictServiceStub(channel)
        request = predict_pb2.PredictRequest(
            application=application, input=values_pb2.Input(doubles=values_pb2.Doubles(values=vector))
        )
        reply = stub.Predict(request, timeout=5)
    console.print(f"  Predict(application={application!r}, input=doubles[{len(vector)}])", style="dim", markup=False)
    output = getattr(reply.output, reply.output.WhichOneof("value"))
    console.print(f"  query_id={reply.query_id} output={output!r} default={reply.default}", markup=False)
    return output, reply.default


def draw(image):
    """The image as text."""
    for row in image.reshape(8, 8):
        console.print("    " + "".join(_SHADES[int(each * 9 / 16)] * 2 for each in row), markup=False)


def ask(clipper_conn, images, shown):
    """Puts questions to both applications, and checks the answers."""
    query, frontend = clipper_conn.get_query_addr(), clipper_conn.cm.get_frontend_addr()

    console.rule("the sum of a vector, over REST and gRPC", align="left")
    answer = over_rest(query, "hello-world", {"input": [1.1, 2.2, 3.3]})
    assert not answer["default"], answer
    assert abs(answer["output"] - 6.6) < 1e-9, answer
    output, is_default = over_grpc(frontend, "hello-world", [1.1, 2.2, 3.3])
    assert not is_default
    assert abs(float(output) - 6.6) < 1e-9

    console.rule("which digit is this? over REST and gRPC", align="left")
    draw(images[0])
    answer = over_rest(query, "digits", {"input": images[0].tolist()})
    assert answer["output"] == shown[0], f"it shows a {shown[0]}"
    output, _ = over_grpc(frontend, "digits", images[0].tolist())
    assert int(output) == shown[0], f"it shows a {shown[0]}"

    console.rule("a hundred digits in one request", align="left")
    answer = over_rest(query, "digits", {"input_batch": images[:100].tolist()})
    answers = [each["output"] for each in answer["batch_predictions"]]
    right = sum(got == want for got, want in zip(answers, shown, strict=False))
    console.print(f"  {right} of {len(answers)} are right", markup=False)
    assert len(answers) == 100
    assert right > 90


def is_there(pid):
    """Whether a process is there; one that has ended and only waits to be noticed is not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def main():
    """Runs the demo; returns what the process exits with."""
    began = time.monotonic()
    if shutil.which("curl") is None:
        sys.exit("The demo asks with curl, which is not on PATH.")
    console.rule("training", align="left")
    classifier, images, shown = train()
    with tempfile.TemporaryDirectory(prefix="clipper-demo-") as home:
        cluster = LocalContainerManager(
            "demo", home=home, clipper_query_port=0, clipper_management_port=0, clipper_rpc_port=0, manager_port=0
        )
        clipper_conn = ClipperConnection(cluster)
        pids = []
        try:
            console.rule("starting a cluster, deploying two models", align="left")
            clipper_conn.start_clipper()
            deploy(clipper_conn, classifier)
            status = cluster.status()
            pids = [status.pid, *(each["pid"] for each in status.processes)]
            ask(clipper_conn, images, shown)
        except BaseException:
            for log in cluster.log_files():
                console.print(f"--- {log.name}\n{log.read_text()[-2000:]}", markup=False)
            raise
        finally:
            console.rule("stopping", align="left")
            clipper_conn.stop_all()
        left = [pid for pid in pids if is_there(pid)]
        assert not left, f"still there: {left}"
        console.print(f"  {len(pids)} processes are gone; the demo took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
