"""A cluster as Docker containers: what DockerContainerManager is made of.

In reading order:

labels         how containers are found again: Clipper's label keys, and names
options        pure: what a cluster is made with, checked
images         which image each part runs
recipes        what each container of a cluster is
engine         the Docker engine: containers started, found, stopped; its errors in our words
found          what there is of a cluster
waiting        until what was started is up
launch         the parts started in their order, and waited for
model_images   images of models: built with progress, pushed where a registry is named
logging_driver logs of all containers gathered in one (Fluentd)
"""
