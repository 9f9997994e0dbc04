# Figures and tables -> the front page. Its last line on the terminal says where it is, and what the verdicts are.
page_before = modified(paths.page_record)


rule page:
    input:
        needs(file for files in targets.values() for file in files.values()),
    output:
        update(paths.page_file),
    log:
        paths.log_file("page"),
    localrule: True
    shell:
        "python -m scalarization page --log {log:q}"


onsuccess:
    if modified(paths.page_record) not in (None, page_before):
        logger.info(f"{paths.page_file}: {json.loads(paths.page_record.read_text())['headline']}")
