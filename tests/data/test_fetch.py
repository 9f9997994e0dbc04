"""Fetching a file over HTTP: broken connections, faulty servers, killed processes."""

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
from scalarization.data.fetch import NotFetchedError, fetch
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


def verify(part):
    """Accepts the two known contents, as a checksum would."""
    if part.read_bytes() not in (CONTENT, OTHER):
        raise DataError("not the file")


def get(site, directory, verify=verify, has_checksum=True, report=lambda received, total: None):
    target = directory / "a.zip"
    fetch(site.url + PATH, target, verify, report, has_checksum)
    assert [f.name for f in directory.iterdir()] == ["a.zip"]  # no part, no state, no lock
    return target.read_bytes()


def part_of(directory):
    return directory / ".a.zip.part"


def test_whole_file_with_progress(site, tmp_path):
    seen = []
    assert get(site, tmp_path, report=lambda *numbers: seen.append(numbers)) == CONTENT
    assert [received for received, _ in seen] == sorted(received for received, _ in seen)
    assert seen[-1] == (600_000, 600_000) and site.ranges(PATH) == [None]


def test_broken_connection_is_resumed(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), ("cut", 100_000)]
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=400000-", "bytes=500000-"]
    assert site.requests[1][1]["If-Range"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.one_of(st.integers(0, 600_000).map(lambda n: ("cut", n)), st.sampled_from([503, "no_range"]))),
    validators=st.booleans(),
)
def test_any_breaks_give_the_same_file_or_keep_received_bytes(cuts, validators, site, tmp_path_factory):
    site.faults[PATH], site.validators = list(cuts), validators
    directory = tmp_path_factory.mktemp("target")
    try:
        assert get(site, directory) == CONTENT
    except NotFetchedError as error:
        assert "run again to resume" in str(error)
        site.faults[PATH] = []
        assert get(site, directory) == CONTENT


def test_server_that_ignores_ranges_sends_all_again(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), "no_range"]
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=400000-"]


def test_changed_file_of_the_server_is_fetched_from_its_first_byte(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000)] + [404] * 9
    with pytest.raises(NotFetchedError):
        get(site, tmp_path)
    assert part_of(tmp_path).stat().st_size == 400_000
    site.files[PATH], site.faults[PATH] = OTHER, []
    assert get(site, tmp_path) == OTHER


@pytest.mark.parametrize(("has_checksum", "requested"), [(True, "bytes=400000-"), (False, None)])
def test_without_etag_a_part_is_completed_only_if_a_checksum_is_known(has_checksum, requested, site, tmp_path):
    site.validators = False
    site.faults[PATH] = [("cut", 400_000)]
    assert get(site, tmp_path, has_checksum=has_checksum) == CONTENT
    assert site.ranges(PATH) == [None, requested]


def test_parts_of_two_files_are_detected_and_fetched_again(site, tmp_path):
    site.validators = False
    site.faults[PATH] = [("cut", 400_000), 404]
    with pytest.raises(NotFetchedError):
        get(site, tmp_path)
    site.files[PATH] = CONTENT[:300_000] + OTHER[:300_000]  # the size is the same, and there is no ETag
    verified = []

    def verify(part):
        verified.append(part.read_bytes())
        if verified[-1] != site.files[PATH]:
            raise DataError("not the file")

    assert get(site, tmp_path, verify) == site.files[PATH]
    assert len(verified) == 2 and site.ranges(PATH)[-2:] == ["bytes=400000-", None]


def test_wrong_file_is_not_kept(site, tmp_path):
    site.files[PATH] = b"something else"
    with pytest.raises(DataError, match="not the file"):
        get(site, tmp_path)
    assert not part_of(tmp_path).exists() and not (tmp_path / "a.zip").exists()
    assert len(site.requests) == 1


def test_response_at_another_offset_is_not_appended(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), "other_range"]
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=400000-", None]


def test_complete_part_of_a_killed_process_is_used(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), 404]
    with pytest.raises(NotFetchedError):
        get(site, tmp_path)
    part_of(tmp_path).write_bytes(CONTENT)
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH)[-1] == "bytes=600000-" and len(site.requests) == 3


def test_part_longer_than_the_file_is_discarded(site, tmp_path):
    site.faults[PATH] = [("cut", 400_000), 404]
    with pytest.raises(NotFetchedError):
        get(site, tmp_path)
    part_of(tmp_path).write_bytes(CONTENT + b"more")
    assert get(site, tmp_path, verify=lambda part: None, has_checksum=False) == CONTENT


def test_any_number_of_breaks_with_progress_is_tolerated(site, tmp_path):
    site.faults[PATH] = [("cut", 50_000)] * (2 * module.ATTEMPTS)
    assert get(site, tmp_path) == CONTENT
    assert len(site.requests) == 2 * module.ATTEMPTS + 1
    assert {headers["Accept-Encoding"] for _, headers in site.requests} == {"identity"}


def test_busy_server_gets_another_request(site, tmp_path):
    site.faults[PATH] = [503, 429, 500]
    assert get(site, tmp_path) == CONTENT
    assert len(site.requests) == 4


@pytest.mark.parametrize(("fault", "words"), [(404, "HTTP 404"), (403, "HTTP 403"), ("page", "web page")])
def test_refusal_ends_the_attempts(fault, words, site, tmp_path):
    site.faults[PATH] = [fault]
    with pytest.raises(NotFetchedError, match=words):
        get(site, tmp_path)
    assert len(site.requests) == 1 and not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("fault", "words"), [(503, "HTTP 503"), (("cut", 0), "after 0 of 600000"), (("lies", 5), "of 600005 bytes")]
)
def test_failures_in_a_row_end_the_attempts_and_the_part_is_named(fault, words, site, tmp_path):
    site.faults[PATH] = [fault] * 30
    with pytest.raises(NotFetchedError, match=words) as caught:
        get(site, tmp_path)
    assert str(part_of(tmp_path)) in str(caught.value) and "run again" in str(caught.value)
    assert len(site.requests) <= 2 * module.ATTEMPTS + 2


def test_no_server(site, tmp_path):
    site.url = "http://127.0.0.1:9"
    with pytest.raises(NotFetchedError, match=r"no connection .*, 5 times in a row; 0 bytes are kept"):
        get(site, tmp_path)


def test_silent_server_counts_as_broken(site, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    site.faults[PATH] = [("stall", 300_000)]
    assert get(site, tmp_path) == CONTENT
    # At most the unfinished block is lost.
    first = int(site.ranges(PATH)[1].removeprefix("bytes=").removesuffix("-"))
    assert 300_000 - module.BLOCK <= first <= 300_000


def test_directory_that_cannot_be_written(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"could not be written: .*check permissions"):
        get(site, tmp_path / "file")


def test_simultaneous_callers_fetch_a_file_once(site, tmp_path):
    site.faults[PATH] = [("stall", 300_000), ("cut", 0)]
    failed = []

    def fetch_once():
        try:
            fetch(site.url + PATH, tmp_path / "a.zip", verify, lambda *_: None, True)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=fetch_once) for _ in range(3)]
    module_timeout, module.TIMEOUT = module.TIMEOUT, 0.3
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        module.TIMEOUT = module_timeout
    assert not failed and (tmp_path / "a.zip").read_bytes() == CONTENT
    assert len(site.requests) == 3  # stalled, cut, complete: one thread fetched, the others waited


WORK = """
import resource, sys
from pathlib import Path
from scalarization.data.fetch import fetch
fetch(sys.argv[1], Path(sys.argv[2]), lambda part: None, lambda received, total: None, False)
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
    assert get(site, tmp_path, has_checksum=False) == CONTENT
    assert site.ranges(PATH) == [None, f"bytes={2 * module.BLOCK}-"]


def test_full_disk_is_reported_and_received_bytes_are_kept(site, tmp_path):
    process = start(site, tmp_path, limit=300_000)
    _, message = process.communicate(timeout=60)
    assert process.returncode and "could not be written: File too large. Make room" in message
    assert part_of(tmp_path).stat().st_size == 300_000
    assert get(site, tmp_path) == CONTENT
    assert site.ranges(PATH) == [None, "bytes=300000-"]
