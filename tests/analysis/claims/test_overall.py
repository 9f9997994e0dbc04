"""The verdict on a claim, from those of its comparisons."""

import pytest

from scalarization.analysis.claims import overall


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], None),
        (["supported"], "supported"),
        (["supported", "supported"], "supported"),
        (["supported", "undecided"], "undecided"),  # a claim about every case does not hold because half of it does
        (["supported", "contradicted", "undecided"], "contradicted"),
        (["undecided"], "undecided"),
    ],
)
def test_a_claim_holds_if_all_of_it_does(verdicts, expected):
    assert overall(verdicts) == expected
