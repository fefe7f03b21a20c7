"""Keeps the configuration of a cluster in Redis and tells everybody of it.

In reading order:

resources               the values: applications, models, versions, replicas, instances
checks                  what their fields may be
state                   a configuration: looked up, and drafted anew
rules                   what a change does to it, or why it is refused
changes                 what callers may change, checked, alone or several together
store                   what the registry needs of a store: atomic commits, leases, a stream of changes
mirror, feed            the configuration in memory, kept up with the store; what watchers read
ledger                  how a change is decided on the mirror and committed to the store
registry                the use cases
leases                  ends what is not renewed; keeps this manager's own registration
records                 values as JSON
redis_scripts           what must happen at once in Redis, in Lua
redis_store             the store on Redis
selection_store         what policies have learned: read, replaced and forgotten here, taught by frontends
learned                 the use cases on that, and what forgets it
pages                   lists in pages
replica                 dials a replica back before it is registered; puts an operator's questions to one
convert, service        the gRPC faces: AdminService and RegistryService
metrics                 what it tells of the cluster
app                     settings, the command, wiring, start and stop
"""
