# Prepared stores -> run files. A job trains several small cells, or a shard of a large one; see `jobs` in the preset.
for job in packing.training_jobs(plan):
    request = requests.of_job(plan, job)

    rule:
        name:
            f"train_{job.name}"
        input:
            needs(packing.job_inputs(plan, job)),
        output:
            update([file for shard in job.shards for file in paths.shard_outputs(shard)]),
        log:
            paths.log_file(f"train_{job.name}"),
        priority: round(job.seconds)
        threads: request.cpus
        resources:
            gpu=request.gpu,
            cpus_per_task=request.cpus,
            mem_mb=memory(request),
            runtime=runtime(request),
        params:
            cells=[f"--cell {shard.name}" for shard in job.shards],
        shell:
            "exec python -m scalarization train {params.cells} --log {log:q}"
            " ${{SCALARIZATION_REMOTE:+--time-limit {resources.runtime}}}"


for cell in plan.cells.values():
    if len(plan.shards(cell)) > 1:

        rule:
            name:
                f"merge_{cell.slug}"
            input:
                needs(file for shard in plan.shards(cell) for file in paths.shard_outputs(shard)),
            output:
                update(paths.shard_outputs(Shard(cell))),
            log:
                paths.log_file(f"merge_{cell.slug}"),
            localrule: True
            params:
                cell=cell.name,
            shell:
                "python -m scalarization merge --cell {params.cell} --log {log:q}"


for profile in plan.profiles.values():
    request = requests.of_profile(plan, profile)

    rule:
        name:
            f"profile_{profile.name}"
        input:
            needs(paths.store_file(profile.cell.benchmark)),
        output:
            update(paths.profile_file(profile.name)),
        log:
            paths.log_file(f"profile_{profile.name}"),
        # Times are compared, so no other job may run at the same time.
        threads: all_cores
        resources:
            gpu=request.gpu,
            cpus_per_task=request.cpus,
            mem_mb=memory(request),
            runtime=runtime(request),
        params:
            name=profile.name,
        shell:
            "exec python -m scalarization profile --profile {params.name} --log {log:q}"
