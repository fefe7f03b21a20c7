"""The frontend: answers every query of an application in time, with a prediction or with the reason why not.

In reading order, along the way of a query:

service, feedback, calls  the door: raw calls to queries and back
codec                     bytes to fields and back, without looking inside inputs and outputs
predictor                 the hall: which models, until when, what if nobody answers
routes                    a map on the wall: who answers whom, one immutable table
chooser, selection        where a policy chooses: who is asked, and what was shown
joint, outputs            one query that several models answer; answers compared and averaged
query                     one query, answered exactly once
cached, flight, cache     known already? one computation for all who ask the same at once
dispatch                  the stairs: queries to the pool of their version
pool                      one queue, and the decision which replica gets what
admission                 can it be in time? how long may a batch take?
roster, member            the replicas of one version: who is up, and how fast
batching                  the clock room: who goes now?
batch_policies            how many? fixed; aimd and quantile learn it
latency, choice           what was learned of a replica; why a batch is as large as it is
carriage, transit         batches under way, and their answers
hedging                   is a second try worth it?
deadlines, clock          one timer for all deadlines
runtime, replica          the back door: a batch to a model runtime

the way of feedback:

teaching                  what it does: an outcome, losses, increments, stored once
learning                  what was learned: copies of states, read and followed
recall                    what was shown, remembered by query id
prediction_log            the same in files, for those who evaluate policies
shadowing                 models that get copies of queries, and are compared
selection_store           Redis, for all of these
school                    all of that, wired

and beside it, what keeps it up to date:

client                    calls to whichever manager answers
watch, convert            the configuration, followed
query_ids, instance       ids in ranges; this process, shown to people
observing, metrics        who looks on: counts queries and batches, follows single ones
causes, metrics_export    how that is told: why there was no prediction, and all numbers by their names
recent                    what became of the queries that were answered last
stats, profiles           the same to people, over InspectService; what was learned of a model
explaining                what happened to one query
backoff                   how long to wait before trying again
app, settings, workers    the process: wiring, flags, several processes on one port
"""
