# Reads and checks the configuration; every other file of rules asks `plan` what there is to do.
import json
import os
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from scalarization import resources as needs, stranded
from scalarization.config import load_config, parse_value
from scalarization.digests import code_digest, drawing_digest
from scalarization.errors import UserError
from scalarization.experiments import Plan, Share


def typed(value):
    """Snakemake reads what is inside of lists and keys given with --config as text: only='{seeds: [0]}'."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return parse_value(value) if isinstance(value, str) else value


# What --config and --configfile changed. Jobs get it through the environment: in a parameter or a command it would
# make Snakemake run everything again whenever a knob changes that has no influence on results.
given = yaml.safe_load(Path("config.yaml").read_text()) or {}
overrides = {key: typed(value) for key, value in config.items() if key not in given or given[key] != value}
os.environ.update(
    SCALARIZATION_OVERRIDES=json.dumps(overrides),
    PYTHONPATH=os.pathsep.join(filter(None, [sys.path[0], os.getenv("PYTHONPATH")])),
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)]),
)

try:
    plan = Plan(load_config("config.yaml", overrides))
except UserError as error:
    raise WorkflowError(str(error)) from None

results = plan.config.results

# Whether this is a job on a cluster, with a time limit and cores of its own. Commands ask the environment, so that their
# text is the same everywhere: where it changes, Snakemake runs a rule again. They `exec`, so that a signal to the job's
# processes reaches Python, which saves its state, and finds no shell that dies of it first.
if workflow.remote_exec:
    os.environ.update(SCALARIZATION_REMOTE="1")


def later(function, *things):
    """For `params`: the function's value of each thing, for the jobs of this call only. Digests of code take time."""
    return lambda wildcards: [function(thing) for thing in things]


def memory(request):
    return lambda wildcards, attempt: request.memory(attempt)


def runtime(request):
    return lambda wildcards, attempt: request.runtime(attempt)


onstart:
    if workflow.executor_plugin.name == "slurm":
        stranded.bring_back(Path.cwd(), logger.warning)
