# Prepared stores -> counts of gradient conflicts. Like training, a job takes several small cells.
for job in plan.conflict_jobs():
    request = needs.of_job(plan, job)

    rule:
        name:
            f"conflicts_{job.name}"
        input:
            plan.store_file(job.benchmark),
        output:
            [plan.share_file(share) for share in job.shares],
        log:
            results / f"logs/conflicts_{job.name}.log",
        priority: round(job.seconds)
        threads: plan.config.threads
        resources:
            gpu=request.gpu,
            cpus_per_task=request.cpus,
            mem_mb=memory(request),
            runtime=runtime(request),
        params:
            cells=[f"--cell {share.name}" for share in job.shares],
            fingerprint=later(Share.fingerprint, *job.shares),
        shell:
            "exec python -m scalarization conflicts {params.cells} --log {log}"
            " ${{SCALARIZATION_REMOTE:+--time-limit {resources.runtime}}}"
