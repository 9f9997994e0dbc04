"""Fingerprints: what makes a job run again."""

from dataclasses import replace

from scalarization.analysis import claims
from scalarization.plan import artifacts, fingerprints


def test_a_shard_s_fingerprint_changes_with_runs_and_recipe(tiny, make_plan, grid_cell):
    def fingerprint():
        plan = make_plan(tiny)
        return fingerprints.of_shard(plan.shards(plan.cells[grid_cell])[0])

    collected = [fingerprint(), fingerprint()]
    tiny["experiments"]["pair"]["methods"]["grid"]["p1"].append(0.5)
    collected.append(fingerprint())
    tiny["experiments"]["pair"]["seeds"] = 2
    collected.append(fingerprint())
    tiny["benchmarks"]["digits"]["recipe"]["lr"] = 0.1
    collected.append(fingerprint())
    assert collected[0] == collected[1] and len(set(collected)) == 4


def test_counting_is_code_of_its_own(tiny, make_plan, with_conflicts):
    tiny["experiments"]["pair"]["methods"] = {"single": {}, "uniform": {}}
    plan = make_plan(with_conflicts(tiny))
    (counted,) = plan.counted.values()
    plain = plan.cells[counted.name]
    assert fingerprints.cell_code(plain) != fingerprints.cell_code(counted)


def test_methods_that_share_a_module_share_its_code(shipped_plan):
    plan = shipped_plan("smoke")
    codes = {c.method: fingerprints.cell_code(c) for c in plan.cells.values() if c.benchmark == "emoji_people"}
    assert codes["pbt"] == codes["pb2"] and len(set(codes.values())) == len(codes) - 1


def test_a_caption_or_another_artifact_changes_no_summary(smoke, make_plan):
    plan = make_plan(smoke)
    before = {artifact: fingerprints.of_summary(plan, artifact) for artifact in artifacts.selected(plan)}
    assert len(set(before.values())) == len(before)
    del smoke["artifacts"]["figure_d"]
    smoke["description"] = "Another one."
    plan = make_plan(smoke)
    after = {artifact: fingerprints.of_summary(plan, artifact) for artifact in artifacts.selected(plan)}
    assert after == {artifact: value for artifact, value in before.items() if artifact != "figure_d"}


def test_a_summary_s_fingerprint_changes_with_what_it_queries(smoke, make_plan):
    def fingerprint(**knobs):
        return fingerprints.of_summary(make_plan(smoke, **knobs), "figure_b")

    collected = [fingerprint(), fingerprint(only={"seeds": [0]}), fingerprint(only={"capacities": ["vit_d1_w8"]})]
    smoke["experiments"]["digits_pair"]["seeds"] = 3
    collected.append(fingerprint())
    smoke["experiments"]["digits_pair"]["variants"] = {"base": {}, "slow": {"recipe": {"lr": 0.001}}}
    collected.append(fingerprint())
    assert len(set(collected)) == len(collected)


def test_searches_and_profiles(shipped_plan):
    plan = shipped_plan("smoke")
    prints = {fingerprints.of_search(search) for search in plan.searches.values()}
    assert len(prints) == len(plan.searches)
    (search, *_) = plan.searches.values()
    changed = [replace(search, population=5), replace(search, seed=1), replace(search, quantile=0.4)]
    assert len({fingerprints.of_search(s) for s in (search, *changed)}) == 4
    # Where a search runs does not change what it finds.
    assert fingerprints.of_search(replace(search, session="other")) == fingerprints.of_search(search)
    (profile,) = plan.profiles.values()
    changed = [replace(profile, rounds=9), replace(profile, num_tasks=(3,)), replace(profile, methods={})]
    assert len({fingerprints.of_profile(p) for p in (profile, *changed)}) == 4


def test_a_claim_s_code_is_part_of_the_claims_alone(shipped_plan, monkeypatch):
    """Claims are imported by name, which following imports does not see."""
    plan, roots = shipped_plan("smoke"), {}
    monkeypatch.setattr(fingerprints, "code_digest", lambda *names: roots.setdefault(names, "") and "")
    for artifact in artifacts.selected(plan):
        fingerprints.of_summary(plan, artifact)
    modules = {f"analysis.claims.{claim.compare.__module__.rpartition('.')[2]}" for claim in claims.all_claims()}
    assert len(modules) >= 13
    for names in roots:
        about_claims = names[1].startswith("analysis.claims")
        assert modules <= set(names) if about_claims else not modules & set(names)


def test_the_page_s_fingerprint_changes_with_what_it_shows_but_results(smoke, make_plan):
    def fingerprint(**knobs):
        return fingerprints.of_page(make_plan(smoke, **knobs))

    first = fingerprint()
    assert fingerprint() == first
    collected = {first, fingerprint(only={"seeds": [0]})}
    smoke["description"] = "Another."
    collected.add(fingerprint())
    del smoke["artifacts"]["figure_b"]
    collected.add(fingerprint())
    smoke["benchmarks"]["digits"]["recipe"]["lr"] = 0.1
    assert fingerprint() in collected and len(collected) == 4
