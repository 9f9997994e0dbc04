"""A small preset with searches, and populations whose scores a test determines."""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

import populations
from populations import ARCHITECTURE


@pytest.fixture
def searching(tiny):
    """The tiny preset with a search by PBT, a search by PB2, and cells that are trained with their policies."""
    return populations.searching(tiny)


@pytest.fixture
def search_of(make_plan, searching):
    """(name="evolved", **changes) -> this search of the preset with some keys changed; no cell uses its policy."""

    def search_of(name="evolved", **changes):
        searching["experiments"].pop("searched", None)
        searching["searches"][name] = searching["searches"][name] | changes
        return make_plan(searching).searches[f"{name}/{ARCHITECTURE}"]

    return search_of


@pytest.fixture(scope="session")
def plain_search(shipped_plan):
    """A search by PBT of four members and three intervals on two domains; not to be changed."""
    search = next(s for s in shipped_plan("demo").searches.values() if s.key == "digits_pbt")
    architecture = replace(search.cell.architecture, depth=1)
    specification = replace(search.cell.specification, epochs=5)
    cell = replace(search.cell, architecture=architecture, specification=specification)
    return replace(search, cell=cell, population=4, epochs_ready=2, quantile=0.25)


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
    from scalarization.search.schedulers import Population, setting_keys

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
                data = sorted(data[(data[setting_keys(search)] == list(lineage[-1])).all(axis=1)]["Time"])
            rounds[len(lineage), member] = Round(lineage, score(lineage), parent, data)
        return rounds

    return play
