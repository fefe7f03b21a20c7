"""Frameworks' models, from the files that clipper_admin's deployers have put into a model directory.

A manifest names one of these functions as its loader. Each returns what the user's function takes before the inputs.
Frameworks are imported where they are needed: a runtime has the one that its model was saved with.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from clipper_runtime.model_dir import ModelDir

FILES = "model"
"""The folder of a model directory that has the framework's own files."""


def xgboost_model(directory: ModelDir) -> tuple[Any, ...]:
    """A Booster, or a model of XGBoost's scikit-learn interface; the file is named after its class."""
    xgboost = _framework("xgboost")

    path = _only_file(directory)
    model = getattr(xgboost, path.stem)()
    model.load_model(path)
    return (model,)


def lightgbm_model(directory: ModelDir) -> tuple[Any, ...]:
    """A Booster."""
    lightgbm = _framework("lightgbm")

    return (lightgbm.Booster(model_file=_only_file(directory)),)


def onnx_model(directory: ModelDir) -> tuple[Any, ...]:
    """An InferenceSession of ONNX Runtime, on the best of what the machine offers."""
    onnxruntime = _framework("onnxruntime")

    (path,) = (directory.path / FILES).glob("*.onnx")
    return (onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers()),)


def torch_script(directory: ModelDir) -> tuple[Any, ...]:
    """A ScriptModule, in evaluation mode."""
    torch = _framework("torch")

    return (torch.jit.load(str(_only_file(directory)), map_location="cpu").eval(),)


def torch_module(directory: ModelDir) -> tuple[Any, ...]:
    """A Module, in evaluation mode: a skeleton without numbers, which are read as data, not as code."""
    torch = _framework("torch")

    module: Any = directory.unpickled("module.pkl")
    module.to_empty(device="cpu")
    places = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    with torch.no_grad():
        for name, numbers in torch.load(_only_file(directory), map_location="cpu", weights_only=True).items():
            places[name].copy_(numbers)
    return (module.eval(),)


def keras_model(directory: ModelDir) -> tuple[Any, ...]:
    """A Keras model; the file is named after the backend that it was made with."""
    path = _only_file(directory)
    os.environ.setdefault("KERAS_BACKEND", path.stem)
    keras = _framework("keras")
    return (keras.saving.load_model(path, compile=False),)


def tensorflow_saved_model(directory: ModelDir) -> tuple[Any, ...]:
    """What tf.saved_model.load returns."""
    tf = _tensorflow()
    return (tf.saved_model.load(str(directory.path / FILES)),)


def tensorflow_checkpoint(directory: ModelDir) -> tuple[Any, ...]:
    """A Session of TensorFlow 1 with a restored checkpoint."""
    tf = _tensorflow()
    (meta,) = (directory.path / FILES).glob("*.meta")
    session = _session(tf)
    with session.graph.as_default():
        saver = tf.compat.v1.train.import_meta_graph(str(meta), clear_devices=True)
        saver.restore(session, str(meta.with_suffix("")))
    return (session,)


def tensorflow_graph(directory: ModelDir) -> tuple[Any, ...]:
    """A Session of TensorFlow 1 with a frozen graph."""
    tf = _tensorflow()
    definition = tf.compat.v1.GraphDef.FromString(_only_file(directory).read_bytes())
    session = _session(tf)
    with session.graph.as_default():
        tf.import_graph_def(definition, name="")
    return (session,)


def spark_model(directory: ModelDir) -> tuple[Any, ...]:
    """A SparkSession of this process's own, whose workers run this Python, and a model of Spark ML or MLlib."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = _framework("pyspark.sql").SparkSession.builder.master("local[*]")
    session = spark.appName(directory.manifest.name).config("spark.ui.enabled", "false").getOrCreate()
    module, _, name = json.loads((directory.path / "spark.json").read_bytes())["class"].rpartition(".")
    model_class = getattr(_framework(module), name)
    url = (directory.path / FILES).as_uri()
    is_mllib = module.startswith("pyspark.mllib")
    return session, model_class.load(session.sparkContext, url) if is_mllib else model_class.load(url)


def _framework(name: str) -> Any:
    """Its module: untyped, so that type checking does not depend on what is installed."""
    return importlib.import_module(name)


def _only_file(directory: ModelDir) -> Path:
    (path,) = (directory.path / FILES).iterdir()
    return path


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    return _framework("tensorflow")


def _session(tf: Any) -> Any:
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    return tf.compat.v1.Session(graph=tf.Graph(), config=config)
