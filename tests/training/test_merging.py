"""Shards of a cell: what is missing, of other settings, or not of all its runs once, is refused with its name."""

import dataclasses

import pytest

from scalarization.errors import DataError
from scalarization.storage import read_metadata, read_run_file, write_run_file
from scalarization.training.job import train_shards
from scalarization.training.merging import merge_shards

from .conftest import GRID


@pytest.fixture
def trained(make_plan, tiny, prepare_store, one_thread):
    """A plan with a cell of two shards, and the two trained files."""
    tiny["jobs"]["runs_per_job"] = 1
    plan = make_plan(tiny)
    prepare_store(plan, "digits")
    shards = plan.shards(plan.cells[GRID])
    train_shards(plan, shards, None)
    return plan, *(plan.paths.shard_file(shard) for shard in shards)


def refused(plan, file, reason):
    with pytest.raises(DataError, match=reason) as raised:
        merge_shards(plan, plan.cells[GRID])
    assert str(file) in str(raised.value) and "snakemake --cores all" in str(raised.value)
    assert not plan.paths.run_file(plan.cells[GRID]).exists()


def test_rows_are_in_order_and_divergences_are_joined(trained):
    plan, first, second = trained
    for file, weight_setting in ((first, 0), (second, 1)):
        diverged = [{"weight_setting": weight_setting, "seed": 0, "step": 3, "cause": "the loss"}]
        write_run_file(file, read_run_file(file).to_pylist(), {**read_metadata(file), "diverged": diverged})
    merge_shards(plan, plan.cells[GRID])
    merged = plan.paths.run_file(plan.cells[GRID])
    rows = read_run_file(merged).to_pylist()
    assert rows == read_run_file(first).to_pylist() + read_run_file(second).to_pylist()
    assert [(d["weight_setting"], d["cause"]) for d in read_metadata(merged)["diverged"]] == [
        (0, "the loss"),
        (1, "the loss"),
    ]


def test_a_shard_that_is_missing_or_damaged(trained):
    plan, first, second = trained
    content = second.read_bytes()
    second.write_bytes(content[:500] + bytes([content[500] ^ 4]) + content[501:])
    refused(plan, second, "checksum differs")
    second.unlink()
    refused(plan, second, "missing")
    second.write_bytes(first.read_bytes())  # the other shard
    refused(plan, second, "made from other settings or by other code")


def test_a_shard_of_another_recipe(trained, make_plan, tiny):
    _, first, second = trained
    kept = second.read_bytes()
    tiny["benchmarks"]["digits"]["recipe"]["lr"] = 1e-2
    changed = make_plan(tiny)
    refused(changed, first, "made from other settings or by other code, and 1 others like it")
    train_shards(changed, [changed.shards(changed.cells[GRID])[0]], None)
    refused(changed, second, "made from other settings or by other code; ")
    train_shards(changed, [changed.shards(changed.cells[GRID])[1]], None)
    second.write_bytes(kept)  # as from a copied folder
    refused(changed, second, "made from other settings or by other code; ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows + rows, "weight setting 1, seed 0: has .* twice"),
        (lambda rows: rows[:-1], "weight setting 1, seed 0: lacks loss of 'optdigits' on test at epoch 3"),
        (lambda rows: [], "weight setting 1, seed 0: lacks 'average' on batches at epoch 2"),
        (lambda rows: [r for r in rows if r["epoch"] == 3], "weight setting 1, seed 0: lacks .* at epoch 2"),
        (lambda rows: [{**r, "seed": 1} for r in rows], "has weight setting 1, seed 1, which is not in .*@1/2"),
        (lambda rows: [*rows, {**rows[0], "weight_setting": 0}], "has weight setting 0, seed 0, which is not in"),
        (lambda rows: [{**r, "value": None} for r in rows], "has values that are no numbers"),
    ],
)
def test_a_shard_whose_rows_are_not_its_runs(trained, change, reason):
    """Undamaged and with the right metadata; only a mistake of a program can make such a file."""
    plan, _, second = trained
    write_run_file(second, change(read_run_file(second).to_pylist()), read_metadata(second))
    refused(plan, second, reason)


def test_a_cell_that_is_split_anew(trained, make_plan, tiny):
    """Two shards of one run each are not the one shard of two."""
    _, first, _ = trained
    tiny["jobs"]["runs_per_job"] = 2
    whole = make_plan(tiny)
    assert len(whole.shards(whole.cells[GRID])) == 1
    tiny["jobs"]["runs_per_job"] = 1
    tiny["experiments"]["pair"]["seeds"] = 2
    more = make_plan(tiny)
    shards = more.shards(more.cells[GRID])
    assert len(shards) == 4 and dataclasses.asdict(shards[0])["num_shards"] == 4
    refused(more, more.paths.shard_file(shards[0]), "missing, and 3 others like it")
    assert first.exists()
