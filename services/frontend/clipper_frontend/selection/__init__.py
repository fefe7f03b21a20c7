"""Which models answer a query, by policy; the policies themselves are in `clipper_selection`.

panel     who may answer an application's queries, and who chooses among them
records   what was shown for a query; the seams to the states and to whoever takes records
learned   what was learned: this process's copies of states that others teach, too
lessons   what is taught, and what came of it
"""
