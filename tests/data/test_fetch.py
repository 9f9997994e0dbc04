"""Fetching a file over HTTP: connections that break, servers that err, processes that are killed."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalarization.data import fetch as module
from scalarization.data.fetch import Refused, fetch
from scalarization.errors import DataError

from ..web import serve

CONTENT = np.random.default_rng(0).bytes(600_000)
OTHER = np.random.default_rng(1).bytes(500_000)
PATH = "/a.zip"


@pytest.fixture
def site():
    site, end = serve()
    site.files[PATH] = CONTENT
    yield site
    end()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)


def accept(part):
    """Takes the two known contents, as a checksum would."""
    if part.read_bytes() not in (CONTENT, OTHER):
        raise DataError("not the file")


def get(site, directory, accept=accept, guarded=True, report=lambda there, total: None):
    target = directory / "a.zip"
    fetch(site.url + PATH, target, accept, report, guarded)
    assert [f.name for f in directory.iterdir()] == ["a.zip"]  # no part, no state, no lock
    return target.read_bytes()


def part_of(directory):
    return directory / ".a.zip.part"


def test_whole_file_with_progress(site, tmp_path):
    seen = []
    assert get(site, tmp_path, report=lambda *numbers: seen.append(numbers)) == CONTENT
    assert [there for there, _ in seen] == sorted(there for there, _ in seen)
    assert seen[-1] == (600_000, 600_000) and site.ranges(PATH) == [None]


def test_broken_connection_goes_on_where_it_broke(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), ("cut", 100_000)]
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=400000-", "bytes=500000-"]
    assert site.requests[1][1]["If-Range"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.one_of(st.integers(0, 600_000).map(lambda n: ("cut", n)), st.sampled_from([503, "no_range"]))),
    validators=st.booleans(),
)
def test_any_breaks_lead_to_the_same_file_or_keep_what_came(cuts, validators, site, tmp_path_factory):
    site.faults[PATH], site.validators = list(cuts), validators
    directory = tmp_path_factory.mktemp("there")
    try:
        assert get(site, directory) == CONTENT
    except DataError as error:
        assert "run again to go on" in str(error)
        site.faults[PATH] = []
        assert get(site, directory) == CONTENT


def test_server_that_ignores_ranges_sends_all_again(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), "no_range"]
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=400000-"]


def test_file_that_changed_on_the_server_is_fetched_from_its_beginning(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000)] + [404] * 9
    with pytest.raises(Refused):
        get(site, tmp_path)
    assert part_of(tmp_path).stat().st_size == 400_000
    site.files[PATH], site.faults[PATH] = OTHER, []
    assert get(site, tmp_path) == OTHER


@pytest.mark.parametrize(("guarded", "asked"), [(True, "bytes=400000-"), (False, None)])
def test_without_etag_a_part_is_completed_only_if_a_checksum_guards_it(guarded, asked, site, tmp_path):
    site.validators = False
    site.faults[PATH] = [("cut", 400_000)]
    assert get(site, tmp_path, guarded=guarded) == CONTENT
    assert site.ranges(PATH) == [None, asked]


def test_parts_of_two_files_are_noticed_and_fetched_once_more(site, tmp_path):
    site.validators = False
    site.faults[PATH] = [("cut", 400_000), 404]
    with pytest.raises(Refused):
        get(site, tmp_path)
    site.files[PATH] = CONTENT[:300_000] + OTHER[:300_000]  # as long as before, and no ETag tells
    asked = []

    def accept(part):
        asked.append(part.read_bytes())
        if asked[-1] != site.files[PATH]:
            raise DataError("not the file")

    assert get(site, tmp_path, accept) == site.files[PATH]
    assert len(asked) == 2 and site.ranges(PATH)[-2:] == ["bytes=400000-", None]


def test_wrong_file_is_not_kept(site, tmp_path):
    site.files[PATH] = b"something else"
    with pytest.raises(DataError, match="not the file"):
        get(site, tmp_path)
    assert not part_of(tmp_path).exists() and not (tmp_path / "a.zip").exists()
    assert len(site.requests) == 1


def test_answer_that_begins_elsewhere_is_not_appended(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), "other_range"]
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=400000-", None]


def test_killed_between_last_byte_and_its_name(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), 404]
    with pytest.raises(Refused):
        get(site, tmp_path)
    part_of(tmp_path).write_bytes(CONTENT)
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH)[-1] == "bytes=600000-" and len(site.requests) == 3


def test_part_longer_than_the_file_is_given_up(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), 404]
    with pytest.raises(Refused):
        get(site, tmp_path)
    part_of(tmp_path).write_bytes(CONTENT + b"more")
    assert get(site, tmp_path) == CONTENT


def test_busy_server_is_asked_again(site, tmp_path):
    site.faults[PATH] = [503, 429, 500]
    assert get(site, tmp_path) == CONTENT
    assert len(site.requests) == 4


@pytest.mark.parametrize(("fault", "words"), [(404, "HTTP 404"), (403, "HTTP 403"), ("page", "web page")])
def test_refusal_is_not_asked_again(fault, words, site, tmp_path):
    site.faults[PATH] = [fault]
    with pytest.raises(Refused, match=words):
        get(site, tmp_path)
    assert len(site.requests) == 1 and not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("fault", "words"), [(503, "HTTP 503"), (("cut", 0), "after 0 of 600000"), (("lies", 5), "of 600005 bytes")]
)
def test_gives_up_after_failures_in_a_row_and_says_what_is_kept(fault, words, site, tmp_path):
    site.faults[PATH] = [fault] * 30
    with pytest.raises(DataError, match=words) as caught:
        get(site, tmp_path)
    assert str(part_of(tmp_path)) in str(caught.value) and "run again" in str(caught.value)
    assert len(site.requests) <= 2 * module.ATTEMPTS + 2


def test_no_server(site, tmp_path):
    site.url = "http://127.0.0.1:9"
    with pytest.raises(DataError, match="http://127.0.0.1:9/a.zip: no connection"):
        get(site, tmp_path)


def test_silent_server_counts_as_broken(site, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    site.faults[PATH] = [("stall", 300_000)]
    assert get(site, tmp_path) == CONTENT
    # What came in the block that was waited for is lost, no more.
    first = int(site.ranges(PATH)[1].removeprefix("bytes=").removesuffix("-"))
    assert 300_000 - module.BLOCK <= first <= 300_000


def test_place_that_cannot_be_written(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written: .*check permissions"):
        get(site, tmp_path / "file")


def test_two_at_once_fetch_it_once(site, tmp_path):
    site.faults[PATH] = [("stall", 300_000), ("cut", 0)]
    failed = []

    def work():
        try:
            fetch(site.url + PATH, tmp_path / "a.zip", accept, lambda *_: None, True)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    module_timeout, module.TIMEOUT = module.TIMEOUT, 0.3
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        module.TIMEOUT = module_timeout
    assert not failed and (tmp_path / "a.zip").read_bytes() == CONTENT
    assert len(site.requests) == 3  # stalled, cut, the rest: one of them worked, the others waited


WORK = """
import resource, sys
from pathlib import Path
from scalarization.data.fetch import fetch
fetch(sys.argv[1], Path(sys.argv[2]), lambda part: None, lambda there, total: None, False)
"""


def start(site, tmp_path, limit=None):
    def restrict():
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    source = Path(module.__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", WORK, site.url + PATH, str(tmp_path / "a.zip")],
        env={**os.environ, "PYTHONPATH": str(source)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restrict,
    )


def test_killed_process_loses_at_most_a_block(site, tmp_path):
    site.faults[PATH] = [("stall", 2 * module.BLOCK)]
    process = start(site, tmp_path)
    part, end = part_of(tmp_path), time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 2 * module.BLOCK):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert get(site, tmp_path, guarded=False) == CONTENT
    assert site.ranges(PATH) == [None, f"bytes={2 * module.BLOCK}-"]


def test_full_disk_is_told_and_keeps_what_is_there(site, tmp_path):
    process = start(site, tmp_path, limit=300_000)
    _, said = process.communicate(timeout=60)
    assert process.returncode and "could not be written: File too large. Make room" in said
    assert part_of(tmp_path).stat().st_size == 300_000
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=300000-"]
