"""Models of every framework, deployed from a session and served as the session itself would answer.

TensorFlow, Keras, PyTorch and Spark are too large for every checkout: `make test-frameworks` installs them and runs
their tests, which are skipped elsewhere. More models are deployed by the examples, which test_examples runs.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clusters import local_cluster
from frameworks import installed

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import (
    keras,
    lightgbm,
    onnx,
    pyspark,
    python,
    pytorch,
    tensorflow,
    xgboost,
)

# Frameworks warn of one another's versions.
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]

ROWS = np.random.default_rng(7).normal(size=(80, 4))
CLASSES = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
ASKED = ROWS[:5]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    with local_cluster(tmp_path_factory.mktemp("home")) as connection:
        yield connection


@pytest.fixture
def cluster(shared: ClipperConnection) -> Iterator[ClipperConnection]:
    yield shared
    shared.stop_all_model_containers()


def served(connection: ClipperConnection, inputs: Any = ASKED, name: str = "m") -> list[Any]:
    return connection.ask_model_version(name, 1, list(inputs), timeout_s=120)


def test_an_endpoint_is_made_in_one_call_and_half_of_one_never(cluster: ClipperConnection) -> None:
    ort = pytest.importorskip("onnxruntime")
    model = onnx_sum()
    wanted = ort.InferenceSession(model.SerializeToString()).run(None, {"x": ASKED.astype(np.float32)})[0]

    def predict(session: Any, xs: Any) -> Any:
        return session.run(None, {"x": xs})[0]

    with pytest.raises(ClipperException, match="golden example 1"):
        onnx.create_endpoint(cluster, "easy", "floats", predict, model, golden=[(ASKED[0], 7.5)])
    assert cluster.get_all_apps() == []
    golden = list(zip(ASKED, wanted, strict=True))
    onnx.create_endpoint(cluster, "easy", "floats", predict, model, golden=golden, labels=["by one call"])
    assert cluster.get_linked_models("easy") == ["easy"]
    client = cluster.client
    found = client.predict(client.describe_application("easy"), ASKED[0])
    assert not found.default
    assert found.output == pytest.approx(float(wanted[0]))
    cluster.unregister_application("easy")


def test_a_model_of_xgboosts_scikit_learn_interface_stays_one(cluster: ClipperConnection) -> None:
    xgb = pytest.importorskip("xgboost")
    model = xgb.XGBClassifier(n_estimators=4).fit(ROWS, CLASSES)

    def predict(model: Any, xs: Any) -> Any:
        return model.predict(xs)

    xgboost.deploy_xgboost_model(cluster, "m", 1, "doubles", predict, model)
    assert served(cluster) == model.predict(ASKED).tolist()


@pytest.mark.parametrize("given", ["model", "file", "folder"])
def test_a_model_of_onnx(cluster: ClipperConnection, tmp_path: Path, given: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    model = onnx_sum()
    content = model.SerializeToString()
    (tmp_path / "sum.onnx").write_bytes(content)
    forms = {"model": model, "file": str(tmp_path / "sum.onnx"), "folder": tmp_path}

    def predict(session: Any, xs: Any) -> Any:
        return session.run(None, {"x": xs})[0]

    onnx.deploy_onnx_model(cluster, "m", 1, "floats", predict, forms[given])
    wanted = ort.InferenceSession(content).run(None, {"x": ASKED.astype(np.float32)})[0]
    assert served(cluster) == pytest.approx(wanted.tolist())


def onnx_sum() -> Any:
    """A model of one operation: the sum of each row."""
    from onnx import TensorProto, helper

    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    graph = helper.make_graph(
        [node],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.frameworks
@pytest.mark.parametrize("kind", ["module", "script"])
def test_a_module_of_pytorch(cluster: ClipperConnection, kind: str) -> None:
    torch = installed("torch")

    class Net(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5))
            self.head = torch.nn.Linear(8, 1)
            self.register_buffer("shift", torch.ones(1), persistent=False)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x)) + self.shift

    model = Net()
    model(torch.randn(16, 4))  # the statistics of the batch norm
    asked = torch.tensor(ASKED, dtype=torch.float32)
    wanted = model.eval()(asked)[:, 0].detach().numpy()

    def predict(model: Any, xs: Any) -> Any:
        with torch.no_grad():
            return model(torch.from_numpy(xs))[:, 0].numpy()

    given = model.train() if kind == "module" else torch.jit.trace(model, asked)
    pytorch.deploy_pytorch_model(cluster, "m", 1, "floats", predict, given)
    assert served(cluster) == pytest.approx(wanted.tolist(), rel=1e-5)


@pytest.mark.frameworks
def test_a_module_of_pytorch_is_exported_to_onnx(cluster: ClipperConnection) -> None:
    torch = installed("torch")
    installed("onnxscript")
    model = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Sigmoid())
    example = torch.randn(3, 4)

    def predict(session: Any, xs: Any) -> Any:
        return session.run(None, {session.get_inputs()[0].name: xs})[0][:, 0]

    with pytest.raises(ClipperException, match="Caffe2"):
        onnx.deploy_pytorch_model(cluster, "m", 1, "floats", example, predict, model, onnx_backend="caffe2")
    onnx.deploy_pytorch_model(cluster, "m", 1, "floats", example, predict, model)
    wanted = model(torch.tensor(ASKED, dtype=torch.float32))[:, 0].detach().numpy()
    assert served(cluster) == pytest.approx(wanted.tolist(), rel=1e-4)


@pytest.mark.frameworks
@pytest.mark.parametrize("given", ["object", "keras", "h5"])
def test_a_model_of_keras(cluster: ClipperConnection, tmp_path: Path, given: str) -> None:
    k = installed("keras")
    model = k.Sequential([k.layers.Input((4,)), k.layers.Dense(3, "relu"), k.layers.Dense(1)])
    if given != "object":
        model.save(tmp_path / f"model.{given}")

    def predict(model: Any, xs: Any) -> Any:
        return model.predict_on_batch(xs)[:, 0]

    form = model if given == "object" else str(tmp_path / f"model.{given}")
    keras.deploy_keras_model(cluster, "m", 1, "floats", predict, form)
    assert served(cluster) == pytest.approx(model.predict_on_batch(ASKED)[:, 0].tolist(), rel=1e-4)


@pytest.mark.frameworks
def test_a_module_and_a_saved_model_of_tensorflow(cluster: ClipperConnection, tmp_path: Path) -> None:
    tf = installed("tensorflow")

    class Sum(tf.Module):  # type: ignore[name-defined,misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return tf.reduce_sum(x, axis=1)

    def predict(model: Any, xs: Any) -> Any:
        return model(xs).numpy()

    tensorflow.deploy_tensorflow_model(cluster, "m", 1, "floats", predict, Sum())
    assert served(cluster) == pytest.approx(ASKED.sum(axis=1).tolist(), rel=1e-5)
    tf.saved_model.save(Sum(), str(tmp_path / "saved"))
    tensorflow.deploy_tensorflow_model(cluster, "n", 1, "floats", predict, str(tmp_path / "saved"))
    assert served(cluster, name="n") == pytest.approx(ASKED.sum(axis=1).tolist(), rel=1e-5)
    with pytest.raises(ClipperException, match="is neither the folder of a SavedModel"):
        tensorflow.deploy_tensorflow_model(cluster, "o", 1, "floats", predict, str(tmp_path))


@pytest.mark.frameworks
def test_a_session_a_checkpoint_and_a_frozen_graph_of_tensorflow(cluster: ClipperConnection, tmp_path: Path) -> None:
    tf = installed("tensorflow")
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        xs = v1.placeholder(tf.float32, [None, 4], "xs")
        factor = v1.get_variable("factor", initializer=2.0, use_resource=False)
        tf.multiply(tf.reduce_sum(xs, axis=1), factor, "total")
        session = v1.Session(graph=graph)
        session.run(v1.global_variables_initializer())
        (tmp_path / "checkpoint").mkdir()
        v1.train.Saver().save(session, str(tmp_path / "checkpoint" / "model.ckpt"))
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["total"])
        (tmp_path / "frozen.pb").write_bytes(frozen.SerializeToString())

    def predict(session: Any, xs: Any) -> Any:
        return session.run("total:0", feed_dict={"xs:0": xs})

    forms = {"a": session, "b": str(tmp_path / "checkpoint"), "c": str(tmp_path / "frozen.pb")}
    for name, form in forms.items():
        tensorflow.deploy_tensorflow_model(cluster, name, 1, "floats", predict, form)
        assert served(cluster, name=name) == pytest.approx((2 * ASKED.sum(axis=1)).tolist(), rel=1e-5)
    session.close()


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session of Spark, of one thread, that keeps its tasks few: each has a price."""
    installed("pyspark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from pyspark.sql import SparkSession

    options = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        session = SparkSession.builder.master("local[1]").config(map=options).getOrCreate()
        yield session
        session.stop()


@pytest.mark.frameworks
def test_a_pipeline_of_spark_ml(cluster: ClipperConnection, spark: Any) -> None:
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler

    names = ["a", "b", "c", "d"]
    rows = [(*map(float, row), float(each)) for row, each in zip(ROWS, CLASSES, strict=True)]
    stages = [VectorAssembler(inputCols=names, outputCol="features"), LogisticRegression(maxIter=5)]
    pipeline = Pipeline(stages=stages).fit(spark.createDataFrame(rows, [*names, "label"]))

    def predict(spark: Any, model: Any, xs: Any) -> Any:
        found = model.transform(spark.createDataFrame([list(map(float, x)) for x in xs], ["a", "b", "c", "d"]))
        return [row.prediction for row in found.select("prediction").collect()]

    wanted = predict(spark, pipeline, ASKED)
    assert set(wanted) == {0.0, 1.0}
    pyspark.deploy_pyspark_model(cluster, "m", 1, "doubles", predict, pipeline, spark.sparkContext)
    assert served(cluster) == wanted


@pytest.mark.frameworks
def test_a_model_of_spark_mllib(cluster: ClipperConnection, spark: Any) -> None:
    from pyspark.mllib.classification import LogisticRegressionWithLBFGS
    from pyspark.mllib.regression import LabeledPoint

    points = [LabeledPoint(float(each), row.tolist()) for row, each in zip(ROWS, CLASSES, strict=True)]
    model = LogisticRegressionWithLBFGS.train(spark.sparkContext.parallelize(points, 1), iterations=2)

    def predict(spark: Any, model: Any, xs: Any) -> Any:
        return [str(model.predict(x)) for x in xs]

    wanted = predict(spark, model, ASKED)
    assert set(wanted) == {"0", "1"}
    pyspark.deploy_pyspark_model(cluster, "m", 1, "doubles", predict, model, spark.sparkContext)
    assert served(cluster) == wanted


def test_what_is_no_model_is_told_before_anything_is_saved(cluster: ClipperConnection, tmp_path: Path) -> None:
    def predict(model: Any, xs: Any) -> Any:
        return xs

    with pytest.raises(ClipperException, match="has no save_model"):
        xgboost.deploy_xgboost_model(cluster, "m", 1, "doubles", predict, object())
    with pytest.raises(ClipperException, match="is no Booster"):
        lightgbm.deploy_lightgbm_model(cluster, "m", 1, "doubles", predict, object())
    with pytest.raises(ClipperException, match=r"Give model.booster_"):
        lightgbm.deploy_lightgbm_model(cluster, "m", 1, "doubles", predict, SimpleNamespace(booster_=None))
    with pytest.raises(ClipperException, match="is no ONNX model"):
        onnx.deploy_onnx_model(cluster, "m", 1, "floats", predict, object())
    with pytest.raises(ClipperException, match=r"is no file that ends in \.onnx"):
        onnx.deploy_onnx_model(cluster, "m", 1, "floats", predict, str(tmp_path / "nothing.onnx"))
    with pytest.raises(ClipperException, match="cannot be saved by Spark"):
        pyspark.deploy_pyspark_model(cluster, "m", 1, "doubles", predict, object(), None)
    with pytest.raises(ClipperException, match="func must be a function"):
        python.deploy_python_closure(cluster, "m", 1, "doubles", "no function")  # type: ignore[arg-type]
    assert cluster.get_all_models() == []
