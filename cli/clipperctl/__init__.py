"""The command clipperctl.

In reading order:

main       the command's process: its exit codes, and how errors are told
command    the command itself, and its subcommands
session    what every subcommand has: which cluster, which form of output, progress
output     tables for people; JSON and YAML for programs
texts      what is typed: durations, values, functions
clusters   start, stop, status
logs, log_filter  logs
apps       app register, list, show, unregister; link, unlink
models     model deploy, register, list, show, activate, scale, stop
predict    predict
policies, evaluate, offpolicy  policy list, show, set, reset, export, import, evaluate
feedback   feedback
declared   apply, diff, export: the configuration as a file
runtimes   runtime check
client     calls a runtime, for the rules that `runtime check` looks at
conformance  those rules
completion completion, and what names are offered
"""
