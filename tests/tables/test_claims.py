"""Table of claims: verdicts, numbers and notes of every comparison, of our runs and of the paper's numbers."""

import re

import pytest
import synthetic_claims

from scalarization import tables
from scalarization.analysis import summaries
from scalarization.plotting import claims

from .conftest import line, plain

METADATA = dict.fromkeys(summaries.COMMON_KEYS) | {"artifact": "claims", "kind": "claims"}


@pytest.fixture(scope="module")
def summary():
    return synthetic_claims.summary()


@pytest.fixture(scope="module")
def drawn(summary):
    return tables.draw("claims", summary, METADATA)


@pytest.fixture(scope="module")
def blocks(drawn):
    """Claim -> its block in Markdown."""
    parts = re.split(r"^(?=\*\*C\d+ )", drawn[1]["md"], flags=re.MULTILINE)[1:]
    return {re.match(r"\*\*(C\d+)", part)[1]: plain(part) for part in parts}


def test_there_is_a_block_for_every_claim_with_sentence_and_source(summary, blocks):
    assert list(blocks) == list(dict.fromkeys(summary["claim"]))
    for row in summary.to_dict("records"):
        first = blocks[row["claim"]].splitlines()[0].replace("\\", "")
        assert row["sentence"] in first and row["source"] in first


def test_a_claim_of_which_nothing_was_run_is_short(summary, blocks):
    absent = [claim for claim in blocks if claim not in ("C6", "C7", "C8")]
    assert absent
    for claim in absent:
        assert blocks[claim].split("\n\n")[1] == "*not run*" and "|" not in blocks[claim].split("\n\n")[1]


def test_the_verdict_counts_comparisons(blocks):
    verdict = "contradicted (2 of 8 comparisons supported, 2 contradicted, 4 undecided, 2 without an estimate)"
    assert f"| *Our runs: {verdict}* |" in blocks["C6"]
    assert "| *Our runs: supported (1 of 1 comparison supported)* |" in blocks["C7"]


@pytest.mark.parametrize("name", synthetic_claims.ON_PAR)
def test_a_line_has_the_numbers_of_its_comparison(name, summary, blocks):
    row = summary[(summary["comparison"] == name) & (summary["task_set"] == "pair")].iloc[0]
    cells = [cell.strip() for cell in line(blocks["C6"], f"| {name} ").strip("|").split("|")][1:]
    cells = [cell.replace("*", "").replace("\N{MINUS SIGN}", "-").replace("\\", "") for cell in cells]
    capacity, estimate, interval, p, adjusted, seeds, margin, verdict, needed, note = cells
    assert (capacity, margin) == ("all", "±0.50")
    if name == "diverged":
        assert (estimate, interval, p, adjusted, seeds, verdict, needed) == ("-",) * 5 + ("diverged", "-")
    else:
        assert float(estimate) == pytest.approx(row["estimate"], abs=0.005) and int(seeds) == row["seeds"]
        assert verdict == row["verdict"] == name.split(", ")[1]
    if len(synthetic_claims.ON_PAR[name]) == 5:
        ends = [float(end) for end in interval.split(" to ")]
        assert ends == pytest.approx([row["low"], row["high"]], abs=0.005)
        suffix = "_contradiction" if row["p_contradiction"] < row["p"] else ""
        for text, value in ((p, row[f"p{suffix}"]), (adjusted, row[f"p{suffix}_adjusted"])):
            assert text == "< 0.001" if value < 0.001 else float(text) == pytest.approx(value, abs=0.0005)
        assert needed == ("> 1000" if row["seeds_needed"] is None else str(row["seeds_needed"]))
    else:
        assert note.startswith("[")


def test_notes_are_below_the_table(drawn, summary):
    for note in summary["note"].dropna():
        if note and note != "not run":
            assert re.search(rf"^\\\[\d+\\\] {note[0].upper()}{re.escape(note[1:])}", drawn[1]["md"], re.MULTILINE)


def test_numbers_of_the_paper_follow_ours(blocks):
    text = blocks["C6"]
    assert text.index("Our runs: ") < text.index("The paper's numbers: supported") < text.index("| of the paper |")
    assert "*celeba, all: test average, points*" in text


def test_margins_have_the_sign_of_their_hypothesis(blocks):
    assert "| \N{MINUS SIGN}0.50 |" in line(blocks["C7"], "| of C7") and "| - |" in line(blocks["C8"], "| of C8")


def test_the_other_kinds_have_the_same_texts(drawn, summary):
    assert r"C6  Uniform weights" in drawn[1]["tex"]
    metadata = METADATA | {"kind": "claims_reported"}
    reported = summary[summary["origin"] == "paper"].reset_index(drop=True)
    text = tables.draw("claims_reported", reported, metadata)[1]["md"]
    assert "The paper's numbers: supported" in text and "Our runs" not in text


def test_a_summary_read_back_reads_the_same(summary, tmp_path):
    import pyarrow as pa

    from scalarization.storage import read_table, write_table

    write_table(tmp_path / "x.parquet", pa.Table.from_pandas(summary, preserve_index=False))
    again = claims.tested_claims(claims.rows_of(read_table(tmp_path / "x.parquet").to_pandas()))
    assert again == claims.tested_claims(claims.rows_of(summary))


def test_verdicts_are_counted_on_runs_alone(summary):
    tested = claims.tested_claims(claims.rows_of(summary))
    absent = len({claim.claim for claim in tested}) - 3
    assert claims.count_verdicts(tested) == f"2 claims supported, 1 contradicted, {absent} not run"
    assert claims.count_verdicts(claim for claim in tested if claim.origin == "paper") == (
        "1 claim supported by the paper's numbers"
    )


def test_how_many_seeds_the_undecided_comparisons_would_need(summary):
    (ours,) = (c for c in claims.tested_claims(claims.rows_of(summary)) if (c.claim, c.origin) == ("C6", "runs"))
    rows = summary[(summary["claim"] == "C6") & (summary["comparison"] == "noisy, undecided")]
    numbers = sorted({int(n) for n in rows["seeds_needed"].dropna()})
    assert len(numbers) == 1 and ours.needed == f"Those undecided would need {numbers[0]} seeds each."


def test_how_many_comparisons_cannot_be_tested_and_why(summary):
    (ours,) = (c for c in claims.tested_claims(claims.rows_of(summary)) if (c.claim, c.origin) == ("C6", "runs"))
    assert ours.untested == "2 cannot be tested (too few seeds)."
    (other,) = (c for c in claims.tested_claims(claims.rows_of(summary)) if (c.claim, c.origin) == ("C7", "runs"))
    assert other.untested == ""
