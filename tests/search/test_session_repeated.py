"""Repeated searches, one of them of the learning rate, as jobs with Ray: killed, resumed, retrained, tabulated."""

import copy
import signal

import pytest
from populations import SEARCH

from scalarization.config import load_config
from scalarization.data.store import Store
from scalarization.plan import load_plan
from scalarization.provenance import Provenance
from scalarization.search.history import History, ignore
from scalarization.search.intervals import Intervals
from scalarization.search.schedulers import Population
from scalarization.search.settings import initial_settings
from scalarization.storage import read_metadata, read_run_file, read_table
from scalarization.training.data import open_data

ARCHITECTURE = "vit_d2_w8"
RATES = SEARCH | {"method": "search_lr", "population": 3, "seeds": 2}
EVOLVED = SEARCH | {"population": 3, "seeds": 2}
CELL = "digits/mnist+optdigits/vit_d2_w8/search_lr/base"


class Folder:
    """A working folder with a preset that has some searches, and their histories."""

    def __init__(self, directory, config):
        self.directory, self.config = directory, config

    @property
    def plan(self):
        return load_plan(load_config(self.config))

    def arguments(self):
        searches = [part for name in self.plan.searches for part in ("--search", name)]
        return ["search", "--config", self.config, "--workers", 2, *searches]

    def finished_intervals(self):
        return list((self.directory / "results").rglob("search_*/*.json"))

    def histories(self):
        """Name of a search -> everything that must not depend on interruptions or on what it is called."""
        return {
            name: comparable(read_table(self.plan.paths.search_file(search)))
            for name, search in self.plan.searches.items()
        }


def comparable(table):
    """Rows of a history without what it is called and how long it took."""
    return table.drop_columns(["search", "seconds"]).to_pylist()


def played(plan, name):
    """The history of a search that is trained here, without Ray and without interruptions."""
    search = plan.search(name)
    store = Store(plan.paths.store_file("digits"))
    intervals = Intervals(plan.paths.checkpoints, search, store.digest, open_data(plan.config, [search.cell], store))
    population, history = Population(search), History([search], ignore)
    while not population.finished:
        member, lineage = population.start()
        result = intervals.train(lineage)
        history.add(name, member, lineage, result, population.report(member, lineage, result.score))
    return comparable(history.table(name))


@pytest.fixture
def new_folder(write_config, tiny, tmp_path, launch):
    """(name, searches) -> a folder with a prepared store."""
    tiny["benchmarks"]["digits"]["recipe"] |= {"epochs": 5, "batch_size": 20}

    def new_folder(name, searches):
        preset = copy.deepcopy(tiny)
        preset["searches"] = searches
        methods = {options["method"]: {"search": key} for key, options in searches.items()}
        preset["experiments"]["searched"] = {
            "benchmark": "digits",
            "task_sets": SEARCH["task_set"],
            "architectures": SEARCH["architectures"],
            "methods": {"uniform": {}, **methods},
            "seeds": 2,
        }
        preset["artifacts"] = {
            "table_search_cost": {"searches": list(searches)},
            "table_methods": {"experiment": "searched"},
        }
        directory = tmp_path / name
        folder = Folder(directory, write_config(directory, preset))
        job = launch("prepare", "--config", folder.config, "--benchmark", "digits", folder=directory)
        assert job.wait(100) == 0, job.output
        return folder

    return new_folder


def test_repetitions_killed_and_resumed_equal_searches_of_their_seeds_alone(new_folder, launch, one_thread):
    folder = new_folder("repeated", {"rates": RATES, "evolved": EVOLVED})
    job = launch(*folder.arguments(), folder=folder.directory, whole=True)
    job.wait_for(lambda: len(folder.finished_intervals()) >= 7, seconds=200)
    job.send(signal.SIGKILL)
    assert job.wait(60) == -signal.SIGKILL
    assert 7 <= len(folder.finished_intervals()) < 4 * 3 * 3
    job = launch(*folder.arguments(), folder=folder.directory, whole=True)
    assert job.wait(300) == 0, job.output
    assert job.output.count("; its learning rate: ") == 2 and job.output.count("; its weights at the end: ") == 2
    histories = folder.histories()
    assert len(histories) == 4 and all(len(rows) == 3 * 3 for rows in histories.values())
    for key in ("rates", "evolved"):
        assert histories[f"{key}/{ARCHITECTURE}"] != histories[f"{key}/{ARCHITECTURE}.seed1"]

    once = {"seeds": 1, "seed": 1}
    alone = new_folder("alone", {"rates": RATES | once, "evolved": EVOLVED | once})
    for key in ("rates", "evolved"):
        assert played(alone.plan, f"{key}/{ARCHITECTURE}") == histories[f"{key}/{ARCHITECTURE}.seed1"]

    # From the histories to models, and to tables.
    plan, found = folder.plan, []
    for seed, name in enumerate((f"rates/{ARCHITECTURE}", f"rates/{ARCHITECTURE}.seed1")):
        rows = histories[name]
        drawn = initial_settings(plan.search(name))
        assert [row["weights"] for row in rows] == [[0.5, 0.5]] * 9
        assert [(row["lr"],) for row in rows] == [drawn[row["member"]] for row in rows]
        assert {row["parent"] for row in rows if row["interval"] > 1} == {0, 1, 2}
        assert not any(row["copied"] or row["explored"] for row in rows)
        last = [row for row in rows if row["interval"] == 3]
        found.append(max(last, key=lambda row: (row["score"], -row["member"]))["lr"])
        metadata = read_metadata(plan.paths.search_file(plan.search(name)))
        store = Store(plan.paths.store_file("digits"))
        images = [len(store.labels(domain, "validation")) for domain in ("mnist", "optdigits")]
        assert metadata["validation_images"] == sum(images)
        assert metadata["specification"]["seed"] == seed
    job = launch("train", "--config", folder.config, "--cell", CELL, folder=folder.directory)
    assert job.wait(100) == 0, job.output
    by_seed = read_metadata(plan.paths.run_file(plan.cell(CELL)))["specification"]["by_seed"]
    assert [by_seed[str(seed)]["lr"] for seed in (0, 1)] == found
    assert {row["seed"] for row in read_run_file(plan.paths.run_file(plan.cell(CELL))).to_pylist()} == {0, 1}
    assert Provenance(plan).problem(plan.paths.run_file(plan.cell(CELL))) is None
    for verb in ("summarize", "draw"):
        job = launch(verb, "--config", folder.config, "--artifact", "table_search_cost", folder=folder.directory)
        assert job.wait(100) == 0, job.output
    text = (folder.directory / "reports" / "mine" / "tables" / "table_search_cost.md").read_text()
    text = text.replace("\\", "")
    assert f"rates, {ARCHITECTURE}, seed 1" in text and "Uniform, searched lr" in text and "won by" in text
