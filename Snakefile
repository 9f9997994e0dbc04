# Reproducibility pipeline for "Scalarization for Multi-Task and Multi-Domain Learning at Scale".
# What is run is data: see config.yaml and workflow/presets/.
from snakemake.utils import min_version

min_version("9.0")


# With --sdm apptainer every job runs in this image (envs/apptainer.def); without it the line has no effect.
container: "envs/scalarization.sif"


configfile: "config.yaml"


# Of `snakemake --report`.
report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/conflicts.smk"
include: "workflow/rules/artifacts.smk"
include: "workflow/rules/page.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        needs([paths.page_file, *(file for files in targets.values() for file in files.values())]),
