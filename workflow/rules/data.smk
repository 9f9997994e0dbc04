# Original files -> prepared stores.
for benchmark, info in plan.benchmarks.items():
    options = plan.preset.benchmarks[benchmark]

    if info.files:

        # The output lists the files with their checksums. Their directory is no parameter: the store is the same.
        rule:
            name:
                f"download_{benchmark}"
            input:
                needs([]),
            output:
                update(paths.manifest(benchmark)),
            log:
                paths.log_file(f"download_{benchmark}"),
            localrule: True
            params:
                benchmark=benchmark,
                domains=options.domains,
            shell:
                "python -m scalarization download --benchmark {params.benchmark} --log {log:q}"

    rule:
        name:
            f"prepare_{benchmark}"
        input:
            needs([paths.manifest(benchmark)] if info.files else []),
        output:
            update(paths.store_file(benchmark)),
        log:
            paths.log_file(f"prepare_{benchmark}"),
        localrule: True
        params:
            benchmark=benchmark,
            domains=options.domains,
            tasks=options.tasks,
        shell:
            "python -m scalarization prepare --benchmark {params.benchmark} --log {log:q}"
