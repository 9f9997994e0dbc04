"""How the tests run each command of the documentation. A missing command fails a test, and so does a stale one."""

#: Run as written, in a checkout whose presets are tiny.
AS_WRITTEN = {
    # README.md, docs/tutorial.md
    "envs/run python -m scalarization plan",
    "envs/run snakemake --cores all figure_b",
    "envs/run python -c \"import pandas; print(pandas.read_parquet('results/demo/summary/figure_b.parquet'))\"",
    "envs/run python -c \"import pandas; print(pandas.read_parquet('results/demo/runs/digits/optdigits+mnist/"
    "vit_d1_w48/grid/base.parquet').tail())\"",
    "envs/run snakemake --cores all -n",
    "envs/run snakemake --cores all",
    "envs/run python -m scalarization status",
    "envs/run snakemake --report reports/demo/report.html --cores 1",
    "rm reports/demo/figures/figure_b.*",
    "envs/run snakemake --cores all figure_b --config only='{capacities: [vit_d1_w48]}'",
    "envs/run snakemake --cores all figure_b --config preset=mine.yaml",
    "envs/run python -m scalarization train --cell digits/optdigits+mnist/vit_d1_w48/grid/base",
    "envs/run python -m scalarization train --help",
    # docs/presets.md
    "envs/run snakemake --cores all -n --config preset=smoke only='{seeds: [0]}'",
    "envs/run python -m scalarization plan --preset demo --set only='{benchmarks: [digits]}'",
    "envs/run python -m scalarization plan --preset tiny.yaml",
    # docs/reproducing.md, docs/cluster.md
    "envs/run python -m scalarization plan --preset paper",
    "envs/run python tests/archives.py results/archives",
    "envs/run python -m scalarization plan --preset ours.yaml",
    "envs/run python -m scalarization compare --preset paper",
    "envs/run python -m scalarization status --preset paper",
    "rm -f reports/paper/figures/figure_b.*",
    # docs/benchmarks.md, docs/own-data.md, docs/methods.md, docs/run-files.md
    "envs/run python -m scalarization download --benchmark celeba --preset paper",
    "envs/run python -m scalarization prepare --benchmark digits",
    "envs/run python -m scalarization plan --preset mine.yaml",
    "envs/run python -m scalarization search --benchmark digits --budget 8 --method pbt --architecture vit_d1_w48",
    'envs/run python -c "from pathlib import Path; from scalarization.storage import read_metadata; '
    "print(read_metadata(Path('results/demo/runs/digits/optdigits+mnist/vit_d1_w48/grid/base.parquet')))\"",
}

#: Run with `-n` after `snakemake`: they need a cluster, or more time.
DRY_RUN = {
    "envs/run snakemake --cores all --config preset=paper_tiny data_dir=results/archives",
    "envs/run snakemake --cores all prepare_cifar_stl prepare_celeba prepare_domainnet --config preset=paper",
    "envs/run snakemake --cores all --config preset=paper only='{benchmarks: [cifar_stl]}'",
    "envs/run snakemake --cores all table_c --config preset=paper only='{benchmarks: [celeba], seeds: [0]}'",
    "envs/run snakemake --cores all --profile slurm",
    "envs/run snakemake --cores all --profile slurm --config preset=demo",
    "envs/run snakemake --cores all --profile slurm_mine --config preset=smoke -- results/smoke/runs/digits/mnist/"
    "vit_d1_w8/single/base.parquet",
    "envs/run snakemake --cores all --profile slurm_mine -n",
    "envs/run snakemake --cores all figure_b --config preset=paper",
    "envs/run snakemake --cores all --config preset=paper",
}

#: Not run here: what runs them, or why nothing can.
ELSEWHERE = {
    "envs/run pytest": "these tests themselves",
    "envs/run pytest tests/methods": "these tests themselves",
    "envs/run ruff check": ".ci/run",
    "envs/run ruff format": ".ci/run",
    "envs/run mypy": ".ci/run",
    ".ci/run": "continuous integration",
    "pre-commit install": "writes into the user's .git",
    "envs/run python tools/write_schema.py": "test_extending.py",
    "envs/run snakemake --cores all --config preset=mine.yaml": "test_extending.py",
    "rsync -a --exclude checkpoints --exclude /downloads --exclude '*.npy' cluster:clone/results/ results/": "cluster",
    "envs/run python performance harness": "tests/performance/test_measurements.py",
    "OMP_NUM_THREADS=1 envs/run python performance loader": "tests/performance/test_measurements.py",
    "envs/run python performance --tiny": "tests/performance/test_measurements.py",
}

#: Command -> environment variables that make it small, or let it do without a network.
ENVIRONMENT = {
    "envs/run python -m scalarization download --benchmark celeba --preset paper": {
        "SCALARIZATION_OVERRIDES": '{"data_dir": "results/archives"}'
    },
}
