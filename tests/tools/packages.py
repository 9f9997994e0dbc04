"""Packages of icon sets and of Unicode's metadata in their official formats, with a few icons."""

import io
import json
import tarfile

RED = '<path fill="#f00" d="M0 0h16v32H0z"/>'
ICONS = {
    "prefix": "tiny",
    "width": 32,
    "height": 32,
    "icons": {
        "left": {"body": RED},
        "low": {"body": RED.replace("32", "16"), "width": 32, "height": 16},
        "script": {"body": "<text>A</text>"},
    },
    "aliases": {
        "right": {"parent": "left", "hFlip": True},
        "left-again": {"parent": "right", "hFlip": True},
        "turned": {"parent": "left", "rotate": 1},
        "loop": {"parent": "loop"},
        "lost": {"parent": "absent"},
    },
}
GROUPS = {"groups": {"0": "smileys-emotion", "1": "people-body"}, "subgroups": {"0": "face", "23": "person"}}


def write_tgz(path, **entries):
    """A tarball in the format of ``npm pack``; keys are paths with ``__`` for ``/`` and without ``.json``."""
    with tarfile.open(path, "w:gz") as tar:
        for key, content in entries.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(f"package/{key.replace('__', '/')}.json")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
