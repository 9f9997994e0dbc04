"""Names that become files, rules of Snakemake and words of a shell: the only place that checks them.

Commands of the workflow quote every path, so that blanks, brackets and ``;`` do no harm. What cannot work is refused.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

T = TypeVar("T")
#: Bytes of a file's name on all common file systems; and of a path, so that what is added to it stays below 4,096.
LONGEST_NAME, LONGEST_PATH = 255, 3000
#: Characters of a name that a preset gives.
LONGEST_WORD = 80
#: How names of rules begin: an artifact has a rule of its own name.
RULE_PREFIXES = tuple(
    f"{verb}_"
    for verb in ("count_conflicts", "download", "draw", "merge", "prepare", "profile", "search", "summarize", "train")
)
#: Other names of rules. That of the front page is also the name of the record that it leaves beside those of artifacts.
RULES = frozenset({"all", "page"})
#: Directory of original files, which all presets share.
DOWNLOADS = "downloads"


def _no_rule(name: str) -> str:
    if name in RULES or name.startswith(RULE_PREFIXES):
        raise ValueError("a rule of the workflow has this name, or may have; choose another")
    return name


def distinct(names: dict[str, T]) -> dict[str, T]:
    """Names that are different files on every file system.

    Raises:
        ValueError: Two differ only in small and capital letters.
    """
    if twins := same_file(names):
        raise ValueError(f"'{twins[0]}' and '{twins[1]}' are the same file on some file systems; rename one")
    return names


def same_file(names: Iterable[str]) -> tuple[str, str] | None:
    """Two different names that some file systems take for the same; None if there are none."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(folded(name), name)
        if other != name:
            return other, name
    return None


def folded(name: str) -> str:
    """A name in the form in which it is compared by file systems that do not tell capital letters from small ones."""
    return unicodedata.normalize("NFC", name).casefold()


def directory(text: str) -> str:
    """Path of a directory with ``~`` and ``$NAME`` replaced.

    Raises:
        ValueError: It cannot be a directory of the workflow.
    """
    path = expanded(text)
    check_part(path)
    for parent in (Path(path), *Path(path).parents):
        if parent.exists():
            if not parent.is_dir():
                raise ValueError(f"{parent} is a file, not a directory")
            break
    return path


def expanded(text: str) -> str:
    """A path with ``~`` and ``$NAME`` replaced.

    Raises:
        ValueError: There is no such user or environment variable.
    """
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError(f"{path.partition('/')[0]} is no user's home; a directory of this name is written as ./~")

    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not os.environ.get(name):
            raise ValueError(f"environment variable {name} is not set")
        return os.environ[name]

    return re.sub(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})", replace, path)


def check_part(text: str) -> None:
    """Check what becomes a part of paths.

    Raises:
        ValueError: It cannot be one.
    """
    if "{" in text or "}" in text:
        raise ValueError("has { or }, to which Snakemake gives a meaning of their own; use other characters")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise ValueError("has a line break, a control character or what is no UTF-8; use other characters")
    if text != text.strip():
        raise ValueError("begins or ends with a blank" if text.strip() else "is blank; use other characters")
    if len(os.fsencode(os.path.abspath(text))) > LONGEST_PATH:
        raise ValueError(f"is longer than {LONGEST_PATH} bytes")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(text).parts):
        raise ValueError(f"has a part longer than {LONGEST_NAME} bytes, the most that a file's name has")


#: A part of a path.
Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_+][A-Za-z0-9_.+-]*$",
        max_length=LONGEST_WORD,
        description="A part of a path: letters, digits and . _ + -, not starting with a dot or dash.",
    ),
]
ArtifactName = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=LONGEST_WORD,
        description="Name of an artifact's files: small letters, digits and _, starting with a letter.",
    ),
    AfterValidator(_no_rule),
]
#: For a dict of what a preset names, by name; after its length is checked, for the JSON schema's sake.
DISTINCT = AfterValidator(distinct)
#: A directory of the workflow, ``~`` and ``$NAME`` replaced.
Directory = Annotated[str, Field(min_length=1), AfterValidator(directory)]
