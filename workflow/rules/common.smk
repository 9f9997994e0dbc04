# Reads and checks the configuration; the other files of rules ask `plan` what there is to do.
import functools
import json
import os
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from scalarization.cluster import requeue, resources as requests
from scalarization.config import load_config, retyped
from scalarization.errors import UserError
from scalarization.plan import artifacts, load_plan, packing
from scalarization.plan.cells import Shard

# What --config and --configfile changed. Jobs get it through the environment: if it were in a parameter or a command,
# Snakemake would run everything again whenever a knob changes that has no influence on results.
given = yaml.safe_load(Path("config.yaml").read_text()) or {}
overrides = {key: retyped(value) for key, value in config.items() if key not in given or given[key] != value}
os.environ.update(
    SCALARIZATION_OVERRIDES=json.dumps(overrides, default=str),
    PYTHONPATH=os.pathsep.join(filter(None, [sys.path[0], os.getenv("PYTHONPATH")])),
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)]),
)

try:
    plan = load_plan(load_config("config.yaml", overrides))
except UserError as error:
    raise WorkflowError(str(error)) from None

paths = plan.paths

# Whether this is a job on a cluster, with a time limit and cores of its own. Commands read it from the environment, so
# that their text is the same everywhere: Snakemake runs a rule again when its text changes. Commands start with `exec`,
# so that a signal to the processes of a job reaches Python, which saves its state, and no shell that the signal kills.
if workflow.remote_exec:
    os.environ.update(SCALARIZATION_REMOTE="1")


@functools.cache
def outdated():
    """The outputs that are not current."""
    # Jobs on a cluster need not wait for this import, and for the reading of all that files record.
    from scalarization.provenance import Provenance

    provenance = Provenance(plan)
    for number, (file, problem) in enumerate(provenance.causes().items()):
        if number == MAX_CAUSES:
            logger.info("More files are outdated.")
            break
        logger.info(f"Outdated: {file}: {problem}")
    return {str(file) for file in provenance.outdated()}


# Lines on the terminal about outdated files.
MAX_CAUSES = 10


def needs(files):
    """For `input`: the files.

    Snakemake calls this while it builds its graph, and learns which outputs it must make. Its own records know nothing
    of copied folders and damaged files, and they take a failed job for one that need not run again.
    """

    files = [files] if isinstance(files, Path) else list(files)

    def function(wildcards):
        if not workflow.remote_exec:
            workflow.dag.forcefiles.update(outdated())
        return files

    return function


def all_cores(wildcards):
    """For `threads`: asked for jobs that run alone, so that `snakemake --unlock` needs no --cores."""
    return workflow.cores


def memory(request):
    return lambda wildcards, attempt: request.memory(attempt)


def runtime(request):
    return lambda wildcards, attempt: request.runtime(attempt)


onstart:
    if workflow.executor_plugin.name == "slurm":
        requeue.requeue_stuck_jobs(Path.cwd(), logger.warning)


def modified(file):
    """When a file was written; None if it does not exist."""
    return file.stat().st_mtime_ns if file.is_file() else None
