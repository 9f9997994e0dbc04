"""The published scale: cells, runs, steps and searches of the preset `paper`, counted by hand."""

import math
from collections import Counter

import pytest

from scalarization.architectures import Architecture
from scalarization.config import ViTOptions
from scalarization.plan import artifacts, estimates, packing
from scalarization.reports.plan import estimate_table, print_plan


def of_benchmark(name):
    """A fixture: the part of the paper that is about one benchmark."""

    @pytest.fixture(scope="module", name=name)
    def plan(shipped_plan):
        return shipped_plan("paper", only={"benchmarks": [name]})

    return plan


cifar_stl, celeba, taskonomy, domainnet = map(of_benchmark, ("cifar_stl", "celeba", "taskonomy", "domainnet"))


def runs_of(cells):
    runs = Counter()
    for cell in cells:
        runs[cell.method] += len(cell.runs)
    return runs


# --- CIFAR + STL (appendix 1.1, 2.1) ---


def test_cifar_stl_has_twelve_capacities(cifar_stl):
    architectures = {cell.architecture for cell in cifar_stl.cells.values()}
    assert architectures == {Architecture("vit", d, w) for d in (3, 6, 9) for w in (48, 96, 144, 192)}
    assert len(architectures) == 3 * 4


def test_cifar_stl_runs(cifar_stl):
    runs = runs_of(cifar_stl.cells.values())
    assert runs["single"] == 12 * 2 * 3  # capacities x domains x seeds
    assert runs["grid"] == 12 * 9 * 3  # capacities x weights of STL-10 x seeds
    assert runs["proportional"] == 12 * 3
    assert sum(runs.values()) == 432
    assert len(cifar_stl.cells) == 12 * (2 + 1 + 1)


def test_cifar_stl_steps(cifar_stl):
    for cell in cifar_stl.cells.values():
        assert cell.specification.steps_per_epoch == 20  # 5000 / 256 = 19.53, the last batch is full as well
        assert cell.specification.epochs == 300
        assert cell.steps == 6000
        assert estimates.images(cell) == 6000 * 256


def test_cifar_stl_weights(cifar_stl):
    cell = cifar_stl.cells["cifar_stl/stl10+cifar10/vit_d9_w192/proportional/base"]
    assert cell.tasks == ("stl10", "cifar10")
    assert {run.weights for run in cell.runs} == {(5000 / 55000, 50000 / 55000)}
    assert round(cell.runs[0].weights[0], 4) == 0.0909
    cell = cifar_stl.cells["cifar_stl/stl10+cifar10/vit_d3_w48/grid/base"]
    assert [run.weights[0] for run in cell.runs if run.seed == 0] == [p / 10 for p in range(1, 10)]
    assert all(math.isclose(sum(run.weights), 1) for run in cell.runs)
    assert [run.seed for run in cell.runs] == [0, 1, 2] * 9
    assert [run.weight_setting for run in cell.runs] == [i for i in range(9) for _ in range(3)]


def test_models_of_one_domain_are_evaluated_on_both(cifar_stl):
    single = cifar_stl.cells["cifar_stl/stl10/vit_d3_w48/single/base"]
    assert single.tasks == ("stl10",) and {run.weights for run in single.runs} == {(1.0,)}
    assert single.specification.outputs.evaluated == ("cifar10", "stl10")


def test_cells_of_the_grid_are_split_over_jobs(cifar_stl):
    cell = cifar_stl.cells["cifar_stl/stl10+cifar10/vit_d3_w48/grid/base"]
    assert [len(shard.runs) for shard in cifar_stl.shards(cell)] == [9, 9, 9]  # 27 runs, at most 9 in a job


def test_estimates_add_up(cifar_stl):
    from scalarization.architectures import forward_flops

    cell = cifar_stl.cells["cifar_stl/stl10/vit_d9_w192/single/base"]
    # A forward pass and a backward pass of twice its FLOPs, for every image of 6,000 batches of 256.
    forward = forward_flops(cell.architecture, cell.specification.model, 32, 3)
    flops = estimates.flops(cifar_stl, cell)
    assert flops == 3 * forward * 6000 * 256
    assert estimates.seconds(cifar_stl, cell) == pytest.approx(6000 * 0.02 + flops / 5e12)


# --- CelebA (appendix 1.2, 2.1, 5, tables A, C, D; rebuttal) ---


def test_celeba_runs(celeba):
    cells = list(celeba.cells.values())
    base = [cell for cell in cells if cell.variant == "base"]
    runs = runs_of(base)
    # Main-text figure 2: 12 capacities x 3 pairs of groups, three seeds. Rebuttal table 2: the simplex of three at step
    # 0.2 has (4 choose 2) = 6 interior points.
    assert runs.pop("grid") == 12 * 3 * 9 * 3 + 6 * 3  # capacities x pairs x weights of the first x seeds
    # SD of the six groups in pairs at every capacity, of the other two at those of tables C and D.
    assert runs.pop("single") == 12 * 6 * 3 + 6 * 2 * 3
    # Appendix tables C and D: 2 depths x 3 widths, three seeds.
    tables = 2 * 3 * 3
    for method in ("uncertainty", "imtl_l", "cagrad", "graddrop", "pcgrad", "rotograd", "pb2"):
        assert runs.pop(method) == tables
    # In addition rebuttal table 1a, four seeds, and rebuttal table 2, three.
    assert runs.pop("uniform") == tables + 4 + 3
    assert runs.pop("rlw") == tables + 4
    assert runs.pop("pbt") == tables + 3
    assert not runs
    # Last weights of PBT and PB2; searched on two smaller models, three seeds; rebuttal table 1a: N x E, two seeds.
    others = runs_of(cell for cell in cells if cell.variant != "base")
    assert others == {"pbt": tables + 2 * 3 + 4 * 2 * 2, "pb2": tables}
    grid, single = 972 + 18, 216 + 36
    assert sum(len(cell.runs) for cell in cells) == grid + single + 7 * 18 + 25 + 22 + 21 + 40 + 18 == 1494


def test_celeba_trains_as_published(celeba):
    for cell in [*celeba.cells.values(), *celeba.counted.values()]:
        specification, recipe = cell.specification, cell.specification.recipe
        assert specification.steps_per_epoch == 636  # 162770 / 256 = 635.8
        assert cell.steps == 50 * 636
        assert (recipe.optimizer, recipe.weight_decay, recipe.warmup_epochs) == ("adamw", 0.05, 5)
        assert recipe.lr == 5e-4 or cell.counts_conflicts
        assert specification.model == ViTOptions(patch=4, heads=12, mlp_ratio=2, drop_path=0.1)
        assert len(specification.outputs.labels) == 40
    groups = celeba.cells["celeba/groups8/vit_d6_w48/uniform/base"].specification.outputs.attributes
    assert len(groups) == 8 and sum(map(len, groups.values())) == 32
    assert {len(cell.tasks) for cell in celeba.cells.values()} == {1, 2, 3, 8, 40}


def test_celeba_capacities(celeba):
    def architectures(*task_sets):
        return {cell.architecture.name for cell in celeba.cells.values() if cell.task_set in task_sets}

    every = {f"vit_d{d}_w{w}" for d in (3, 6, 9) for w in (48, 96, 144, 192)}
    assert architectures("gender+age", "mouth+clothes") == every
    assert architectures("groups8") == {f"vit_d{d}_w{w}" for d in (6, 9) for w in (48, 96, 192)}  # 0.25, 0.5, 1
    assert architectures("all40", "three") == {"vit_d9_w192"}


def test_celeba_searches(celeba):
    """Appendix 5: N = 12 (PB2: 8), E = 3, Q = 0.4 on 0.7 of the images, six models; rebuttal: N x E, three tasks."""
    searches = celeba.searches.values()
    assert Counter((len(s.cell.tasks), s.method, s.population, s.epochs_ready, s.quantile) for s in searches) == {
        (8, "pbt", 12, 3, 0.4): 6,
        (8, "pb2", 8, 3, 0.4): 6,
        **{(40, "pbt", n, e, 0.25): 1 for n in (6, 12, 24, 40) for e in (3, 5)},
        (3, "pbt", 12, 3, 0.25): 1,
    }
    for search in searches:
        assert search.cell.specification.steps_per_epoch == 446  # 0.7 * 162770 / 256 = 445.1
        assert search.full_steps == 50 * 636
        assert len(search.interval_ends) == (17 if search.epochs_ready == 3 else 10)  # of 50 epochs
    # ceil(12 * 0.4) = 5
    assert celeba.searches["celeba_pbt/vit_d9_w192"].num_configurations == 12 + 5 * 16


def test_celeba_conflicts(celeba):
    """Rebuttal figure 1a: 40 attributes, three learning rates, depths 3 and 9, widths 0.5 and 1."""
    cells = list(celeba.counted.values())
    counted = {(cell.specification.recipe.lr, cell.architecture.name) for cell in cells}
    assert counted == {(lr, f"vit_d{d}_w{w}") for lr in (5e-4, 5e-3, 5e-2) for d in (3, 9) for w in (96, 192)}
    assert len(cells) == 12 and {len(cell.tasks) for cell in cells} == {40}


def test_time_and_memory_are_measured_for_the_poster_s_numbers_of_tasks(celeba):
    profile = celeba.profile("celeba_costs")
    assert profile.num_tasks == (2, 5, 10, 20, 40)
    assert set(profile.methods) == {
        *("uniform", "rlw", "uncertainty", "imtl_l", "cagrad", "graddrop", "pcgrad", "rotograd")
    }


# --- Taskonomy (appendix 1.2, 2.1) ---


def test_taskonomy_capacities_runs_and_steps(taskonomy):
    cells = taskonomy.cells.values()
    architectures = {cell.architecture for cell in cells}
    assert architectures == {Architecture("dense", 26, w, s) for w in (16, 32, 64) for s in (0, 2, 4)}
    assert runs_of(cells) == {"single": 9 * 2 * 2, "grid": 9 * 9 * 2}  # capacities x tasks, or x weights, x seeds
    assert {cell.steps for cell in cells} == {100 * 1075}  # 275,000 / 256 = 1074.2
    assert {tuple(cell.specification.outputs.maps.items()) for cell in cells} == {
        (("segmentation_2d", 1), ("depth", 1)),
        (("segmentation_2d", 1),),
        (("depth", 1),),
    }


def test_flops_of_taskonomy_grow_with_what_tasks_do_not_share(taskonomy):
    def flops(task_set, shared, method):
        cell = taskonomy.cell(f"taskonomy/{task_set}/dense26_w32_shr{shared}/{method}/base")
        return estimates.flops(taskonomy, cell)

    joint = [flops("segmentation_2d+depth", s, "grid") for s in (0, 2, 4)]
    single = [flops("depth", s, "single") for s in (0, 2, 4)]
    assert joint[0] > joint[1] > joint[2] > single[0] and len(set(single)) == 1


# --- DomainNet (appendix 1.1, 2.1, 5.1, table B) ---


def test_domainnet_runs(domainnet):
    cells = list(domainnet.cells.values())
    base = [cell for cell in cells if cell.variant == "base"]
    runs = runs_of(base)
    # Nine capacities, six domains, two seeds; ResNet-101's sweep shares the one at learning rate 0.03 and 30 epochs.
    assert runs["single"] == 9 * 6 * 2
    assert runs["grid"] == 9 * 5 * 9 * 2  # capacities x pairs with `real` x weights of `real` x seeds
    assert runs["proportional"] == 9 * 5 * 2
    # Appendix table B: ResNet-26, 50 and 101 at widths 0.25 and 1, two seeds.
    for method in ("uniform", "rlw", "uncertainty", "imtl_l", "rotograd", "cagrad", "graddrop", "pcgrad", "pbt"):
        assert runs.pop(method) == 3 * 2 * 2
    assert set(runs) == {"single", "grid", "proportional"}
    # Learning rates x epochs, one of which is the recipe; the last weights of six searches.
    assert len(cells) - len(base) == 4 * 3 - 1 + 6
    assert sum(len(cell.runs) for cell in cells) == 108 + 810 + 90 + 9 * 12 + 11 + 6 * 2 == 1139
    assert {cell.architecture.name for cell in base} == {f"resnet{d}_w{w}" for d in (26, 50, 101) for w in (16, 32, 64)}


def test_domainnet_searches(domainnet):
    """Appendix 5.1: N = 12, E = 5, Q = 0.25 on 0.7 of the images: 12 + 3 * 5 weight vectors over 30 epochs."""
    assert len(domainnet.searches) == 3 * 2
    for search in domainnet.searches.values():
        assert (search.population, search.epochs_ready, search.quantile) == (12, 5, 0.25)
        assert (len(search.interval_ends), search.num_configurations) == (6, 27)
        assert search.cell.specification.steps_per_epoch == 166  # 0.7 * 120906 / 512 = 165.3


def test_domainnet_steps(domainnet):
    for cell in domainnet.cells.values():
        assert cell.specification.steps_per_epoch == 237  # 120906 / 512 = 236.1, the last batch is full as well
        assert cell.steps == 237 * cell.specification.epochs
        if cell.variant == "base":
            assert cell.specification.epochs == 30
            assert cell.specification.recipe.lr == 0.03


def test_domainnet_sweep(domainnet):
    cells = domainnet.experiments["domainnet_sweep"]
    swept = {(cell.specification.recipe.lr, cell.specification.epochs) for cell in cells}
    assert swept == {(lr, epochs) for lr in (0.3, 0.03, 0.003, 0.0003) for epochs in (30, 60, 90)}
    assert len(cells) == 12
    assert {(cell.task_set, cell.architecture.name, cell.method) for cell in cells} == {
        ("real", "resnet101_w64", "single")
    }


def test_domainnet_accumulates_for_methods_that_keep_task_gradients(domainnet):
    for cell in domainnet.cells.values():
        accumulates = cell.method in ("cagrad", "graddrop", "pcgrad")
        assert cell.specification.recipe.accumulate == (4 if accumulates else 1), cell.name  # 512 = 128 x 4
        assert cell.specification.recipe.batch_size == 512


def test_domainnet_weights(domainnet):
    cell = domainnet.cells["domainnet/real+quickdraw/resnet50_w16/proportional/base"]
    assert cell.runs[0].weights == (120906 / 241656, 120750 / 241656)


def test_domainnet_conflicts(domainnet):
    cells = list(domainnet.counted.values())
    assert {cell.architecture.name for cell in cells} == {f"resnet{d}_w{w}" for d in (26, 50) for w in (16, 64)}
    assert {(len(c.tasks), len(c.runs), c.specification.recipe.accumulate) for c in cells} == {(6, 2, 4)}


# --- The paper as a whole ---


def test_paper_in_all(shipped_plan):
    plan = shipped_plan("paper")
    runs = Counter()
    for cell in plan.cells.values():
        runs[cell.benchmark] += len(cell.runs)
    # CIFAR + STL: 72 SD, 324 of the grid, 36 proportional; the others as counted above.
    assert runs == {"cifar_stl": 432, "celeba": 1494, "domainnet": 1139, "taskonomy": 198}
    assert sum(runs.values()) == 3263
    # Conflicts: 12 capacities x 3 seeds, 12 of CelebA, 4 x 2 of DomainNet.
    assert sum(len(cell.runs) for cell in plan.counted.values()) == 36 + 12 + 8
    assert len(plan.searches) == 6 + 6 + 8 + 1 + 6
    members = 6 * 12 + 6 * 8 + 2 * (6 + 12 + 24 + 40) + 12 + 6 * 12
    assert sum(search.population for search in plan.searches.values()) == members == 368
    assert len(packing.training_jobs(plan)) == 632 and len(packing.conflict_jobs(plan)) == 28


def test_printed_plan_of_the_paper_adds_up(shipped_plan, capsys):
    plan = shipped_plan("paper")
    table = estimate_table(plan).to_pylist()
    for kind, count, runs in (("training", 497, 3263), ("conflicts", 28, 56), ("searches", 27, 368)):
        rows = [row for row in table if row["kind"] == kind]
        assert (len(rows), sum(row["runs"] for row in rows)) == (count, runs)
    print_plan(plan)
    output = capsys.readouterr().out
    assert f"{3263 + 56 + 368:,} runs in" in output
    # Stores: 73,000 images of 32 x 32 x 3 bytes; 202,599 of them; 30 KB of each encoded image; a byte and two of each
    # pixel in addition to its three.
    assert [row.split("│")[-2].strip() for row in output.splitlines() if "training" in row and "│" in row][-4:] == [
        *("224 MB", "622 MB", "108 GB", "18 GB")
    ]
    store = plan.benchmarks["taskonomy"].store_bytes(["taskonomy"], ["segmentation_2d", "depth"])
    assert store == 275_000 * 256 * 256 * (3 + 1 + 2)


def test_paper_has_every_artifact_of_the_demo(shipped_plan):
    """Of all kinds that there are; `table_digits` and `table_search_methods` of the demo are queries of its own."""
    paper, demo = shipped_plan("paper"), shipped_plan("demo").preset.artifacts
    stands_in = {"digits": "cifar_stl", "emoji_people": "celeba", "emoji_styles": "domainnet"}
    stands_in["motorcycle"] = "taskonomy"
    names = {next((a.replace(old, new) for old, new in stands_in.items() if a.endswith(old)), a) for a in demo}
    assert names - set(artifacts.selected(paper)) == {"table_cifar_stl", "table_search_methods"}
    kinds = {artifacts.kind_of(paper, artifact).name for artifact in artifacts.selected(paper)}
    assert kinds == {options.kind or artifact for artifact, options in demo.items()}
