"""Selection policies: pure objects that say which models answer, how answers become one, and what feedback teaches.

Shared by those who choose (frontends), those who check what is configured (managers) and those who evaluate logs. It
imports nothing but the standard library. In reading order:

policy                       what a policy is: select, combine, observe; state in, increments out
values                       answers, as policies see them
static                       one model, or fixed shares of the queries
greedy, ucb1, thompson       one model per query, by counts
exp3                         one model per query, by weights
ensemble, exp4               all models, by fixed or learned weights
counts, weights, combining   what these are made of
losses, outcomes             what turned out, as losses of models
parameters                   what a policy can be told, and which values are allowed
catalogue, plugins           the policies that there are, also of installed packages
stored                       how states lie in Redis: text, no driver
"""

from clipper_selection import counts
from clipper_selection.catalogue import UnknownPolicy, names, policy
from clipper_selection.outcomes import of_label, of_reward
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
    "UnknownPolicy",
    "Value",
    "Word",
    "counts",
    "names",
    "of_label",
    "of_reward",
    "policy",
]
