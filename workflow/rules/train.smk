# Prepared stores -> run files. A job trains several small cells, or a part of a large one; see `jobs` in the preset.
for job in plan.jobs():
    request = needs.of_job(plan, job)

    rule:
        name:
            f"train_{job.name}"
        input:
            plan.job_inputs(job),
        output:
            [file for share in job.shares for file in plan.share_outputs(share)],
        log:
            results / f"logs/train_{job.name}.log",
        priority: round(job.seconds)
        threads: request.cpus
        resources:
            gpu=request.gpu,
            cpus_per_task=request.cpus,
            mem_mb=memory(request),
            runtime=runtime(request),
        params:
            cells=[f"--cell {share.name}" for share in job.shares],
            fingerprint=later(Share.fingerprint, *job.shares),
        shell:
            "exec python -m scalarization train {params.cells} --log {log}"
            " ${{SCALARIZATION_REMOTE:+--time-limit {resources.runtime}}}"


for cell in plan.cells.values():
    if len(plan.shares(cell)) > 1:

        rule:
            name:
                f"merge_{cell.slug}"
            input:
                [file for share in plan.shares(cell) for file in plan.share_outputs(share)],
            output:
                plan.share_outputs(Share(cell)),
            log:
                results / f"logs/merge_{cell.slug}.log",
            localrule: True
            params:
                cell=cell.name,
            shell:
                "python -m scalarization merge --cell {params.cell} --log {log}"


for name in plan.costs():
    request = needs.of_costs(plan, name)

    rule:
        name:
            f"bench_{name}"
        input:
            plan.store_file(plan.costs_cell(name).benchmark),
        output:
            plan.costs_file(name),
        log:
            results / f"logs/bench_{name}.log",
        # Times are compared: nothing else should run meanwhile.
        threads: workflow.cores
        resources:
            gpu=request.gpu,
            cpus_per_task=request.cpus,
            mem_mb=memory(request),
            runtime=runtime(request),
        params:
            name=name,
            fingerprint=later(plan.costs_fingerprint, name),
        shell:
            "exec python -m scalarization bench --costs {params.name} --log {log}"
