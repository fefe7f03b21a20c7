"""Deployers: each takes what a data scientist has in a session, and makes it a served model.

python      a function from a batch of inputs to a list of outputs, with whatever it refers to
sklearn     scikit-learn estimators and pipelines
xgboost     XGBoost models, in XGBoost's own format
lightgbm    LightGBM boosters, in LightGBM's own format
onnx        ONNX models, run by ONNX Runtime; PyTorch models exported to ONNX
pytorch     PyTorch modules and TorchScript
keras       Keras models, in Keras's own format
tensorflow  SavedModels, checkpoints, sessions and frozen graphs
pyspark     models of Spark ML and MLlib
saved       what all of them do

Each deploys a function of the model and a batch of inputs, and imports its framework only when it is called.
"""
