"""The policy of a search: the best member, and the weights of the members that it was copied from."""

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalarization.errors import DataError
from scalarization.search.policies import HISTORY_SCHEMA, backtrack, read_search
from scalarization.storage import write_table


def row(interval, member, weights, score, parent):
    return {
        "member": member,
        "interval": interval,
        "epoch": 3 * interval,
        "weights": weights,
        "score": score,
        "parent": parent,
    }


#: Member 0 is best at the end: it was copied from 1 after the second interval, which was copied from 2 after the first.
BY_HAND = [
    row(1, 0, [0.5, 0.5], 10.0, None),
    row(1, 1, [0.1, 0.9], 11.0, None),
    row(1, 2, [0.9, 0.1], 12.0, None),
    row(2, 0, [0.5, 0.5], 20.0, 0),
    row(2, 1, [0.8, 0.2], 23.0, 2),
    row(2, 2, [0.9, 0.1], 22.0, 2),
    row(3, 0, [0.7, 0.3], 33.0, 1),
    row(3, 1, [0.8, 0.2], 32.0, 1),
    row(3, 2, [0.9, 0.1], 31.0, 2),
]


def test_backtracked_by_hand():
    policy = backtrack(random.Random(0).sample(BY_HAND, len(BY_HAND)))
    assert policy.lineage == (2, 1, 0)
    assert policy.weights == ((0.9, 0.1), (0.8, 0.2), (0.7, 0.3))
    assert (policy.member, policy.score, policy.interval_ends) == (0, 33.0, (3, 6, 9))


def test_weights_of_every_epoch():
    policy = backtrack(BY_HAND)
    a, b, c = ((0.9, 0.1), (0.8, 0.2), (0.7, 0.3))
    assert policy.by_epoch(9) == (a, a, a, b, b, b, c, c, c)
    assert policy.by_epoch(3) == (a, b, c)
    assert policy.by_epoch(18) == tuple(w for w in (a, b, c) for _ in range(6))
    # 9 searched epochs over 5: they start at 0, 1.8, 3.6, 5.4, 7.2.
    assert policy.by_epoch(5) == (a, a, b, b, c)
    assert policy.by_epoch(4, last_only=True) == (c,) * 4


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
def test_a_policy_is_a_path_of_parents(members, intervals, seed):
    draw = random.Random(seed)
    rows = [
        row(i, m, [draw.random()], draw.choice([1.0, 2.0]), None if i == 1 else draw.randrange(members))
        for i in range(1, intervals + 1)
        for m in range(members)
    ]
    policy = backtrack(rows)
    by_place = {(r["interval"], r["member"]): r for r in rows}
    assert policy.score == max(r["score"] for r in rows if r["interval"] == intervals)
    assert policy.lineage[-1] == min(m for m in range(members) if by_place[intervals, m]["score"] == policy.score)
    for interval in range(2, intervals + 1):
        assert by_place[interval, policy.lineage[interval - 1]]["parent"] == policy.lineage[interval - 2]
    assert [w for (w,) in policy.weights] == [by_place[i, m]["weights"][0] for i, m in enumerate(policy.lineage, 1)]


@pytest.mark.parametrize("rows", [[], BY_HAND[:-1], BY_HAND[1:], [*BY_HAND, BY_HAND[0]]])
def test_an_incomplete_history(rows, tmp_path):
    with pytest.raises(ValueError):
        backtrack(rows)
    file = tmp_path / "evolved" / "vit_d2_w8.parquet"
    write_table(file, pa.Table.from_pylist(rows, HISTORY_SCHEMA))
    with pytest.raises(
        DataError, match=r"vit_d2_w8.parquet: not a complete search .* delete it and run snakemake again"
    ):
        read_search(file)


def test_files_that_are_no_history(tmp_path):
    file = tmp_path / "vit_d2_w8.parquet"
    with pytest.raises(DataError, match="no such search; run it with: snakemake"):
        read_search(file)
    file.write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_search(file)
    write_table(file, pa.table({"member": [1]}))
    with pytest.raises(DataError, match="columns are not those of a search"):
        read_search(file)
