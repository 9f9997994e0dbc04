# Run files -> summaries -> figures and tables. Every artifact is a target of its own: snakemake --cores all figure_b
for artifact in plan.artifacts():

    rule:
        name:
            f"summarize_{artifact}"
        input:
            plan.artifact_inputs(artifact),
        output:
            plan.summary_file(artifact),
        log:
            results / f"logs/summarize_{artifact}.log",
        localrule: True
        params:
            artifact=artifact,
            fingerprint=later(plan.artifact_fingerprint, artifact),
        shell:
            "python -m scalarization summarize --artifact {params.artifact} --log {log}"

    rule:
        name:
            artifact
        input:
            plan.summary_file(artifact),
        output:
            [
                report(
                    file,
                    caption=f"../report/{plan.artifact_kind(artifact)}.rst",
                    category=file.parent.name.capitalize(),
                    subcategory=artifact,
                    labels={"format": format},
                )
                for format, file in plan.artifact_files(artifact).items()
            ],
        log:
            results / f"logs/draw_{artifact}.log",
        localrule: True
        params:
            artifact=artifact,
            code=later(drawing_digest, plan.artifact_kind(artifact)),
        shell:
            "python -m scalarization draw --artifact {params.artifact} --log {log}"


# Several artifacts of one kind (figure_2 of each benchmark) have a common target, named after the kind.
for kind in {plan.artifact_kind(artifact) for artifact in plan.artifacts()} - set(plan.artifacts()):

    rule:
        name:
            kind
        input:
            [f for a in plan.artifacts() if plan.artifact_kind(a) == kind for f in plan.artifact_files(a).values()],
        localrule: True
