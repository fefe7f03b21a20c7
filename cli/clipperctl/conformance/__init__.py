"""Whether a model runtime keeps clipper.model.v1.ModelService's rules, whatever language it is written in.

In reading order:

verdicts   what a rule found: it holds, is broken, or could not be looked at
samples    inputs of every type, some of which no model should be sent
rules      the rules, one function each, in the order in which they are looked at
suite      looks at all of them
"""
