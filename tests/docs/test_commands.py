"""The commands of the documentation that are run as they are written, and that no command is forgotten."""

import pytest
import yaml

from scalarization.config import Preset

from .commands import AS_WRITTEN, DRY_RUN, ELSEWHERE, ENVIRONMENT
from .pages import EXTENDING, PAGES, blocks


def steps():
    """(file or None, text) of all files to be written and commands to be run, in the order of the pages.

    A command that was run already since the last file was written is left out. docs/extending.md has a test of its own.
    """
    found, known = [], set()
    for block in (block for page in PAGES if page != EXTENDING for block in blocks(page)):
        if block.language == "yaml" and block.file:
            known.clear()
            found.append((block.file, block.text))
        for command in block.commands if block.language == "sh" else ():
            if command in AS_WRITTEN and command not in known:
                known.add(command)
                found.append((None, command))
    return found


def test_every_command_has_a_class():
    shell = [block for page in PAGES for block in blocks(page) if block.language == "sh"]
    written = {command for block in shell for command in block.commands}
    classes = (AS_WRITTEN, DRY_RUN, set(ELSEWHERE))
    known = set().union(*classes)
    assert sorted(written - known) == [], "give it a class in tests/docs/commands.py"
    assert sorted(known - written) == [], "no page has it any more"
    assert sum(map(len, classes)) == len(known) and set(ENVIRONMENT) <= known


def test_no_command_hides_in_another_kind_of_block():
    languages = {block.language for page in PAGES for block in blocks(page)}
    assert languages <= {"sh", "yaml", "python", "diff", "mermaid", "rst"}


@pytest.mark.parametrize(
    ("file", "text"), steps(), ids=lambda value: "" if value is None else value.split("\n")[0][-80:]
)
def test_it_runs(tiny_copy, file, text):
    """The commands follow each other as on the pages, so one alone may miss what those before it made."""
    if file:
        tiny_copy.write(file, text)
    else:
        assert "Traceback" not in tiny_copy.run(text, **ENVIRONMENT.get(text, {}))


def test_examples_of_sections_name_known_sections():
    for page in PAGES:
        for block in blocks(page):
            if block.language == "yaml" and not block.file:
                assert set(yaml.safe_load(block.text)) <= set(Preset.model_fields), block.text
