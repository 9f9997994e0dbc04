"""Searches that a user asks for by hand: what is planned for a request, and which requests are refused."""

import pytest

from scalarization.errors import ConfigError, UserError
from scalarization.search.adhoc import SearchRequest, plan_ad_hoc_search


@pytest.fixture
def plan(make_plan, tiny):
    tiny["benchmarks"]["digits"]["domains"].append("mfeat")
    return make_plan(tiny)


def test_a_request_with_defaults(plan):
    """All prepared domains and the first architecture of the preset; 10 members on 0.7 and one training are 8."""
    ad_hoc = plan_ad_hoc_search(plan, SearchRequest(benchmark="digits"))
    search = ad_hoc.search
    assert (search.method, search.population, search.epochs_ready, search.quantile) == ("pbt", 10, 1, 0.4)
    assert search.cell.tasks == ("mnist", "optdigits", "mfeat") and search.cell.task_set == "all"
    assert search.cell.specification.fraction == 0.7
    assert [(cell.method, len(cell.runs)) for cell in ad_hoc.cells] == [("uniform", 2), ("pbt", 2)]
    assert {cell.architecture.name for cell in (search.cell, *ad_hoc.cells)} == {"vit_d2_w8"}
    assert all(ad_hoc.plan.search_of(cell) in (None, search) for cell in ad_hoc.cells)


def test_a_request_with_everything(plan):
    capacity = {"architecture": "vit_d1_w16", "epochs_ready": 2}
    request = SearchRequest(benchmark="digits", budget=3.1, method="pb2", tasks=["mfeat", "mnist"], **capacity, seeds=3)
    ad_hoc = plan_ad_hoc_search(plan, request)
    search = ad_hoc.search
    assert (search.method, search.population, search.epochs_ready) == ("pb2", 3, 2)
    assert search.cell.tasks == ("mfeat", "mnist") and search.cell.task_set == "mfeat_mnist"
    assert search.cell.architecture.name == "vit_d1_w16"
    assert [len(cell.runs) for cell in ad_hoc.cells] == [3, 3]


@pytest.mark.parametrize(
    ("request_changes", "message"),
    [
        ({"benchmark": "digit"}, r"--benchmark digit: not in .*; did you mean 'digits'"),
        ({"method": "pbt2"}, r"--method pbt2: unknown; did you mean 'pbt'"),
        ({"budget": 2}, r"--budget 2: allows 1 members; two need 2.4 trainings"),
        ({"architecture": "vit2"}, r"--architecture vit2: 'vit2' is not an architecture"),
        ({"tasks": ["mnist", "opt"]}, r"'opt' is not one of its benchmark's"),
    ],
)
def test_mistakes(plan, request_changes, message):
    with pytest.raises((UserError, ConfigError), match=message):
        plan_ad_hoc_search(plan, SearchRequest(**{"benchmark": "digits"} | request_changes))
