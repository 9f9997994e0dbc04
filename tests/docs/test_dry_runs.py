"""The commands of the documentation that need a cluster or much time: their dry run."""

import pytest

from .commands import DRY_RUN


@pytest.mark.parametrize("command", sorted(DRY_RUN), ids=lambda command: command.removeprefix("envs/run snakemake "))
def test_dry_run(tiny_copy, command):
    output = tiny_copy.run(command.replace("snakemake ", "snakemake --dry-run ", 1))
    assert "This was a dry-run" in output
