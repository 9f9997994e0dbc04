# Reads and checks the configuration; the other files of rules ask `plan` what there is to do.
import json
import os
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from scalarization.cluster import requeue, resources as requests
from scalarization.config import load_config, parse_value
from scalarization.errors import UserError
from scalarization.plan import artifacts, fingerprints, load_plan, packing
from scalarization.plan.cells import Shard


def typed(value):
    """Snakemake reads what is inside of lists and keys given with --config as text: only='{seeds: [0]}'."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return parse_value(value) if isinstance(value, str) else value


# What --config and --configfile changed. Jobs get it through the environment: if it were in a parameter or a command,
# Snakemake would run everything again whenever a knob changes that has no influence on results.
given = yaml.safe_load(Path("config.yaml").read_text()) or {}
overrides = {key: typed(value) for key, value in config.items() if key not in given or given[key] != value}
os.environ.update(
    SCALARIZATION_OVERRIDES=json.dumps(overrides),
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


def deferred(function, *things):
    """For `params`: the value of a function for each thing, computed only for jobs that run. Code digests take time."""
    return lambda wildcards: [function(thing) for thing in things]


def memory(request):
    return lambda wildcards, attempt: request.memory(attempt)


def runtime(request):
    return lambda wildcards, attempt: request.runtime(attempt)


onstart:
    if workflow.executor_plugin.name == "slurm":
        requeue.requeue_stuck_jobs(Path.cwd(), logger.warning)
