# Prepared stores -> counts of gradient conflicts. Like training, a job takes several small cells.
for job in packing.conflict_jobs(plan):
    request = requests.of_job(plan, job)

    rule:
        name:
            f"count_conflicts_{job.name}"
        input:
            needs(paths.store_file(job.benchmark)),
        output:
            update([paths.shard_file(shard) for shard in job.shards]),
        log:
            paths.log_file(f"count_conflicts_{job.name}"),
        priority: round(job.seconds)
        threads: plan.config.threads
        resources:
            gpu=request.gpu,
            cpus_per_task=request.cpus,
            mem_mb=memory(request),
            runtime=runtime(request),
        params:
            cells=[f"--cell {shard.name}" for shard in job.shards],
        shell:
            "exec python -m scalarization conflicts {params.cells} --log {log:q}"
            " ${{SCALARIZATION_REMOTE:+--time-limit {resources.runtime}}}"
