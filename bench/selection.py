"""Selection on real data, through a running cluster: do ensembles, confidence and personalisation pay?

    python bench/selection.py [--seed 0] [--train 600] [--users 12]

Trains scikit-learn models on data that scikit-learn ships, starts a local cluster of its own (free ports, a temporary
directory), deploys every model with its own runtime process, and asks and teaches it as clients do:

1. handwritten digits, five models: each alone, their vote, and exp4 that has learned from feedback
2. of the vote's answers: how often it was wrong, by how many models agreed (paper, figure 7: a confidence signal)
3. tumours, five models that answer probabilities: each alone, and their mean
4. users who write in different ways: one exp4 for all against one for each user (`context`), and against the model for
   the way that the user says to write in, which a quarter tell wrong (paper, figure 10)

Paper: Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import python as python_deployer
from clipper_rpc.errors import ClipperError

SLO_MICROS = 5_000_000
_AT_ONCE = 40
STYLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upright": lambda images: images,
    "turned": lambda images: np.rot90(images, 1, (1, 2)),
    "mirrored": lambda images: images[:, :, ::-1],
    "inverted": lambda images: 16 - images,
}


def families(seed: int) -> dict[str, Any]:
    """Five models that have little in common."""
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "forest": RandomForestClassifier(100, random_state=seed),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
        "network": make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=600, random_state=seed)),
        "discriminant": LinearDiscriminantAnalysis(),
    }


@dataclass
class Bench:
    """A running cluster."""

    connection: ClipperConnection
    console: Console

    def deploy(self, name: str, model: Any, *, probabilities: bool = False) -> None:
        """Deploys a fitted model, and registers an application of its own for it."""

        def classes(xs):  # type: ignore[no-untyped-def]  # a model as its users write it
            return [int(each) for each in model.predict(np.asarray(xs))]

        def shares(xs):  # type: ignore[no-untyped-def]
            return list(model.predict_proba(np.asarray(xs)))

        func = shares if probabilities else classes
        python_deployer.deploy_python_closure(self.connection, name, 1, "doubles", func)
        self.application(f"only-{name}", [name])
        self.console.print(f"  deployed {name}", style="dim")

    def application(self, name: str, models: Sequence[str], policy: str = "static", **parameters: Any) -> None:
        """An application over models; without a default, so that failures are seen."""
        register = self.connection.register_application
        register(name, "doubles", None, SLO_MICROS, policy=policy, policy_parameters=parameters)
        for model in models:
            self.connection.link_model_to_app(name, model)

    def ask(self, application: str, inputs: np.ndarray) -> list[Any]:
        """Predictions, all of which must be there."""
        client, found = self.connection.client, []
        asked = client.describe_application(application)
        for start in range(0, len(inputs), _AT_ONCE):
            found += client.predict_batch(asked, [list(map(float, each)) for each in inputs[start : start + _AT_ONCE]])
        for each in found:
            if isinstance(each, ClipperError):
                raise each
        return found

    def converse(self, application: str, value: np.ndarray, truth: int, context: str = "") -> bool:
        """Asks, tells what was true, and says whether the answer was wrong."""
        client = self.connection.client
        reply = client.predict(client.describe_application(application), list(map(float, value)), context=context)
        self.connection.send_feedback(application, query_id=reply.query_id, label=truth)
        return bool(reply.output != truth)

    def error(self, application: str, inputs: np.ndarray, truths: np.ndarray) -> float:
        """The share of answers that are wrong; of probabilities the largest is the answer."""
        answers = [
            np.argmax(each.output) if np.ndim(each.output) else each.output for each in self.ask(application, inputs)
        ]
        return float(np.mean(np.asarray(answers) != truths))


@contextmanager
def cluster(console: Console) -> Iterator[Bench]:
    """A local cluster, gone afterwards."""
    with tempfile.TemporaryDirectory() as home:
        ports = dict.fromkeys(("clipper_query_port", "clipper_management_port", "clipper_rpc_port", "manager_port"), 0)
        connection = ClipperConnection(LocalContainerManager("selection", home=Path(home), **ports))
        connection.start_clipper()
        try:
            yield Bench(connection, console)
        finally:
            connection.stop_all()


def table_of_errors(title: str, errors: Mapping[str, float], singles: Sequence[str]) -> Table:
    """Each error, and how it compares to the best single model."""
    best = min(errors[name] for name in singles)
    table = Table("who answers", "error", "against the best single", title=title)
    for name, error in errors.items():
        against = "" if name in singles else f"{(error - best) / best:+.1%}"
        table.add_row(name, f"{error:.2%}", against)
    return table


def digits(bench: Bench, seed: int, train: int) -> None:
    """One and two."""
    data = load_digits()
    inputs, rest, truths, told = train_test_split(
        data.data, data.target, train_size=train, random_state=seed, stratify=data.target
    )
    taught, unseen, labels, shown = train_test_split(rest, told, train_size=200, random_state=seed)
    models = families(seed)
    for name, model in models.items():
        bench.deploy(name, model.fit(inputs, truths))
    bench.application("vote", list(models), "ensemble", combine="vote")
    bench.application("learned", list(models), "exp4", combine="vote")
    for value, label in zip(taught, labels, strict=True):
        bench.converse("learned", value, int(label))
    errors = {name: bench.error(f"only-{name}", unseen, shown) for name in models}
    errors["vote of all (ensemble)"] = bench.error("vote", unseen, shown)
    errors[f"after {len(taught)} feedbacks (exp4)"] = bench.error("learned", unseen, shown)
    bench.console.print(table_of_errors(f"digits: {len(unseen)} unseen images", errors, list(models)))
    replies = bench.ask("vote", unseen)
    wrong = np.asarray([reply.output for reply in replies]) != shown
    agreed = np.asarray([round(reply.confidence * len(models)) for reply in replies])
    table = Table("models that agree", "confidence", "answers", "error", title="agreement tells how sure an answer is")
    for count in sorted(set(agreed.tolist()), reverse=True):
        chosen = agreed == count
        row = f"{count / len(models):.1f}", str(chosen.sum()), f"{wrong[chosen].mean():.2%}"
        table.add_row(f"{count} of {len(models)}", *row)
    bench.console.print(table)


def tumours(bench: Bench, seed: int) -> None:
    """Three."""
    data = load_breast_cancer()
    inputs, unseen, truths, shown = train_test_split(
        data.data, data.target, train_size=0.5, random_state=seed, stratify=data.target
    )
    models = {f"tumour-{name}": model.fit(inputs, truths) for name, model in families(seed).items()}
    for name, model in models.items():
        bench.deploy(name, model, probabilities=True)
    bench.application("mean", list(models), "ensemble")
    errors = {name: bench.error(f"only-{name}", unseen, shown) for name in models}
    errors["mean of the probabilities (ensemble)"] = bench.error("mean", unseen, shown)
    bench.console.print(table_of_errors(f"tumours: {len(unseen)} unseen cases", errors, list(models)))


def personal(bench: Bench, seed: int, users: int, queries: int = 40) -> None:
    """Four."""
    data, random_ = load_digits(), random.Random(seed)
    images, unseen, truths, shown = train_test_split(
        data.images, data.target, train_size=900, random_state=seed, stratify=data.target
    )
    for style, model in zip(STYLES, families(seed).values(), strict=False):
        bench.deploy(style, model.fit(STYLES[style](images).reshape(len(images), -1), truths))
    for name in ("everybody", "each-user"):
        bench.application(name, list(STYLES), "exp4", combine="vote", eta=0.5)
    writes = [random_.choice(list(STYLES)) for _ in range(users)]
    says = [style if random_.random() < 0.75 else random_.choice([*STYLES]) for style in writes]
    wrong: dict[str, list[list[bool]]] = {"everybody": [], "each-user": [], "reported": []}
    for _ in range(queries):
        for each in wrong.values():
            each.append([])
        for user in range(users):
            at = random_.randrange(len(unseen))
            value, truth = STYLES[writes[user]](unseen[at : at + 1]).reshape(-1), int(shown[at])
            wrong["everybody"][-1].append(bench.converse("everybody", value, truth))
            wrong["each-user"][-1].append(bench.converse("each-user", value, truth, context=f"user-{user}"))
            [reply] = bench.ask(f"only-{says[user]}", value[None])
            wrong["reported"][-1].append(reply.output != truth)
    titles = {
        "everybody": "one exp4 for everybody",
        "reported": "the model for what the user says",
        "each-user": "an exp4 for each user (context)",
    }
    spans = [(0, 5), (5, 10), (10, queries)]
    columns = [f"queries {first + 1} to {end}" for first, end in spans]
    table = Table("who answers", *columns, title=f"{users} users who write in {len(STYLES)} ways")
    for name, title in titles.items():
        table.add_row(title, *(f"{np.mean(wrong[name][first:end]):.1%}" for first, end in spans))
    bench.console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of splits, models and users (default 0)")
    parser.add_argument("--train", type=int, default=600, help="how many of 1797 digits models are trained on")
    parser.add_argument("--users", type=int, default=12, help="how many users there are (default 12)")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
    logging.getLogger("clipper_admin").setLevel(logging.WARNING)
    console = Console(highlight=False)
    with cluster(console) as bench:
        digits(bench, given.seed, given.train)
        bench.connection.stop_all_model_containers()
        tumours(bench, given.seed)
        bench.connection.stop_all_model_containers()
        personal(bench, given.seed, given.users)


if __name__ == "__main__":
    main()
