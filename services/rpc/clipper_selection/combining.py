"""Several answers become one: a weighted vote or a weighted mean, and how much of the weight agrees with it."""

from __future__ import annotations

from collections.abc import Sequence

from clipper_selection.parameters import Number, Parameter, Word
from clipper_selection.policy import Answer, Arm, Combined
from clipper_selection.values import Value, are_equal, is_label, numbers_of

PARAMETERS: tuple[Parameter, ...] = (
    Word(
        "combine",
        "auto",
        ("auto", "vote", "mean"),
        "vote for one of the answers, or their mean; auto: the mean of numbers, a vote over everything else",
    ),
    Number("tolerance", 0.1, 0.0, 1e12, "how far numbers may be apart to agree, relative to the larger of them and 1"),
)
"""What ensembles take."""


def combined(how: str, tolerance: float, asked: Sequence[Arm], answers: Sequence[Answer]) -> Combined:
    """One answer of one or more.

    Args:
        how: auto, vote or mean. What cannot be averaged is voted on.
        tolerance: how far numbers may be from the mean to agree with it.
        asked: everyone who was asked, with the weight of their say; above 0.
        answers: of those who answered, in the order of the asked.
    """
    weight_of = {arm.model: arm.weight for arm in asked}
    arrived = sum(weight_of[answer.model] for answer in answers)
    average = None if how == "vote" or (how == "auto" and is_label(answers[0].value)) else _mean(answers, weight_of)
    if average is None:
        value, form = _vote(answers, weight_of)
        agrees = [are_equal(answer.value, value) for answer in answers]
    else:
        value, form = average
        agrees = [agree(answer.value, value, tolerance) for answer in answers]
    agreed = sum(weight_of[answer.model] for answer, does in zip(answers, agrees, strict=True) if does)
    return Combined(
        value=value,
        confidence=min(1.0, agreed / sum(weight_of.values())),
        weights={answer.model: weight_of[answer.model] / arrived for answer in answers},
        form=form,
    )


def agree(one: Value, other: Value, tolerance: float) -> bool:
    """Whether they are equal, or no number is further from its partner than tolerance * max(1, the largest number)."""
    ours, theirs = numbers_of(one), numbers_of(other)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return are_equal(one, other)
    size = max(1.0, *(abs(number) for number in (*ours, *theirs))) if ours else 1.0
    return are_equal(one, other) or all(abs(a - b) <= tolerance * size for a, b in zip(ours, theirs, strict=True))


def _vote(answers: Sequence[Answer], weight_of: dict[str, float]) -> tuple[Value, str]:
    """The answer of the most weight, the first one of equals; and the heaviest model that gave it."""
    parties: list[list[Answer]] = []
    for answer in answers:
        party = next((each for each in parties if are_equal(each[0].value, answer.value)), None)
        if party is None:
            parties.append([answer])
        else:
            party.append(answer)
    winners = max(parties, key=lambda party: sum(weight_of[answer.model] for answer in party))
    speaker = max(winners, key=lambda answer: weight_of[answer.model])
    return speaker.value, speaker.model


def _mean(answers: Sequence[Answer], weight_of: dict[str, float]) -> tuple[Value, str] | None:
    """The mean of the numbers; None where there are none, or not equally many in each answer."""
    total = 0.0
    sums: list[float] = []
    for answer in answers:
        numbers = numbers_of(answer.value)
        if numbers is None or (sums and len(numbers) != len(sums)):
            return None
        weight = weight_of[answer.model]
        total += weight
        sums = [each + weight * number for each, number in zip(sums or [0.0] * len(numbers), numbers, strict=True)]
    means = tuple(each / total for each in sums)
    first = answers[0]
    return (means if isinstance(first.value, tuple) else means[0] if means else ()), first.model
