"""Deployers: each takes what a data scientist has in a session, and makes it a served model.

python   a function from a batch of inputs to a list of outputs, with whatever it refers to
"""
