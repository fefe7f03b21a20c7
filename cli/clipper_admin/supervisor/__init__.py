"""The supervisor of a local cluster: one small process that starts the others and starts again what dies.

It runs as `python -m clipper_admin.supervisor --cluster-dir DIR`; LocalContainerManager starts it and talks to it. It
knows processes and files only: no gRPC, no Redis, no models. In reading order:

records       what is kept on disk: settings, addresses, the replicas that are wanted
control       what one can ask a supervisor, and how the question travels
cluster_dir   where everything lies, and the lock that says whether a supervisor runs
commands      pure: the command line of every process
ports         which ports are free
backoff       pure: when to start again what has died
log_files     logs of bounded size, and reading their ends
launch        starts a program so that it ends with its parent, or outlives it
leftovers     ends what a killed supervisor left behind
child         one process: started, watched, started again, stopped
cluster       all of them, in the right order
handle        the supervisor from outside: started, found, asked
__main__      the process itself
"""
