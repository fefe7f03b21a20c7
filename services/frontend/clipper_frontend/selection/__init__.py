"""Which models answer a query, by policy; the policies themselves are in `clipper_selection`.

panel     who may answer an application's queries, and who chooses among them
records   what was shown for a query; the seams to the states and to whoever takes records
"""
