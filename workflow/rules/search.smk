# Prepared stores -> histories of searches of the weights. One job makes all searches of a session, on all cores.
for session, searches in plan.search_sessions().items():

    rule:
        name:
            f"search_{session}"
        input:
            plan.store_file(searches[0].cell.benchmark),
        output:
            [plan.search_file(search) for search in searches],
        log:
            results / f"logs/search_{session}.log",
        # Before the training jobs, some of which wait for its weights.
        priority: 1000000
        threads: workflow.cores
        params:
            searches=[f"--search {search.name}" for search in searches],
            fingerprint=[plan.search_fingerprint(search) for search in searches],
        shell:
            "python -m scalarization search {params.searches} --workers {threads} --log {log}"
