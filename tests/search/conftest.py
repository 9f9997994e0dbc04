"""A small preset with searches, and populations whose scores a test determines."""

import json
import random

import pytest

SEARCH = {
    "benchmark": "digits",
    "task_set": {"mnist+optdigits": ["mnist", "optdigits"]},
    "architectures": {"family": "vit", "depth": [2], "width": [8]},
    "method": "pbt",
    "population": 4,
    "epochs_ready": 2,
    "quantile": 0.25,
    "fraction": 0.5,
    "session": "both",
}
ARCHITECTURE = "vit_d2_w8"


@pytest.fixture
def searching(tiny):
    """The tiny preset with a search by PBT, a search by PB2, and cells that are trained with their policies."""
    tiny["benchmarks"]["digits"]["recipe"] |= {"epochs": 5}
    tiny["searches"] = {"evolved": dict(SEARCH), "bandit": SEARCH | {"method": "pb2", "population": 3, "quantile": 0.4}}
    tiny["experiments"]["searched"] = {
        "benchmark": "digits",
        "task_sets": SEARCH["task_set"],
        "architectures": SEARCH["architectures"],
        "methods": {"pbt": {"search": "evolved"}, "pb2": {"search": "bandit"}},
        "variants": {"base": {}, "last_weights": {"policy": "last"}},
        "seeds": 1,
    }
    return tiny


@pytest.fixture
def search_of(make_plan, searching):
    """(name="evolved", **changes) -> this search of the preset with some keys changed; no cell uses its policy."""

    def search_of(name="evolved", **changes):
        searching["experiments"].pop("searched", None)
        searching["searches"][name] = searching["searches"][name] | changes
        return make_plan(searching).searches[f"{name}/{ARCHITECTURE}"]

    return search_of


class Round:
    """One interval of one member: its weights so far, its score, and the member that it resumed from.

    `recorded`: PB2 only: the times at which the data of the Gaussian process have these weights.
    """

    def __init__(self, lineage, score, parent, recorded):
        self.lineage, self.score, self.parent, self.recorded = lineage, score, parent, recorded

    @property
    def weights(self):
        return self.lineage[-1]


@pytest.fixture(scope="session")
def play():
    """(search, score, order=0) -> {(interval, member): Round}; the score of a member is `score(lineage)`.

    `order` seeds the order in which members that run at the same time report. PB2's Gaussian process takes seconds, so
    results are cached.
    """
    from scalarization.search.schedulers import Population, weight_keys

    cache = {}

    def play(search, score, order=0):
        key = (json.dumps(search.describe(), sort_keys=True), score, order)
        if key not in cache:
            cache[key] = played(search, score, order)
        return cache[key]

    def played(search, score, order):
        draw = random.Random(order)
        population = Population(search)
        rounds, running = {}, []
        while not population.finished:
            while (started := population.start()) is not None:
                running.append(started)
            member, lineage = running.pop(draw.randrange(len(running)))
            parent = population.report(member, lineage, score(lineage))
            data = getattr(population._scheduler, "data", None)
            if data is not None:
                data = sorted(data[(data[weight_keys(search)] == list(lineage[-1])).all(axis=1)]["Time"])
            rounds[len(lineage), member] = Round(lineage, score(lineage), parent, data)
        return rounds

    return play
