"""A small preset with searches, and what Ray's schedulers make of scores that a test gives."""

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
    """The tiny preset with a search by PBT and one by PB2, and cells that are trained with what they find."""
    tiny["benchmarks"]["digits"]["recipe"] |= {"epochs": 5}
    tiny["searches"] = {"evolved": dict(SEARCH), "bandit": SEARCH | {"method": "pb2", "population": 3, "quantile": 0.4}}
    tiny["experiments"]["found"] = {
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
    """(name="evolved", **changes) -> that search of the preset, with some keys changed, and nothing trained with it."""

    def search_of(name="evolved", **changes):
        searching["experiments"].pop("found", None)
        searching["searches"][name] = searching["searches"][name] | changes
        return make_plan(searching).searches[f"{name}/{ARCHITECTURE}"]

    return search_of


class Round:
    """What a population did: who was trained on what, with which score, and from whom it went on.

    `noted`: PB2 only: when, in what its Gaussian process is given, these weights stand.
    """

    def __init__(self, lineage, score, parent, noted):
        self.lineage, self.score, self.parent, self.noted = lineage, score, parent, noted

    @property
    def weights(self):
        return self.lineage[-1]


@pytest.fixture(scope="session")
def play():
    """(search, score, order=0) -> {(interval, member): Round}, of a population whose members get `score(lineage)`.

    `order` seeds the order in which members that run at the same time report. PB2's Gaussian process takes seconds, so
    what was played is kept.
    """
    from scalarization.search.schedulers import Population, keys

    known = {}

    def play(search, score, order=0):
        key = (json.dumps(search.describe(), sort_keys=True), score, order)
        if key not in known:
            known[key] = played(search, score, order)
        return known[key]

    def played(search, score, order):
        draw = random.Random(order)
        population = Population(search)
        rounds, running = {}, []
        while not population.finished:
            while (found := population.start()) is not None:
                running.append(found)
            member, lineage = running.pop(draw.randrange(len(running)))
            parent = population.report(member, lineage, score(lineage))
            data = getattr(population._scheduler, "data", None)
            if data is not None:
                data = sorted(data[(data[keys(search)] == list(lineage[-1])).all(axis=1)]["Time"])
            rounds[len(lineage), member] = Round(lineage, score(lineage), parent, data)
        return rounds

    return play
