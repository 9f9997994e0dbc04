# Original files -> prepared stores.
localrules:
    download,
    prepare,


# The output is a list of the files with their checksums. Where they lie is no parameter: a store that is made is the same.
rule download:
    output:
        results / "downloads/{benchmark}.json",
    log:
        results / "logs/download_{benchmark}.log",
    params:
        domains=lambda wildcards: plan.benchmark(wildcards.benchmark)["domains"],
    shell:
        "python -m scalarization download --benchmark {wildcards.benchmark} --log {log}"


rule prepare:
    input:
        lambda wildcards: plan.store_inputs(wildcards.benchmark),
    output:
        results / "data/{benchmark}/dataset.json",
    log:
        results / "logs/prepare_{benchmark}.log",
    params:
        domains=lambda wildcards: plan.benchmark(wildcards.benchmark)["domains"],
        tasks=lambda wildcards: plan.benchmark(wildcards.benchmark)["tasks"],
        code=lambda wildcards: code_digest("data.prepare", f"benchmarks.{wildcards.benchmark}"),
    shell:
        "python -m scalarization prepare --benchmark {wildcards.benchmark} --log {log}"
