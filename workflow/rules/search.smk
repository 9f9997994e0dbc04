# Prepared stores -> histories of searches of the weights. One job makes all searches of a session, on all cores.
for session, searches in plan.search_sessions().items():
    request = needs.of_session(plan, searches)

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
        resources:
            # Of several nodes the plugin's `gpu` would be the sum, wherever they are, and its `tasks` would count per GPU.
            gpu=request.gpu if request.nodes == 1 else 0,
            gres="gpu:1" if request.gpu and request.nodes > 1 else "",
            nodes=request.nodes,
            tasks=0 if request.gpu else request.nodes,
            cpus_per_task=request.cpus,
            mem_mb=memory(request),
            runtime=runtime(request),
            workers=request.nodes * request.cpus // plan.config.threads,
        params:
            searches=[f"--search {search.name}" for search in searches],
            fingerprint=later(plan.search_fingerprint, *searches),
        shell:
            "workers=${{SCALARIZATION_REMOTE:+{resources.workers}}}; "
            "exec python -m scalarization search {params.searches} --workers ${{workers:-{threads}}} --log {log}"
            " ${{SCALARIZATION_REMOTE:+--nodes {resources.nodes} --time-limit {resources.runtime}}}"
