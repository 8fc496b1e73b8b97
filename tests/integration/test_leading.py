"""Leases and eclose_migrate() of the C libraries on a server: the tests of tests/api/leading.c, and many processes."""

import json
import re
import signal
import subprocess

import pytest
from conftest import SANITIZER_STATUS
from test_client import environment, names_in, program
from works import put, size, write


@pytest.mark.parametrize('name', names_in('leading'))
def test_live(name, server, db):
    done = subprocess.run([program('tests', 'api', 'leading'), name], env=environment(server, db), capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0 and re.search(r'^ok 1', done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert not done.stderr  # the libraries print nothing


def start(server, db, *args):
    return subprocess.Popen(args, env=environment(server, db), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def finish(children, seconds=120):
    """Ends with their outputs; none is left behind, whatever happens."""
    try:
        done = [child.communicate(timeout=seconds) for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, err) in zip(children, done):
        assert child.returncode not in (SANITIZER_STATUS,), err
    return done


def test_twenty_applications_start_at_once(server, db, tmp_path):
    write(tmp_path, **{name: f'up:\n  - insert: {{collection: log, document: {{of: {name}}}}}\n'
                             '    repeatable: because this is a test\n' for name in 'abc'})
    put(tmp_path, 'migrations/users/0001_one.yaml', 'to: 1\nup: [{$set: {a: $n}}]\n')
    n = size(server, 3000)
    db.users.insert_many([{'_id': i, 'n': i} for i in range(n)])
    children = [start(server, db, program('examples', 'c', 'example_migrate'), server.uri, db.name, str(tmp_path))
                for _ in range(20)]
    done = finish(children)
    assert [child.returncode for child in children] == [0] * 20, done
    results = [json.loads(out) for out, _ in done]
    # Each of them once, all by the same process: it kept the lease.
    assert sorted([m['name'] for m in r['migrations']] for r in results) == \
        [[]] * 19 + [['20260101_a', '20260101_b', '20260101_c']]
    assert sorted(d['of'] for d in db.log.find()) == ['a', 'b', 'c']
    assert [e['state'] for e in db.eclose_changelog.find()] == ['applied'] * 3
    assert {e['release'] for e in db.eclose_changelog.find()} == {'1.4.2'}
    assert db.users.count_documents({'v': 1, '$expr': {'$eq': ['$a', '$n']}}) == n


def test_one_leader_at_a_time(server, db):
    """Each reads the counter and writes one more: right only where nobody does so in between."""
    children = [start(server, db, program('examples', 'c', 'example_leader'), server.uri, db.name, 'n', '40')
                for _ in range(8)]
    done = finish(children)
    assert [child.returncode for child in children] == [0] * 8, done
    assert sorted(int(out.split()[-1]) for out, _ in done) == list(range(1, 9))
    assert db.counters.find_one()['n'] == 320 and db.counters.find_one()['token'] == 8


def test_a_leader_that_was_stopped_knows_that_it_is_none(server, db):
    holder = [program('tests', 'api', 'hold'), 'one', '1500']
    a = start(server, db, *holder)
    b = None

    def ask(child):
        child.stdin.write('\n')
        child.stdin.flush()
        return child.stdout.readline().strip()

    try:
        assert a.stdout.readline() == 'token 1\n'
        assert ask(a) == 'held'
        a.send_signal(signal.SIGSTOP)
        b = start(server, db, *holder)
        assert b.stdout.readline() == 'token 2\n'
        a.send_signal(signal.SIGCONT)
        assert (ask(a), ask(b)) == ('lost', 'held')
        finish([a])
        lease = db.eclose_lease.find_one({'_id': 'one'})
        assert lease['token'] == 2 and lease['holder'] is not None  # it took nothing with it
        assert ask(b) == 'held'
    finally:
        for child in (a, b):
            if child and child.poll() is None:
                child.kill()
                child.communicate()
