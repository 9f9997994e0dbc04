"""What Ray runs: a process that trains one interval of one member after another."""

from __future__ import annotations

import os

from scalarization.config import Config
from scalarization.search.intervals import Lineage, Result


class Worker:
    """Holds the data of a session and one model at a time.

    States are saved where :class:`Intervals` puts them: only a few numbers go through Ray.

    Args:
        folder: Directory to which relative paths of the configuration refer; the same on every node.
        config: Checked configuration.
        names: The searches of the session, all of one benchmark.
    """

    def __init__(self, folder: str, config: Config, names: list[str]) -> None:
        os.chdir(folder)  # workers of a Ray cluster that was started elsewhere have another working directory
        # Imported here, so that the process of the session does not load torch.
        from scalarization.data.store import Store
        from scalarization.plan import load_plan
        from scalarization.search.intervals import Intervals
        from scalarization.training import loop  # noqa: F401 - imported before the first interval is timed
        from scalarization.training.data import open_data

        plan = load_plan(config)
        searches = {name: plan.search(name) for name in names}
        cells = [search.cell for search in searches.values()]
        store = Store(plan.paths.store_file(cells[0].benchmark))
        opened = open_data(config, cells, store)
        root = plan.paths.checkpoints
        self._current = names[0]
        self._intervals = {n: Intervals(root, s, store.digest, opened) for n, s in searches.items()}

    def start(self) -> None:
        """Nothing: this call ends as soon as the worker has started."""

    def train(self, name: str, lineage: Lineage) -> Result:
        """Train the last interval of a lineage of one search; returns what :meth:`Intervals.train` does."""
        if name != self._current:
            self._intervals[self._current].release_model()
            self._current = name
        return self._intervals[name].train(lineage)
