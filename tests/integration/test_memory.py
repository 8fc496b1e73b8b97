"""The peak of a worker's memory: bounded by the bytes in flight, however many or large the documents are."""

import mmap
import os
import time

import pytest

from test_backfill import MODES, project
from works import size

MIB_PER_WORKER = 64
# The large field is read and written: the guard holds it as it was, and the statement as it becomes.
STEP = 'up:\n  - $set: {b: {$add: [$a, 1]}, pad: {$concat: [$pad, "-"]}}\n'


def plain_build(eclose):
    """Sanitizers have memory of their own: the build beside it, as users have it."""
    with open(eclose.binary, 'rb') as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if text.find(b'__asan_init') < 0:
            return eclose.binary
    build = os.path.dirname(os.path.dirname(os.path.dirname(eclose.binary)))
    binary = os.path.join(os.path.dirname(build), 'gcc', 'src', 'cli', 'eclose')
    if not os.path.exists(binary):
        pytest.skip(f'{eclose.binary} is built with sanitizers, and there is no {binary}')
    return binary


def peak(eclose, *args):
    """Runs it to its end; the MiB that it had at most. The kernel's own mark, read while the process is there."""
    eclose.binary = plain_build(eclose)
    child = eclose.start(*args)
    most = 0
    while child.poll() is None:
        with open(f'/proc/{child.pid}/status', encoding='ascii') as f:
            most = max([most, *(int(line.split()[1]) for line in f if line.startswith('VmHWM'))])
        time.sleep(0.005)
    eclose.wait(child)
    return most / 1024


def carry(eclose, db, mode, n, size, workers=1):
    project(eclose, 'things', [STEP])
    some = max(1, min(10000, 20_000_000 // size))
    for start in range(0, n, some):
        db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': i, 'pad': 'x' * size}
                               for i in range(start, min(start + some, n))])
    used = peak(eclose, 'up', 'things', '--mode', mode, '--workers', workers, '--range-docs', max(1, n // workers))
    print(f'{n} documents of {size} bytes, {mode}, {workers} workers: {used:.1f} MiB')
    assert db.things.count_documents({'schema_version': 2}) == n
    assert 0 < used <= MIB_PER_WORKER * workers


@MODES
def test_many_documents(eclose, db, server, mode):
    carry(eclose, db, mode, size(server, 10000), 100)


@MODES
def test_documents_of_a_megabyte(eclose, db, mode):
    carry(eclose, db, mode, 40, 1_000_000)


@pytest.mark.long
@MODES
def test_ten_times_as_many(eclose, db, server, mode):
    carry(eclose, db, mode, size(server, 100_000), 100)


@pytest.mark.long
@MODES
def test_many_documents_of_a_megabyte_by_two(eclose, db, mode):
    carry(eclose, db, mode, 300, 1_000_000, workers=2)
