"""Selection policies: pure objects that say which models answer, how answers become one, and what feedback teaches.

Shared by those who choose (frontends), those who check what is configured (managers) and those who evaluate logs. It
imports nothing but the standard library. In reading order:

policy       what a policy is: select, combine, observe; state in, increments out
values       answers, as policies see them
parameters   what a policy can be told, and which values are allowed
"""

from clipper_selection.parameters import BadParameter, Number, Parameter, Word
from clipper_selection.policy import Answer, Arm, Bound, Choice, Combined, Outcome, Policy, State, Uniform
from clipper_selection.values import Value

__all__ = [
    "Answer",
    "Arm",
    "BadParameter",
    "Bound",
    "Choice",
    "Combined",
    "Number",
    "Outcome",
    "Parameter",
    "Policy",
    "State",
    "Uniform",
    "Value",
    "Word",
]
