"""A Spark pipeline: each replica has a Spark session of its own."""

import numpy as np
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import pyspark as pyspark_deployer

_ROWS = np.random.default_rng(1).normal(size=(200, 4))
_CLASSES = (_ROWS.sum(axis=1) > 0).astype(int)
_NAMES = ["a", "b", "c", "d"]


def predict(spark, model, inputs):
    frame = spark.createDataFrame([[float(each) for each in row] for row in inputs], ["a", "b", "c", "d"])
    return [row.prediction for row in model.transform(frame).select("prediction").collect()]


def session():
    return SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()


def run(clipper_conn, spark):
    rows = [(*map(float, row), float(label)) for row, label in zip(_ROWS, _CLASSES, strict=True)]
    stages = [VectorAssembler(inputCols=_NAMES, outputCol="features"), LogisticRegression(maxIter=10)]
    model = Pipeline(stages=stages).fit(spark.createDataFrame(rows, [*_NAMES, "label"]))
    # A golden example also warms a replica up: the first query of all takes seconds.
    golden = [(_ROWS[0], predict(spark, model, _ROWS[:1])[0])]
    sc = spark.sparkContext
    pyspark_deployer.create_endpoint(
        clipper_conn, "pyspark-example", "doubles", predict, model, sc, slo_micros=10000000, golden=golden
    )
    spark.stop()
    client = clipper_conn.client
    reply = client.predict(client.describe_application("pyspark-example"), _ROWS[0])
    print("Spark:", reply.output)
    return reply.output


if __name__ == "__main__":
    spark = session()  # first: in a process that has a connection of gRPC, starting Java may fail
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.connect()  # `clipperctl start` has started it
    run(clipper_conn, spark)
