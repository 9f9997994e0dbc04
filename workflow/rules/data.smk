# Original files -> prepared stores.
localrules:
    prepare,


rule prepare:
    output:
        results / "data/{benchmark}/dataset.json",
    log:
        results / "logs/prepare_{benchmark}.log",
    params:
        domains=lambda wildcards: plan.config.preset["benchmarks"][wildcards.benchmark]["domains"],
        tasks=lambda wildcards: plan.config.preset["benchmarks"][wildcards.benchmark]["tasks"],
        code=lambda wildcards: code_digest("data.prepare", f"benchmarks.{wildcards.benchmark}"),
    shell:
        "python -m scalarization prepare --benchmark {wildcards.benchmark} --log {log}"
