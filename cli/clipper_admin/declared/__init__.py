"""A cluster's configuration as a file: read, compared with what is, applied in one step, written.

In reading order:

document   YAML with the place of everything in it
problems   what is wrong with a file, each with its place
wanted     what a file says: applications, models, versions, links
plan       the changes from what is to what is wanted
apply      a file against a cluster: looked at as a whole, then applied in one step
render     the changes for people; what is, as a file

Messages are made and read by convert.declared; `clipperctl apply`, `diff` and `export` are the faces.
"""
