# Run files -> summaries -> figures and tables. Every artifact is a target of its own: snakemake --cores all figure_b
targets = {artifact: artifacts.files_of(plan, artifact) for artifact in artifacts.selected(plan)}

for artifact, files in targets.items():
    kind = artifacts.kind_of(plan, artifact)

    rule:
        name:
            f"summarize_{artifact}"
        input:
            needs(artifacts.inputs_of(plan, artifact)),
        output:
            update(paths.summary_file(artifact)),
        log:
            paths.log_file(f"summarize_{artifact}"),
        localrule: True
        params:
            artifact=artifact,
        shell:
            "python -m scalarization summarize --artifact {params.artifact} --log {log:q}"

    rule:
        name:
            artifact
        input:
            needs(paths.summary_file(artifact)),
        output:
            [
                update(
                    report(
                        file,
                        caption=f"../report/{kind.caption.name}",
                        category=file.parent.name.capitalize(),
                        subcategory=artifact,
                        labels={"format": format},
                    )
                )
                for format, file in files.items()
            ],
        log:
            paths.log_file(f"draw_{artifact}"),
        localrule: True
        params:
            artifact=artifact,
        shell:
            "python -m scalarization draw --artifact {params.artifact} --log {log:q}"


# Several artifacts of one kind (figure_2 of each benchmark) have a common target, named after the kind.
for name in {artifacts.kind_of(plan, artifact).name for artifact in targets} - set(targets):

    rule:
        name:
            name
        input:
            needs(f for a in targets if artifacts.kind_of(plan, a).name == name for f in targets[a].values()),
        localrule: True
