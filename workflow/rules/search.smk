# Prepared stores -> histories of searches of the task weights. One job runs all searches of a session, on all cores.
for session, searches in packing.search_sessions(plan).items():
    request = requests.of_session(plan, searches)

    rule:
        name:
            f"search_{session}"
        input:
            needs(paths.store_file(searches[0].cell.benchmark)),
        output:
            update([paths.search_file(search) for search in searches]),
        log:
            paths.log_file(f"search_{session}"),
        # Before the training jobs, some of which wait for its weights.
        priority: 1000000
        threads: all_cores
        resources:
            # For several nodes, the plugin would read `gpu` as the sum over nodes, and count `tasks` per GPU.
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
        shell:
            "workers=${{SCALARIZATION_REMOTE:+{resources.workers}}}; "
            "exec python -m scalarization search {params.searches} --workers ${{workers:-{threads}}} --log {log:q}"
            " ${{SCALARIZATION_REMOTE:+--nodes {resources.nodes} --time-limit {resources.runtime}}}"
