"""What Ray runs: a process that trains one interval of one member after another."""

from __future__ import annotations

import os
from typing import Any

from scalarization.config import Config
from scalarization.training.interval import Lineage


class Worker:
    """Holds the images of a session and one model at a time.

    States lie where :class:`Intervals` keeps them: what goes through Ray is a few numbers.

    Args:
        folder: What relative paths of the configuration begin at; on every node.
        config: Checked configuration.
        names: The searches of the session, all of one benchmark.
    """

    def __init__(self, folder: str, config: Config, names: list[str]) -> None:
        os.chdir(folder)  # a Ray that was there before has its workers elsewhere
        # Imported here, so that the session's own process does not load torch.
        from scalarization.data.store import Store
        from scalarization.experiments import Plan
        from scalarization.training import loop  # noqa: F401 - before the first interval is timed
        from scalarization.training.interval import Intervals
        from scalarization.training.job import open_data

        plan = Plan(config)
        searches = {name: plan.searches[name] for name in names}
        cells = [s.cell for s in searches.values()]
        store = Store(plan.store_file(cells[0].benchmark))
        opened = open_data(config, cells, store)
        root = config.results / "checkpoints"
        self._current = names[0]
        self._intervals = {n: Intervals(root, s, store.digest, opened) for n, s in searches.items()}

    def train(self, name: str, lineage: Lineage) -> dict[str, Any]:
        """Train the last interval of a lineage of one search; returns what :meth:`Intervals.train` does."""
        if name != self._current:
            self._intervals[self._current].forget()
            self._current = name
        return self._intervals[name].train(lineage)
