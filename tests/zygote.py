"""Forks `python -m scalarization ...` from a process that has imported torch already.

Importing torch and timm takes ten seconds, and a test that kills a job twenty times would import them twenty times.
What is forked is a process of its own in every other way: it has its own signals, limits, folder and output, and it
runs the package's entry point. Requests and replies are JSON, one a line: {"arguments", "folder", "output", "limit",
"environment"} starts one and is answered with its process number; {"wait": number} is answered with the exit status,
or null if it still runs.
"""

import json
import os
import resource
import runpy
import sys
import traceback

import pandas  # noqa: F401  (pyarrow imports it when it writes the first table)
import torch  # noqa: F401

import scalarization.models.vit
import scalarization.training.job
import scalarization.training.loop  # noqa: F401


def start(request: dict) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        os.chdir(request["folder"])
        os.environ.update(request["environment"])
        output = os.open(request["output"], os.O_WRONLY)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if request["limit"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"], request["limit"]))
        sys.argv = ["scalarization", *request["arguments"]]
        runpy.run_module("scalarization", run_name="__main__")
        status = 0
    except SystemExit as left:
        status = left.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(wait(request["wait"]) if "wait" in request else start(request)), flush=True)
