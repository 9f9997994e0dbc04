# Prepared stores -> counts of gradient conflicts. Like training, a job takes several small cells.
for job in plan.conflict_jobs():

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
        params:
            cells=[f"--cell {share.name}" for share in job.shares],
            fingerprint=[share.fingerprint() for share in job.shares],
        shell:
            "python -m scalarization conflicts {params.cells} --log {log}"
