"""The claim that docs/claims.md shows how to add works as it stands there."""

import re
import sys
from pathlib import Path

import pytest
import synthetic_methods

from scalarization.analysis import claims
from scalarization.analysis.claims.evidence import Evidence

PAGE = Path(__file__).resolve().parents[3] / "docs" / "claims.md"


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """The documented file, beside those of the package."""
    code = re.search(r"```python\n# src/scalarization/analysis/claims/(\w+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / f"{code[1]}.py").write_text(code[2])
    monkeypatch.setattr(claims, "__path__", [*claims.__path__, str(tmp_path)])
    claims.all_claims.cache_clear()
    yield
    claims.all_claims.cache_clear()
    sys.modules.pop(f"{claims.__name__}.{code[1]}", None)


def test_it_is_found_and_gets_a_verdict(documented, make_plan):
    claim = claims.all_claims()[-1]
    assert claim.number == 14
    experiment = synthetic_methods.experiment(methods={"uniform": {}, "rlw": {}}, seeds=3)
    plan = make_plan(synthetic_methods.preset({"claims": {}}, people=experiment))
    better = {"uniform": 1.0, "rlw": 0.0}
    synthetic_methods.write_runs(
        plan, lambda cell, run, split, task, metric: 80 + better[cell.method] + 0.01 * run.seed * better[cell.method]
    )
    comparisons = list(claim.compare(Evidence(plan, 0.5)))
    assert comparisons and all(comparison.estimate.value == pytest.approx(1.01) for comparison in comparisons)
    rows = claims.table(lambda each: claim.compare(Evidence(plan, 0.5)) if each is claim else ())
    assert set(rows[rows["claim"] == "C14"]["claim_verdict"]) == {"supported"}
