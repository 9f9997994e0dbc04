"""From presets to cells, runs and jobs: counts by hand, weights, merging, selection, shares."""

import math
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalarization import costs, disk
from scalarization.architectures import Architecture, expand, forward_flops
from scalarization.config import load_config
from scalarization.errors import ConfigError
from scalarization.experiments import Plan
from scalarization.methods import check_simplex, grid, proportional, uniform


@pytest.fixture(scope="module")
def paper(root):
    """The part of the published scale that is about CIFAR and STL."""
    return Plan(load_config(root / "config.yaml", {"preset": "paper", "only": {"benchmarks": ["cifar_stl"]}}))


# --- The paper's CIFAR + STL experiment (A 1.1, A 2.1), counted by hand ---


def cells_of(plan, benchmark):
    return [c for c in plan.cells.values() if c.benchmark == benchmark]


def runs_of(cells):
    runs = Counter()
    for cell in cells:
        runs[cell.method] += len(cell.members)
    return runs


def test_paper_has_twelve_capacities(paper):
    found = {c.architecture for c in cells_of(paper, "cifar_stl")}
    assert found == {Architecture("vit", d, w) for d in (3, 6, 9) for w in (48, 96, 144, 192)}
    assert len(found) == 3 * 4


def test_paper_runs(paper):
    runs = runs_of(cells_of(paper, "cifar_stl"))
    assert runs["single"] == 12 * 2 * 3  # capacities x domains x seeds
    assert runs["grid"] == 12 * 9 * 3  # capacities x weights of STL-10 x seeds
    assert runs["proportional"] == 12 * 3
    assert sum(runs.values()) == 432
    assert len(cells_of(paper, "cifar_stl")) == 12 * (2 + 1 + 1)


def test_paper_steps(paper):
    for cell in cells_of(paper, "cifar_stl"):
        assert cell.specification["steps_per_epoch"] == 20  # 5000 / 256 = 19.53, the last batch is full as well
        assert cell.specification["epochs"] == 300
        assert cell.steps == 6000
        assert paper.images(cell) == 6000 * 256


def test_paper_weights(paper):
    cell = paper.cells["cifar_stl/stl10+cifar10/vit_d9_w192/proportional/base"]
    assert cell.tasks == ("stl10", "cifar10")
    assert {m.weights for m in cell.members} == {(5000 / 55000, 50000 / 55000)}
    assert round(cell.members[0].weights[0], 4) == 0.0909
    cell = paper.cells["cifar_stl/stl10+cifar10/vit_d3_w48/grid/base"]
    assert [m.weights[0] for m in cell.members if m.seed == 0] == [p / 10 for p in range(1, 10)]
    assert all(math.isclose(sum(m.weights), 1) for m in cell.members)
    assert [m.seed for m in cell.members] == [0, 1, 2] * 9
    assert [m.index for m in cell.members] == [i for i in range(9) for _ in range(3)]


def test_paper_models_of_one_domain_are_looked_at_on_both(paper):
    single = paper.cells["cifar_stl/stl10/vit_d3_w48/single/base"]
    assert single.tasks == ("stl10",) and {m.weights for m in single.members} == {(1.0,)}
    assert single.specification["evaluated"] == ["cifar10", "stl10"]


def test_paper_grid_cells_are_split_over_jobs(paper):
    cell = paper.cells["cifar_stl/stl10+cifar10/vit_d3_w48/grid/base"]
    assert [len(s.members) for s in paper.shares(cell)] == [9, 9, 9]  # 27 members, at most 9 in a job


# --- The paper's CelebA experiments (A 1.2, 2.1, 5, tables A, C, D; R), counted by hand ---


@pytest.fixture(scope="module")
def celeba(root):
    return Plan(load_config(root / "config.yaml", {"preset": "paper", "only": {"benchmarks": ["celeba"]}}))


def test_celeba_runs(celeba):
    cells = list(celeba.cells.values())
    base = [c for c in cells if c.variant == "base"]
    runs = runs_of(base)
    # Figure 2: 12 capacities x 3 pairs of groups, three seeds. R table 2: the simplex of three at step 0.2 has
    # (4 choose 2) = 6 interior points.
    assert runs.pop("grid") == 12 * 3 * 9 * 3 + 6 * 3  # capacities x pairs x weights of the first x seeds
    # SD of the six groups in pairs at every capacity, of the other two at those of tables C and D.
    assert runs.pop("single") == 12 * 6 * 3 + 6 * 2 * 3
    # Tables C and D: 2 depths x 3 widths, three seeds.
    tables = 2 * 3 * 3
    for method in ("uncertainty", "imtl_l", "cagrad", "graddrop", "pcgrad", "rotograd", "pb2"):
        assert runs.pop(method) == tables
    # Beside them R table 1a, four seeds, and R table 2, three.
    assert runs.pop("uniform") == tables + 4 + 3
    assert runs.pop("rlw") == tables + 4
    assert runs.pop("pbt") == tables + 3
    assert not runs
    # Last weights of PBT and PB2; searched on two smaller models, three seeds; R table 1a: N x E, two seeds.
    others = runs_of(c for c in cells if c.variant != "base")
    assert others == {"pbt": tables + 2 * 3 + 4 * 2 * 2, "pb2": tables}
    grid, single = 972 + 18, 216 + 36
    assert sum(len(c.members) for c in cells) == grid + single + 7 * 18 + 25 + 22 + 21 + 40 + 18 == 1494


def test_celeba_trains_as_published(celeba):
    for cell in [*celeba.cells.values(), *celeba.counted.values()]:
        recipe = cell.specification["recipe"]
        assert cell.specification["steps_per_epoch"] == 636  # 162770 / 256 = 635.8
        assert cell.steps == 50 * 636
        assert (recipe["optimizer"], recipe["weight_decay"], recipe["warmup_epochs"]) == ("adamw", 0.05, 5)
        assert recipe["lr"] == 5e-4 or cell.counts_conflicts
        assert cell.specification["model"] == {"patch": 4, "heads": 12, "mlp_ratio": 2, "drop_path": 0.1}
        assert len(cell.specification["labels"]) == 40
    groups = celeba.cells["celeba/groups8/vit_d6_w48/uniform/base"].specification["attributes"]
    assert len(groups) == 8 and sum(map(len, groups.values())) == 32
    assert {len(c.tasks) for c in celeba.cells.values()} == {1, 2, 3, 8, 40}


def test_celeba_capacities(celeba):
    def found(*task_sets):
        return {c.architecture.name for c in celeba.cells.values() if c.task_set in task_sets}

    assert found("gender+age", "mouth+clothes") == {f"vit_d{d}_w{w}" for d in (3, 6, 9) for w in (48, 96, 144, 192)}
    assert found("groups8") == {f"vit_d{d}_w{w}" for d in (6, 9) for w in (48, 96, 192)}  # widths 0.25, 0.5, 1
    assert found("all40", "three") == {"vit_d9_w192"}


def test_celeba_searches(celeba):
    """A 5: N = 12 (PB2: 8), E = 3, Q = 0.4 on 0.7 of the training set, for six models; R: N x E, and three tasks."""
    found = Counter(
        (len(s.cell.tasks), s.method, s.population, s.epochs_ready, s.quantile) for s in celeba.searches.values()
    )
    assert found == {
        (8, "pbt", 12, 3, 0.4): 6,
        (8, "pb2", 8, 3, 0.4): 6,
        **{(40, "pbt", n, e, 0.25): 1 for n in (6, 12, 24, 40) for e in (3, 5)},
        (3, "pbt", 12, 3, 0.25): 1,
    }
    for search in celeba.searches.values():
        assert search.cell.specification["steps_per_epoch"] == 446  # 0.7 * 162770 / 256 = 445.1
        assert len(search.ends) == (17 if search.epochs_ready == 3 else 10)  # of 50 epochs
    assert celeba.searches["celeba_pbt/vit_d9_w192"].configurations == 12 + 5 * 16  # ceil(12 * 0.4) = 5


def test_celeba_conflicts(celeba):
    """R figure 1a: 40 attributes, three learning rates, depths 3 and 9, widths 0.5 and 1."""
    cells = list(celeba.counted.values())
    found = {(c.specification["recipe"]["lr"], c.architecture.name) for c in cells}
    assert found == {(lr, f"vit_d{d}_w{w}") for lr in (5e-4, 5e-3, 5e-2) for d in (3, 9) for w in (96, 192)}
    assert len(cells) == 12 and {len(c.tasks) for c in cells} == {40}


def test_costs_are_measured_for_the_poster_s_numbers_of_tasks(celeba):
    cell = celeba.costs_cell("celeba_costs")
    assert cell.specification["tasks"] == [2, 5, 10, 20, 40]
    assert set(cell.specification["compared"]) == {
        *("uniform", "rlw", "uncertainty", "imtl_l", "cagrad", "graddrop", "pcgrad", "rotograd")
    }


# --- The paper's Taskonomy experiment (A 1.2, A 2.1), counted by hand ---


@pytest.fixture(scope="module")
def taskonomy(root):
    return Plan(load_config(root / "config.yaml", {"preset": "paper", "only": {"benchmarks": ["taskonomy"]}}))


def test_taskonomy_capacities_runs_and_steps(taskonomy):
    cells = taskonomy.cells.values()
    found = {c.architecture for c in cells}
    assert found == {Architecture("dense", 26, w, s) for w in (16, 32, 64) for s in (0, 2, 4)}
    runs = Counter()
    for cell in cells:
        runs[cell.method] += len(cell.members)
    assert runs == {"single": 9 * 2 * 2, "grid": 9 * 9 * 2}  # capacities x tasks, or x weights, x seeds
    assert {c.steps for c in cells} == {100 * 1075}  # 275,000 / 256 = 1074.2
    assert {tuple(c.specification["maps"].items()) for c in cells} == {
        (("segmentation_2d", 1), ("depth", 1)),
        (("segmentation_2d", 1),),
        (("depth", 1),),
    }


def test_taskonomy_cost_grows_with_what_tasks_do_not_share(taskonomy):
    def flops(task_set, shared, method):
        return taskonomy.flops(taskonomy.cells[f"taskonomy/{task_set}/dense26_w32_shr{shared}/{method}/base"])

    joint = [flops("segmentation_2d+depth", s, "grid") for s in (0, 2, 4)]
    single = [flops("depth", s, "single") for s in (0, 2, 4)]
    assert joint[0] > joint[1] > joint[2] > single[0] and len(set(single)) == 1


# --- The paper's DomainNet experiments (A 1.1, 2.1, 5.1, table B), counted by hand ---


@pytest.fixture(scope="module")
def domainnet(root):
    return Plan(load_config(root / "config.yaml", {"preset": "paper", "only": {"benchmarks": ["domainnet"]}}))


def test_domainnet_runs(domainnet):
    cells = list(domainnet.cells.values())
    base = [c for c in cells if c.variant == "base"]
    runs = runs_of(base)
    # Nine capacities, six domains, two seeds; ResNet-101's sweep shares the one at learning rate 0.03 and 30 epochs.
    assert runs["single"] == 9 * 6 * 2
    assert runs["grid"] == 9 * 5 * 9 * 2  # capacities x pairs with `real` x weights of `real` x seeds
    assert runs["proportional"] == 9 * 5 * 2
    # Table B: ResNet-26, 50 and 101 at widths 0.25 and 1, two seeds.
    for method in ("uniform", "rlw", "uncertainty", "imtl_l", "rotograd", "cagrad", "graddrop", "pcgrad", "pbt"):
        assert runs.pop(method) == 3 * 2 * 2
    assert set(runs) == {"single", "grid", "proportional"}
    # Learning rates x epochs, one of which is the recipe; the last weights of six searches.
    assert len(cells) - len(base) == 4 * 3 - 1 + 6
    assert sum(len(c.members) for c in cells) == 108 + 810 + 90 + 9 * 12 + 11 + 6 * 2 == 1139
    assert {c.architecture.name for c in base} == {f"resnet{d}_w{w}" for d in (26, 50, 101) for w in (16, 32, 64)}


def test_domainnet_searches(domainnet):
    """A 5.1: N = 12, E = 5, Q = 0.25 on 0.7 of the training set: 12 + 3 * 5 weight settings over 30 epochs."""
    assert len(domainnet.searches) == 3 * 2
    for search in domainnet.searches.values():
        assert (search.population, search.epochs_ready, search.quantile) == (12, 5, 0.25)
        assert (len(search.ends), search.configurations) == (6, 27)
        assert search.cell.specification["steps_per_epoch"] == 166  # 0.7 * 120906 / 512 = 165.3


def test_domainnet_steps(domainnet):
    for cell in domainnet.cells.values():
        assert cell.specification["steps_per_epoch"] == 237  # 120906 / 512 = 236.1, the last batch is full as well
        assert cell.steps == 237 * cell.specification["epochs"]
        if cell.variant == "base":
            assert cell.specification["epochs"] == 30
            assert cell.specification["recipe"]["lr"] == 0.03


def test_domainnet_sweep(domainnet):
    cells = [c for c in domainnet.experiment("domainnet_sweep")]
    found = {(c.specification["recipe"]["lr"], c.specification["epochs"]) for c in cells}
    assert found == {(lr, epochs) for lr in (0.3, 0.03, 0.003, 0.0003) for epochs in (30, 60, 90)}
    assert len(cells) == 12
    assert {(c.task_set, c.architecture.name, c.method) for c in cells} == {("real", "resnet101_w64", "single")}


def test_domainnet_accumulates_for_methods_that_keep_task_gradients(domainnet):
    for cell in domainnet.cells.values():
        accumulates = cell.method in ("cagrad", "graddrop", "pcgrad")
        assert cell.specification["recipe"]["accumulate"] == (4 if accumulates else 1), cell.name  # 512 = 128 x 4
        assert cell.specification["recipe"]["batch_size"] == 512


def test_domainnet_weights(domainnet):
    cell = domainnet.cells["domainnet/real+quickdraw/resnet50_w16/proportional/base"]
    assert cell.members[0].weights == (120906 / 241656, 120750 / 241656)


def test_domainnet_conflicts(domainnet):
    cells = list(domainnet.counted.values())
    assert {c.architecture.name for c in cells} == {f"resnet{d}_w{w}" for d in (26, 50) for w in (16, 64)}
    assert {(len(c.tasks), len(c.members), c.specification["recipe"]["accumulate"]) for c in cells} == {(6, 2, 4)}


# --- The paper as a whole ---


def test_paper_in_all(root):
    plan = Plan(load_config(root / "config.yaml", {"preset": "paper"}))
    runs = Counter()
    for cell in plan.cells.values():
        runs[cell.benchmark] += len(cell.members)
    # CIFAR + STL: 72 SD, 324 of the grid, 36 proportional; the others as counted above.
    assert runs == {"cifar_stl": 432, "celeba": 1494, "domainnet": 1139, "taskonomy": 198}
    assert sum(runs.values()) == 3263
    # Conflicts: 12 capacities x 3 seeds, 12 of CelebA, 4 x 2 of DomainNet.
    assert sum(len(c.members) for c in plan.counted.values()) == 36 + 12 + 8
    assert len(plan.searches) == 6 + 6 + 8 + 1 + 6
    members = 6 * 12 + 6 * 8 + 2 * (6 + 12 + 24 + 40) + 12 + 6 * 12
    assert sum(s.population for s in plan.searches.values()) == members == 368


def test_plan_of_the_paper_adds_up(root, tmp_path, capsys):
    knobs = {"preset": "paper", "results": str(tmp_path)}
    plan = Plan(load_config(root / "config.yaml", knobs))
    table = costs.cost_table(plan).to_pylist()
    for kind, count, runs in (("training", 497, 3263), ("conflicts", 28, 56), ("searches", 27, 368)):
        of = [row for row in table if row["kind"] == kind]
        assert (len(of), sum(row["runs"] for row in of)) == (count, runs)
    costs.print_plan(plan)
    said = capsys.readouterr().out
    assert f"{3263 + 56 + 368:,} runs in" in said
    # Stores: 73,000 images of 32 x 32 x 3 bytes; 202,599 of them; a byte and two of each pixel beside its three.
    assert [row.split("│")[-2].strip() for row in said.splitlines() if "training" in row and "│" in row][-4:] == [
        *("224 MB", "622 MB", "108 GB", "18 GB")
    ]
    assert disk.store("taskonomy", plan.info("taskonomy"), ["taskonomy"], ["segmentation_2d", "depth"]) == (
        275_000 * 256 * 256 * (3 + 1 + 2)
    )
    assert disk.originals("digits", ["mnist"]) == 0


def test_paper_has_every_artifact_of_the_paper(root):
    """Of all kinds that there are; `table_digits` and `table_search_methods` of the demo are queries of its own."""
    plan = Plan(load_config(root / "config.yaml", {"preset": "paper"}))
    demo = load_config(root / "config.yaml", {"preset": "demo"}).preset["artifacts"]
    stands_in = {"digits": "cifar_stl", "emoji_people": "celeba", "emoji_styles": "domainnet"}
    stands_in["motorcycle"] = "taskonomy"
    wanted = {next((a.replace(old, new) for old, new in stands_in.items() if a.endswith(old)), a) for a in demo}
    assert wanted - set(plan.artifacts()) == {"table_cifar_stl", "table_search_methods"}
    assert {plan.artifact_kind(a) for a in plan.artifacts()} == {spec.get("kind", a) for a, spec in demo.items()}


# --- Weights ---


@given(tasks=st.integers(1, 5), extra=st.integers(0, 8))
@settings(max_examples=60)
def test_simplex_grid_is_all_interior_points(tasks, extra):
    parts = max(2, tasks + extra)
    names = [f"t{t}" for t in range(tasks)]
    points = grid.weight_settings({"simplex_step": 1 / parts}, names, {})
    assert len(points) == len({tuple(p) for p in points}) == math.comb(parts - 1, tasks - 1)
    for point in points:
        check_simplex(point, names)
        assert min(point) > 0
        assert all(math.isclose(w * parts, round(w * parts), abs_tol=1e-9) for w in point)


def test_simplex_grid_that_is_too_coarse_stops():
    with pytest.raises(ConfigError, match=r"simplex_step = 0\.5.*3 members"):
        grid.weight_settings({"simplex_step": 0.5}, ["a", "b", "c"], {})


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=9, unique=True))
def test_grid_of_two_is_on_the_simplex(p):
    for point in grid.weight_settings({"p1": p}, ["a", "b"], {}):
        check_simplex(point, ["a", "b"])


@given(sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=6))
def test_heuristics_are_on_the_simplex(sizes):
    tasks = [f"t{i}" for i in range(len(sizes))]
    known = dict(zip(tasks, sizes, strict=True)) | {"another": 10**6}
    (weights,) = proportional.weight_settings({}, tasks, known)
    check_simplex(weights, tasks)
    assert all(math.isclose(w * sizes[0], weights[0] * s) for w, s in zip(weights, sizes, strict=True))
    (weights,) = uniform.weight_settings({}, tasks, known)
    check_simplex(weights, tasks)
    assert len(set(weights)) == 1


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.2, -0.2], [0.5, 0.4999], [float("nan"), 1.0], [1.0]])
def test_off_the_simplex(weights):
    with pytest.raises(ConfigError):
        check_simplex(weights, ["a", "b"])


# --- Cells of several experiments ---

GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"


def two_experiments(preset, methods, **changes):
    first = preset["experiments"]["pair"]
    preset["experiments"]["second"] = {**first, "methods": methods, **changes}
    return preset


def test_experiments_share_a_cell(tiny, make_plan):
    tiny["experiments"]["pair"]["methods"] = {"grid": {"p1": [0.3, 0.7]}}
    plan = make_plan(two_experiments(tiny, {"grid": {"p1": [0.7, 0.5]}}, seeds=2))
    assert list(plan.cells) == [GRID]
    found = [(m.index, m.weights[0], m.seed) for m in plan.cells[GRID].members]
    # 0.3 with one seed from the first; 0.7 from both; 0.5 from the second, which has two seeds
    assert found == [(0, 0.3, 0), (1, 0.7, 0), (1, 0.7, 1), (2, 0.5, 0), (2, 0.5, 1)]
    assert [c.name for c in plan.experiment("second")] == [GRID]


def test_same_weights_written_differently_are_one_member(tiny, make_plan):
    tiny["experiments"]["pair"]["methods"] = {"grid": {"p1": [i / 10 for i in range(1, 10)]}}
    plan = make_plan(two_experiments(tiny, {"grid": {"simplex_step": 0.1}}))
    assert len(plan.cells[GRID].members) == 9
    tiny["experiments"]["second"]["methods"] = {"grid": {"points": [[0.3, 0.7], [0.9, 0.1]]}}
    assert len(make_plan(tiny).cells[GRID].members) == 9


def test_baselines_are_trained_once_for_all_task_sets(tiny, make_plan):
    tiny["benchmarks"]["digits"]["domains"].append("mfeat")
    tiny["experiments"]["pair"]["task_sets"] = {
        "mnist+optdigits": ["mnist", "optdigits"],
        "mnist+mfeat": ["mnist", "mfeat"],
    }
    plan = make_plan(tiny)
    assert Counter(c.method for c in plan.cells.values()) == {"single": 3, "grid": 2}


def test_experiments_that_disagree_on_a_cell_are_named(tiny, make_plan):
    two_experiments(tiny, {"grid": {"p1": [0.3]}}, variants={"base": {"recipe": {"lr": 0.5}}})
    with pytest.raises(ConfigError) as caught:
        make_plan(tiny)
    for word in ("experiments.second", "experiments.pair", GRID, "recipe", "0.5", "0.003"):
        assert word in str(caught.value)


def test_task_set_of_one_name_with_members_in_another_order_is_a_conflict(tiny, make_plan):
    two_experiments(tiny, {"grid": {"p1": [0.3]}}, task_sets={"mnist+optdigits": ["optdigits", "mnist"]})
    with pytest.raises(ConfigError, match=r"experiments\.second.*tasks"):
        make_plan(tiny)


def test_specification_holds_all_that_a_run_depends_on(tiny, make_plan):
    base = make_plan(tiny).cells[GRID].describe()
    for path, value in [("lr", 0.1), ("batch_size", 50), ("epochs", 4), ("precision", "bfloat16"), ("eval_every", 1)]:
        tiny["benchmarks"]["digits"]["recipe"] |= {path: value}
        changed = make_plan(tiny).cells[GRID].describe()
        assert changed != base
        base = changed
    assert make_plan(tiny, seed=1).cells[GRID].describe() != base
    assert make_plan(tiny, threads=2).cells[GRID].describe() != base
    # These say where and when something runs, never what comes out.
    tiny["jobs"] = {"minutes": 0, "members_per_job": 1}
    assert make_plan(tiny, checkpoint_seconds=1).cells[GRID].describe() == base


# --- A part of a preset ---


def test_only_some_capacities_and_seeds(smoke, make_plan):
    whole = make_plan(smoke)
    part = make_plan(smoke, only={"capacities": ["vit_d1_w16"], "seeds": [1]})
    assert set(part.cells) == {name for name in whole.cells if "vit_d1_w16" in name}
    for name, cell in part.cells.items():
        # The same runs under the same numbers, so that a part can be completed later.
        assert cell.members == tuple(m for m in whole.cells[name].members if m.seed == 1)
    assert part.artifacts() == whole.artifacts()


def test_only_leaves_out_artifacts_without_any_cell(smoke, make_plan):
    experiment = smoke["experiments"]["digits_pair"]
    smoke["experiments"]["wide"] = {**experiment, "architectures": {"family": "vit", "depth": [1], "width": [32]}}
    smoke["artifacts"]["figure_b_wide"] = {"kind": "figure_b", "experiment": "wide"}
    assert "figure_b_wide" in make_plan(smoke).artifacts()
    part = make_plan(smoke, only={"capacities": ["vit_d1_w8"]})
    assert part.artifacts() == [a for a in smoke["artifacts"] if a != "figure_b_wide"]


def test_only_leaves_out_artifacts_of_experiments_of_which_nothing_but_a_search_is_left(root):
    part = {"preset": "paper", "only": {"benchmarks": ["celeba"], "capacities": ["vit_d6_w48"]}}
    plan = Plan(load_config(root / "config.yaml", part))
    assert set(plan.searches) == {"celeba_pbt/vit_d6_w48", "celeba_pb2/vit_d6_w48"}
    assert {"figure_e", "table_c"} <= set(plan.artifacts())
    assert not {"table_search_on", "table_d", "rebuttal_table_2", "rebuttal_figure_2"} & set(plan.artifacts())


def test_only_nothing_stops(smoke, make_plan):
    smoke["experiments"]["other"] = {**smoke["experiments"]["digits_pair"], "seeds": 3}
    smoke["experiments"]["other"]["architectures"] = {"family": "vit", "depth": [1], "width": [32]}
    with pytest.raises(ConfigError, match=r"only = .*vit_d1_w8.*nothing"):
        make_plan(smoke, only={"capacities": ["vit_d1_w8"], "seeds": [2]})


def test_steps_of_an_epoch_can_be_given(tiny, make_plan):
    """The very steps, of a fraction that much of them rounded up; nothing else of the specification changes."""
    before = make_plan(tiny).cells[GRID].describe()
    tiny["benchmarks"]["digits"]["recipe"]["steps_per_epoch"] = 3
    plan = make_plan(tiny)
    assert plan.cells[GRID].describe() == before | {"steps_per_epoch": 3} and before["steps_per_epoch"] == 4
    search = {"benchmark": "digits", "task_set": {"pair": ["mnist", "optdigits"]}, "method": "pbt", "quantile": 0.5}
    grid = {"family": "vit", "depth": [1], "width": [8]}
    tiny["searches"] = {"found": {**search, "architectures": grid, "population": 2, "epochs_ready": 1, "fraction": 0.5}}
    plan = make_plan(tiny)
    (found,) = plan.searches.values()
    assert found.cell.specification["steps_per_epoch"] == 2 and plan.full_steps(found) == 3 * 3


def test_only_of_the_paper_leaves_out_what_has_none_of_it(celeba):
    assert {c.benchmark for c in celeba.cells.values()} == {"celeba"} and celeba.benchmarks() == ["celeba"]
    assert {s.cell.benchmark for s in celeba.searches.values()} == {"celeba"}
    assert celeba.artifacts() == [
        *("figure_2_celeba", "figure_3", "rebuttal_figure_1a", "rebuttal_figure_1b", "table_a", "table_c", "table_d"),
        *("table_main", "table_costs", "figure_1", "figure_e", "rebuttal_table_1a", "rebuttal_table_2"),
        *("rebuttal_figure_2", "table_search_on", "table_search_cost"),
    ]


# --- Shares and jobs ---


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100, None])
def test_shares_partition_the_members(smoke, make_plan, limit):
    smoke["jobs"] = {"members_per_job": limit}
    plan = make_plan(smoke)
    for cell in plan.cells.values():
        shares = plan.shares(cell)
        assert sorted((m.index, m.seed) for s in shares for m in s.members) == [(m.index, m.seed) for m in cell.members]
        lengths = [len(s.members) for s in shares]
        assert max(lengths) - min(lengths) <= 1 and (limit is None or max(lengths) <= limit)
        assert len({plan.share_file(s) for s in shares}) == len(shares)
        assert (plan.share_file(shares[0]) == plan.run_file(cell)) == (len(shares) == 1)
        assert [plan.share(s.name) for s in shares] == shares


@pytest.mark.parametrize("minutes", [0, 0.01, 0.05, 1000])
@pytest.mark.parametrize("limit", [3, None])
def test_jobs_train_every_share_once(smoke, make_plan, minutes, limit):
    smoke["jobs"] = {"members_per_job": limit, "minutes": minutes}
    plan = make_plan(smoke)
    jobs = plan.jobs()
    trained = Counter(s.name for job in jobs for s in job.shares)
    assert set(trained.values()) == {1}
    assert set(trained) == {s.name for c in plan.cells.values() for s in plan.shares(c)}
    assert len({j.name for j in jobs}) == len(jobs)
    if minutes == 0:
        assert all(len(j.shares) == 1 for j in jobs)
    if minutes == 1000:
        assert len(jobs) == 1


@pytest.mark.parametrize("preset", ["smoke", "demo", "paper_tiny", "paper"])
@pytest.mark.parametrize("minutes", [None, 0.003, 0.3, 10])
def test_short_jobs_share_no_benchmark_and_no_search(root, preset, minutes):
    """Each job takes half of `minutes` at least, unless nothing else of its benchmark can begin at the same time."""
    plan = Plan(load_config(root / "config.yaml", {"preset": preset}))
    minutes = plan.config.preset["jobs"]["minutes"] if minutes is None else minutes
    plan.config.preset["jobs"]["minutes"] = minutes

    def waits_for(job):
        (session,) = {search and search.session for search in (plan.search_of(s.cell) for s in job.shares)}
        return job.benchmark, session

    jobs = {job: waits_for(job) for job in plan.jobs()} | {job: job.benchmark for job in plan.conflict_jobs()}
    alone = Counter(jobs.values())
    for job, group in jobs.items():
        assert job.seconds >= minutes * 60 / 2 or alone[group] == 1, job.name


@pytest.mark.parametrize("minutes", [0.7, 2, 5])
def test_what_is_little_is_trained_in_one_job(root, minutes):
    """So a figure that wants it trains one job's worth of what others want, at most."""
    plan = Plan(load_config(root / "config.yaml", {"preset": "demo"}))
    plan.config.preset["jobs"]["minutes"] = minutes
    limit = minutes * 60
    names = {e: {c.name for c in cells} for e, cells in plan.experiment_cells.items()}
    cost, jobs = defaultdict(float), defaultdict(set)
    for job in plan.jobs():
        for share in job.shares:
            users = tuple(e for e, wanted in names.items() if share.cell.name in wanted)
            search = plan.search_of(share.cell)
            group = (job.benchmark, search and search.session, users)
            cost[group] += len(share.members) * plan.seconds(share.cell)
            jobs[group].add(job)
    little = [group for group in cost if cost[group] < limit / 2]
    assert len(little) > 3
    for group in little:
        (job,) = jobs[group]
        assert job.seconds < 1.5 * limit


def test_jobs_keep_benchmarks_apart(smoke, root, make_plan):
    paper = load_config(root / "config.yaml", {"preset": "paper"}).preset
    smoke["benchmarks"]["cifar_stl"] = paper["benchmarks"]["cifar_stl"]
    smoke["experiments"]["cifar_stl_pair"] = paper["experiments"]["cifar_stl_pair"]
    smoke["jobs"]["minutes"] = 10**6
    jobs = make_plan(smoke).jobs()
    assert {j.benchmark for j in jobs} == {"digits", "cifar_stl"}
    assert all(s.cell.benchmark == j.benchmark for j in jobs for s in j.shares)


def test_unknown_cells_and_parts_are_named(smoke, make_plan):
    plan = make_plan(smoke)
    with pytest.raises(ConfigError, match=r"vit_d1_w9.*did you mean .*vit_d1_w8"):
        plan.share("digits/mnist/vit_d1_w9/single/base")
    with pytest.raises(ConfigError, match="no part '4/2'"):
        plan.share("digits/mnist+optdigits/vit_d1_w8/grid/base@4/2")


def test_fingerprint_changes_with_members_and_recipe(tiny, make_plan):
    def fingerprint():
        plan = make_plan(tiny)
        return plan.shares(plan.cells[GRID])[0].fingerprint()

    found = [fingerprint(), fingerprint()]
    tiny["experiments"]["pair"]["methods"]["grid"]["p1"].append(0.5)
    found.append(fingerprint())
    tiny["experiments"]["pair"]["seeds"] = 2
    found.append(fingerprint())
    tiny["benchmarks"]["digits"]["recipe"]["lr"] = 0.1
    found.append(fingerprint())
    assert found[0] == found[1] and len(set(found)) == 4


# --- Dense prediction ---


@pytest.fixture
def dense(tiny):
    """A small preset on the motorcycle."""
    recipe = {"optimizer": "sgd", "lr": 0.1, "batch_size": 8, "epochs": 1}
    tiny["benchmarks"] = {"motorcycle": {"domains": ["motorcycle"], "reference": "motorcycle", "model": {}}}
    tiny["benchmarks"]["motorcycle"]["recipe"] = recipe
    tiny["experiments"]["pair"] |= {
        "benchmark": "motorcycle",
        "task_sets": {"set": ["normals", "depth"]},
        "architectures": {"family": "dense", "depth": [26], "width": [8, 16], "shared_layers": [0, 5]},
    }
    tiny["artifacts"] = {"figure_c": {"experiment": "pair"}}
    return tiny


def test_dense_cells_have_maps_and_predictions(dense, make_plan):
    plan = make_plan(dense)
    cell = plan.cells["motorcycle/set/dense26_w16_shr5/grid/base"]
    assert cell.specification["maps"] == {"normals": 3, "depth": 1}
    assert cell.steps == math.ceil(122 / 8)
    (share,) = plan.shares(cell)
    assert [f.parent.parts[-5:-4] for f in plan.share_outputs(share)] == [("runs",), ("examples",)]
    dense["jobs"] = {"members_per_job": 1}
    plan = make_plan(dense)
    outputs = [f for s in plan.shares(plan.cells[cell.name]) for f in plan.share_outputs(s)]
    assert len(set(outputs)) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p["experiments"]["pair"]["task_sets"].update(set=["normal", "depth"]), ["did you mean 'normals'"]),
        (lambda p: p["experiments"]["pair"]["task_sets"].update(set="groups"), ["has no groups, name the tasks"]),
        (lambda p: p["experiments"]["pair"]["architectures"].pop("shared_layers"), ["shared_layers is missing"]),
        (
            lambda p: p["experiments"]["pair"].update(architectures={"family": "vit", "depth": [1], "width": [12]}),
            ["'motorcycle' needs dense"],
        ),
        (lambda p: p["benchmarks"]["motorcycle"].update(tasks=["depths"]), ["tasks", "did you mean 'depth'"]),
        (lambda p: p["benchmarks"]["motorcycle"].update(tasks=["depth"]), ["'normals' is not one"]),
        (
            lambda p: p["benchmarks"]["motorcycle"]["recipe"].update(
                augmentation={"randaugment": {"num_ops": 1, "magnitude": 5}}
            ),
            ["randaugment: maps would have to be transformed"],
        ),
        (
            lambda p: (
                p["benchmarks"]["motorcycle"]["model"].update(skips=True),
                p["experiments"]["pair"]["methods"].update(rotograd={}),
            ),
            ["methods.rotograd", "skips: false"],
        ),
        (lambda p: p["experiments"]["pair"]["methods"].update(proportional={}), ["proportional", "normals"]),
    ],
)
def test_dense_presets_that_cannot_be_run_say_why(dense, make_plan, change, words):
    change(dense)
    with pytest.raises(ConfigError) as caught:
        make_plan(dense)
    assert all(word in str(caught.value) for word in words)


def test_dense_networks_are_for_maps_only(tiny, make_plan):
    tiny["experiments"]["pair"]["architectures"] = {
        "family": "dense",
        "depth": [26],
        "width": [8],
        "shared_layers": [0],
    }
    with pytest.raises(ConfigError, match="'digits' needs another than dense"):
        make_plan(tiny)


# --- Architectures ---


@given(family=st.sampled_from(["vit", "resnet"]), depth=st.integers(1, 999), width=st.integers(1, 9999))
def test_architecture_names_round_trip(family, depth, width):
    architecture = Architecture(family, depth, width)
    assert Architecture.parse(architecture.name) == architecture


def test_architecture_names_are_readable():
    assert Architecture("vit", 6, 96).name == "vit_d6_w96"
    assert Architecture("resnet", 50, 16).name == "resnet50_w16"


@pytest.mark.parametrize("name", ["vit", "vit_d_w8", "vit_d1_w8x", "vit_d1", "resnet_d1_w8", "vit_d1_w8/grid", ""])
def test_other_names_are_no_architectures(name):
    with pytest.raises(ValueError, match="vit_d6_w96"):
        Architecture.parse(name)


def test_expand_is_depth_times_width():
    names = [a.name for a in expand({"family": "vit", "depth": [1, 2], "width": [8, 16]})]
    assert names == ["vit_d1_w8", "vit_d1_w16", "vit_d2_w8", "vit_d2_w16"]


@pytest.mark.parametrize(
    ("name", "patch", "heads", "mlp_ratio", "size", "channels"),
    [("vit_d3_w48", 4, 12, 2, 32, 3), ("vit_d9_w192", 4, 12, 2, 32, 3), ("vit_d2_w80", 4, 8, 4, 16, 1)],
)
def test_flops_are_those_of_the_real_network(name, patch, heads, mlp_ratio, size, channels):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from scalarization import models

    architecture = Architecture.parse(name)
    options = {"patch": patch, "heads": heads, "mlp_ratio": mlp_ratio, "drop_path": 0.0}
    network = models.build(architecture, options, (size, size, channels), 10)
    # Attention written out as matrix products, which the counter sees on every device.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, size, size))
    assert forward_flops(architecture, options, size, channels) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_cells_hold_the_options_of_their_family_only(tiny, make_plan):
    """So that an option of one family trains nothing of another again."""
    assert set(make_plan(tiny).cells[GRID].specification["model"]) == {"patch", "heads", "mlp_ratio", "drop_path"}
    tiny["experiments"]["pair"]["architectures"] = {"family": "resnet", "depth": [14], "width": [16]}
    cell = make_plan(tiny).cells["digits/mnist+optdigits/resnet14_w16/grid/base"]
    assert cell.specification["model"] == {"stem": "plain", "channels": 64, "scale_stages": False}


@pytest.mark.parametrize(
    ("depth", "width", "model", "words"),
    [
        (34, 64, {}, "depth 34 is no ResNet of bottleneck blocks here; choose among 14, 26, 50, 101"),
        (26, 4, {"channels": 8}, "width 4 leaves nothing of the first stage's 8 channels"),
        (26, 64, {"channels": 9, "stem": "deep"}, "even number of channels"),
        (26, 4, {"scale_stages": True, "channels": 8}, "width 4 leaves nothing"),
    ],
)
def test_impossible_resnets_are_named(tiny, make_plan, depth, width, model, words):
    tiny["benchmarks"]["digits"]["model"] = model
    tiny["experiments"]["pair"]["architectures"] = {"family": "resnet", "depth": [depth], "width": [width]}
    with pytest.raises(ConfigError, match=words):
        make_plan(tiny)


def test_estimates_add_up(paper):
    cell = paper.cells["cifar_stl/stl10/vit_d9_w192/single/base"]
    # A forward pass and a backward pass of twice its cost, for every image of 6,000 batches of 256.
    forward = forward_flops(cell.architecture, cell.specification["model"], 32, 3)
    assert paper.flops(cell) == 3 * forward * 6000 * 256
    assert paper.seconds(cell) == pytest.approx(6000 * 0.02 + paper.flops(cell) / 5e12)


# --- Cells in which conflicts are counted ---

COUNTED = "digits/mnist+optdigits/vit_d2_w8/uniform/base"


def with_conflicts(preset, **changes):
    pair = preset["experiments"]["pair"]
    spec = {k: pair[k] for k in ("benchmark", "task_sets", "architectures", "seeds")}
    preset["conflicts"] = {"counted": {**spec, **changes}}
    preset["artifacts"]["figure_3"] = {"conflicts": ["counted"]}
    return preset


def test_counted_cells_are_uniform_evaluated_every_epoch_and_beside_those_of_experiments(tiny, make_plan):
    tiny["experiments"]["pair"]["methods"] = {"uniform": {}}
    plan = make_plan(with_conflicts(tiny, seeds=3, every=2))
    assert list(plan.cells) == list(plan.counted) == [COUNTED]
    plain, counted = plan.cells[COUNTED], plan.counted[COUNTED]
    assert [(m.seed, m.weights) for m in counted.members] == [(s, (0.5, 0.5)) for s in range(3)]
    assert counted.specification["conflicts"] == {"every": 2} and "conflicts" not in plain.specification
    assert counted.specification["recipe"] == plain.specification["recipe"] | {"eval_every": 1, "compile": False}
    assert plan.run_file(counted) != plan.run_file(plain) and counted.code != plain.code
    assert plan.artifact_inputs("figure_3") == [plan.run_file(counted)]
    trained, counting = plan.jobs(), plan.conflict_jobs()
    assert [s.cell for job in trained for s in job.shares] == [plain]
    assert [s.cell for job in counting for s in job.shares] == [counted]
    assert plan.counted_cell(COUNTED) is counted
    with pytest.raises(ConfigError, match=r"no cell digits/other"):
        plan.counted_cell("digits/other")


@pytest.mark.parametrize("minutes", [0, 1000])
def test_counting_jobs_take_every_cell_once(tiny, make_plan, minutes):
    tiny["jobs"] = {"minutes": minutes, "members_per_job": 1}
    tiny["conflicts"] = {}
    architectures = {"family": "vit", "depth": [1, 2], "width": [8, 16]}
    plan = make_plan(with_conflicts(tiny, architectures=architectures, seeds=3))
    jobs = plan.conflict_jobs()
    assert len(jobs) == (1 if minutes else 4)
    assert sorted(s.name for j in jobs for s in j.shares) == sorted(plan.counted)


@pytest.mark.parametrize("every", [1, 4])
def test_cost_of_counting(root, every):
    """(3 + 2 T) / 3 steps of attributes, the batch once more of domains; a k-th of that for every k-th step."""
    plan = Plan(load_config(root / "config.yaml", {"preset": "demo"}))
    plan.config.preset["throughput"]["seconds_per_step"] = 0.0
    for cell in plan.counted.values():
        cell.specification["conflicts"] = {"every": every}
        tasks, flops = len(cell.tasks), plan.flops(cell) / plan.config.preset["throughput"]["flops_per_second"]
        more = 2 * tasks / 3 if cell.specification["setting"] == "mtl" else 1
        assert plan.seconds(cell) == pytest.approx(flops * (1 + more / every))
    assert {c.specification["setting"] for c in plan.counted.values()} == {"mtl", "mdl"}


def test_only_selects_counted_cells(tiny, make_plan):
    with_conflicts(tiny, architectures={"family": "vit", "depth": [1, 2], "width": [8]}, seeds=2)
    part = make_plan(tiny, only={"capacities": ["vit_d1_w8"], "seeds": [1]})
    assert [(c.architecture.name, [m.seed for m in c.members]) for c in part.counted.values()] == [("vit_d1_w8", [1])]
    assert not part.cells and part.artifacts() == ["figure_3"] and part.benchmarks() == ["digits"]
    assert list(make_plan(tiny, only={"seeds": [0]}).counted) == list(make_plan(tiny).counted)


MISTAKES = {
    "one task": ({"task_sets": {"alone": ["mnist"]}}, ["conflicts.counted.task_sets.alone", "another"]),
    "compiled": ({"variants": {"fast": {"recipe": {"compile": True}}}}, ["conflicts.counted", "compile = true"]),
    "too seldom": ({"every": 5}, ["conflicts.counted.every", "5 is more than the 4 steps"]),
    "unknown benchmark": ({"benchmark": "digit"}, ["conflicts.counted.benchmark", "'digit'"]),
    "unknown domain": ({"task_sets": {"two": ["mnist", "mnits"]}}, ["conflicts.counted.task_sets", "'mnist'?"]),
    "unknown key": ({"evry": 2}, ["conflicts.counted.evry", "did you mean 'every'"]),
    "zero steps": ({"every": 0}, ["conflicts.counted.every", "0"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_impossible_counting_stops(name, tiny, make_plan):
    changes, words = MISTAKES[name]
    with pytest.raises(ConfigError) as caught:
        make_plan(with_conflicts(tiny, **changes))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_artifact_of_unknown_counting_stops(tiny, make_plan):
    tiny = with_conflicts(tiny)
    tiny["artifacts"]["figure_3"]["conflicts"] = ["count"]
    with pytest.raises(ConfigError, match=r"artifacts\.figure_3\.conflicts: 'count' is unknown; .*'counted'"):
        make_plan(tiny)


def test_sections_that_disagree_on_a_counted_cell_are_named(tiny, make_plan):
    with_conflicts(tiny)
    tiny["conflicts"]["again"] = {**tiny["conflicts"]["counted"], "every": 2}
    with pytest.raises(ConfigError, match=r"conflicts\.again: its cell .* conflicts\.counted in conflicts"):
        make_plan(tiny)
