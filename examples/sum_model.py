"""The model of the quickstart as a class: what deploy/compose.yaml serves."""


class SumModel:
    """Answers each vector with the sum of its numbers, as text."""

    def predict(self, inputs):
        return [str(sum(x)) for x in inputs]
