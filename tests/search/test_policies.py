"""The policy of a search: the best member, and the weights of the members that it was copied from."""

import math
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import history, write_history

from scalarization.errors import DataError
from scalarization.search.policies import backtrack, read_search
from scalarization.storage import write_table


def row(interval, member, weights, score, parent):
    return {
        "member": member,
        "interval": interval,
        "epoch": 3 * interval,
        "weights": weights,
        "lr": 0.01,
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
def test_an_incomplete_history(rows):
    with pytest.raises(ValueError):
        backtrack(rows)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_member_that_diverged_is_never_best(bad):
    rows = [{**r, "score": bad} if (r["interval"], r["member"]) in [(3, 0), (3, 1)] else r for r in BY_HAND]
    policy = backtrack(rows)
    assert (policy.member, policy.score, policy.lineage) == (2, 31.0, (2, 2, 2))
    assert backtrack([{**r, "score": bad} for r in BY_HAND]) is None


# --- Files ---


@pytest.fixture
def written(search_of, tmp_path):
    """(change=None, **metadata) -> file and search of a history; `change` gets its rows, to be changed."""

    def written(change=None, **metadata):
        search, file = search_of(), tmp_path / "evolved" / "vit_d2_w8.parquet"
        rows = history(search, lambda interval, member: ([0.25, 0.75], 10.0 * interval + member))
        if change:
            rows = change(rows) or rows
        write_history(file, search, rows, **metadata)
        return file, search

    return written


def test_the_file_of_a_search(written):
    file, search = written()
    rows, policy = read_search(file, search)
    assert [(r["interval"], r["member"]) for r in rows] == [(i, m) for i in (1, 2, 3) for m in range(4)]
    assert (policy.member, policy.score, policy.interval_ends) == (3, 33.0, (2, 4, 5))


def test_the_file_of_a_search_all_of_whose_members_diverged(written):
    def diverge(rows):
        for row in rows:
            row |= {"score": -math.inf, "by_task": [math.nan, math.nan]}

    rows, policy = read_search(*written(diverge))
    assert policy is None and len(rows) == 12


#: What is changed in the rows -> what the message says.
WRONG_ROWS = {
    "a row twice": (lambda rows: [*rows, rows[5]], "interval 2 of member 1 is there 2 times instead of 1"),
    "a row less": (lambda rows: rows[:5] + rows[6:], "interval 2 of member 1 is there 0 times instead of 1"),
    "no row": (lambda rows: rows.clear(), "interval 1 of member 0 is there 0 times"),
    "a member more": (lambda rows: [*rows, {**rows[5], "member": 4}], "interval 2 of member 4 is there 1 times"),
    "an interval more": (lambda rows: [*rows, {**rows[5], "interval": 4}], "interval 4 of member 1 is there 1 times"),
    "NaN weights": (lambda rows: rows[5].update(weights=[math.nan, 0.5]), r"member 1 has the weights \[nan, 0.5\]"),
    "negative weights": (lambda rows: rows[5].update(weights=[-0.5, 1.5]), "instead of 2 that sum to 1"),
    "weights of another sum": (lambda rows: rows[5].update(weights=[0.5, 0.6]), "instead of 2 that sum to 1"),
    "three weights": (lambda rows: rows[5].update(weights=[0.5, 0.25, 0.25]), "instead of 2 that sum to 1"),
    "no weight": (lambda rows: rows[5].update(weights=[]), "instead of 2 that sum to 1"),
    "a weight that is null": (lambda rows: rows[5].update(weights=[None, 1.0]), "column weights lacks values"),
    "NaN score": (lambda rows: rows[5].update(score=math.nan), "member 1 has the score nan"),
    "infinite score": (lambda rows: rows[5].update(score=math.inf), "member 1 has the score inf"),
    "no score": (lambda rows: rows[5].update(score=None), "column score lacks values"),
    "another epoch": (lambda rows: rows[5].update(epoch=3), "interval 2 of member 1 ends after epoch 3"),
    "a parent at the start": (lambda rows: rows[0].update(parent=1), "member 0 resumes from member 1"),
    "no parent": (lambda rows: rows[5].update(parent=None), "resumes from member None, which has no state"),
    "a parent that is not there": (lambda rows: rows[5].update(parent=7), "resumes from member 7, which has no state"),
    "a parent that diverged": (lambda rows: rows[1].update(score=-math.inf), "from member 1, which has no state"),
}


@pytest.mark.parametrize("wrong", WRONG_ROWS)
def test_rows_that_no_search_writes(written, wrong):
    change, message = WRONG_ROWS[wrong]
    file, search = written(change)
    with pytest.raises(DataError, match=rf"vit_d2_w8.parquet: .*{message}.*; delete it and run snakemake again"):
        read_search(file, search)


def test_the_file_of_another_search(written, search_of):
    file, search = written()
    for other in (search_of(seed=1), search_of(quantile=0.5), search_of("bandit", population=4)):
        with pytest.raises(DataError, match=f"it is of another search than {other.name}, or of other settings"):
            read_search(file, other)
    file, search = written(specification=None)
    with pytest.raises(DataError, match="it is of another search"):
        read_search(file, search)


def test_files_that_are_no_history(search_of, tmp_path):
    file, search = tmp_path / "vit_d2_w8.parquet", search_of()
    with pytest.raises(DataError, match="no such search; build it with: snakemake"):
        read_search(file, search)
    file.write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="damaged or foreign"):
        read_search(file, search)
    write_table(file, pa.table({"member": [1]}))
    with pytest.raises(DataError, match="columns are not those of a search; delete it and run snakemake again"):
        read_search(file, search)


def test_a_flipped_bit_in_a_history(written):
    """Every single bit of a byte in each part of the file, and none gives other values."""
    file, search = written()
    content = file.read_bytes()
    for position in range(0, len(content), 101):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        file.write_bytes(changed)
        with pytest.raises(DataError, match=r"vit_d2_w8.parquet: "):
            read_search(file, search)
