"""Between messages of clipper.v1 and what Python programs work with.

values     Python and JSON values to inputs and outputs, and back
changes    what a cluster has, and changes to it
declared   messages from what a file says, and back
resources  applications, models, replicas and predictions
"""
