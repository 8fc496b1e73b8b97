"""Two versions of a program on the same documents, while a backfill goes up and down under them."""

import json
import signal
import subprocess
import time

import pytest
from test_client import environment, program
from works import put

RENAME = '''to: 2
up: [{$set: {full: $name}}, {$unset: name}]
down: [{$set: {name: $full}}, {$unset: full}]
schema: {required: [full]}
'''


def carry(eclose, seconds, *args):
    """Runs a backfill; it has no end while others write in the other version, so it is interrupted."""
    child = eclose.start(*args)
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode in (0, 1), out + err


def drill(eclose, server, db, documents, seconds):
    put(eclose.folder, 'eclose.yaml', 'collections: {users: {unversioned: 1}}\n')
    put(eclose.folder, 'migrations/users/0002_rename.yaml', RENAME)
    db.users.insert_many([{'_id': i, 'name': f'user {i}'} for i in range(documents)])
    env = environment(server, db, ECLOSE_TEST_PROJECT=eclose.folder)
    programs = [subprocess.Popen([program('tests', 'api', 'drill'), str(target), str(documents), str(seed)], env=env,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for seed, target in enumerate((1, 2))]
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            carry(eclose, seconds / 5, 'up', 'users')
            carry(eclose, seconds / 5, 'down', 'users', '--to', '1')
            assert [p.poll() for p in programs] == [None, None], [p.communicate() for p in programs if p.poll()]
        results = [p.communicate(timeout=60) for p in programs]
    finally:
        for p in programs:
            p.kill()
    assert [p.returncode for p in programs] == [0, 0], results
    eclose('up', 'users', rc=0)
    eclose('verify', 'users', '--all', rc=0)
    saved = [{row['_id']: row['saved'] for row in map(json.loads, out.splitlines())} for out, _ in results]
    assert all(sum(counts.values()) > 0 for counts in saved)
    for user in db.users.find():
        i = user['_id']
        assert user['full'] == f'user {i}' and 'name' not in user and user['schema_version'] == 2
        assert (user.get('n1', 0), user.get('n2', 0)) == (saved[0][i], saved[1][i]), user
    assert db.users.count_documents({}) == documents


def test_two_versions(eclose, server, db):
    drill(eclose, server, db, 500, 5)


@pytest.mark.long
def test_two_versions_for_a_minute(eclose, server, db):
    drill(eclose, server, db, 10000, 60)
