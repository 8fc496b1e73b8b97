"""Migrations that are programs: their output and their end; the examples in Python with pymongo, and for mongosh."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from conftest import ROOT
from works import FAST, change, program, record, wait_for

NAME = '20260101_program'


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='utf-8') as f:
        return [int(child) for child in f.read().split()]


class Reading:
    """Reads a pipe to its end, beside the test."""

    def __init__(self, pipe):
        self.parts = []
        self.thread = threading.Thread(target=lambda: self.parts.extend(iter(lambda: pipe.read(4096), '')), daemon=True)
        self.thread.start()

    def end(self):
        self.thread.join(timeout=60)
        return ''.join(self.parts)


def output(db):
    return (record(db, NAME) or {}).get('output', '')


# ---- what it writes ----

def test_the_output_is_kept_as_it_goes(eclose, db, tmp_path):
    """After kill -9 the changelog holds what was written until then; the next run begins anew."""
    go, end = tmp_path / 'go', tmp_path / 'end'
    program(eclose.folder, NAME + '.sh', f'''#!/bin/sh
echo first
while [ ! -e {go} ]; do sleep 0.05; done
seq 1 100000
echo second >&2
while [ ! -e {end} ]; do sleep 0.05; done
''')
    child = eclose.start('up', env=FAST)
    wait_for(lambda: output(db) == 'first\n')
    go.touch()
    # Somebody reads what is shown, or it would not go on.
    shown = Reading(child.stderr)
    wait_for(lambda: output(db).endswith('99999\n100000\nsecond\n'))
    entry = record(db, NAME)
    assert entry['state'] == 'running' and 60000 < len(entry['output']) <= 65536
    child.kill()
    child.wait()
    assert 'first\n1\n2\n' in shown.end() and shown.end().endswith('second\n')
    said = eclose('history', NAME, rc=0).out
    assert '  state      running\n' in said and said.endswith('99999\n100000\nsecond\n')
    end.touch()
    eclose('up', '--wait', rc=0, env=FAST)
    assert record(db, NAME)['state'] == 'applied' and record(db, NAME)['attempts'] == 2
    assert output(db).endswith('second\n')


def test_output_that_is_no_text_is_kept_as_text(eclose, db):
    """It is shown as it came."""
    program(eclose.folder, NAME + '.sh', "#!/bin/sh\nprintf 'caf\\351 \\000 caf\\303\\251 \\360\\237\\246\\213 \\303\\n'\n")
    done = subprocess.run([eclose.binary, 'up'], env=eclose.env, cwd=eclose.folder, capture_output=True, timeout=60,
                          check=False)
    assert done.returncode == 0 and b'caf\xe9 \x00 caf\xc3\xa9 \xf0\x9f\xa6\x8b \xc3\n' in done.stderr, done
    assert output(db) == 'caf? ? caf\u00e9 \U0001f98b ?\n' and record(db, NAME)['state'] == 'applied'


# ---- how long it lives ----

@pytest.mark.parametrize('text', ['', 'seq 1 100000'])
def test_a_program_outlives_leases_while_eclose_lives(eclose, db, tmp_path, text):
    """One that says nothing, and one whose output nobody reads, which keeps eclose waiting as well."""
    began, go = tmp_path / 'began', tmp_path / 'go'
    program(eclose.folder, NAME + '.sh',
            f'#!/bin/sh\necho $$ > {began}.new\nmv {began}.new {began}\n{text}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n')
    child = eclose.start('up', env=FAST)
    wait_for(began.exists)
    first = db.eclose_lease.find_one()
    wait_for(lambda: (db.eclose_lease.find_one()['renewed'] - first['expires']).total_seconds() > 3)
    assert alive(int(began.read_text())) and db.eclose_lease.find_one()['token'] == first['token']
    go.touch()
    eclose.wait(child)
    assert record(db, NAME)['state'] == 'applied'


# The program, a child of it, and a child of that one which nobody waits for; none of them minds signals.
FAMILY = '''#!/bin/sh
trap '' TERM HUP INT
(sleep 600 & echo $! > {pids}.c; wait) &
while [ ! -s {pids}.c ]; do sleep 0.01; done
echo $$ $! $(cat {pids}.c) > {pids}.new
mv {pids}.new {pids}
while :; do sleep 0.1; done
'''


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGSTOP])
def test_a_program_dies_with_eclose_and_with_the_lease(eclose, db, tmp_path, how):
    pids = tmp_path / 'pids'
    program(eclose.folder, NAME + '.sh', FAMILY.format(pids=pids))
    child = eclose.start('up', env=FAST)
    wait_for(pids.exists)
    family = [int(pid) for pid in pids.read_text().split()]
    assert len(family) == 3 and all(map(alive, family))
    child.send_signal(how)
    wait_for(lambda: not any(map(alive, family)))
    if how == signal.SIGSTOP:
        # It was the watchdog's doing; when eclose goes on it sees that the lease is over.
        child.send_signal(signal.SIGCONT)
        assert 'the lease "migrations" was lost' in eclose.wait(child, rc=4).err


def test_what_a_program_leaves_behind_ends_with_it(eclose, db, tmp_path):
    pid = tmp_path / 'pid'
    program(eclose.folder, NAME + '.sh', f'#!/bin/sh\nsleep 600 > /dev/null 2>&1 &\necho $! > {pid}\n')
    eclose('up', rc=0)
    wait_for(lambda: not alive(int(pid.read_text())))


def test_a_program_does_not_go_on_without_its_watchdog(eclose, db, tmp_path):
    pids = tmp_path / 'pids'
    program(eclose.folder, NAME + '.sh', FAMILY.format(pids=pids))
    child = eclose.start('up', env=FAST)
    wait_for(pids.exists)
    family = [int(pid) for pid in pids.read_text().split()]
    watchdog, = set(children_of(child.pid)) - set(family)
    os.kill(watchdog, signal.SIGKILL)
    assert 'its watchdog, a process of eclose, was ended before it' in eclose.wait(child, rc=1).err
    assert not any(map(alive, family)) and record(db, NAME)['state'] == 'failed'


# The process dies in its second fork: the program is there already, the watchdog is not yet.
DIES = '''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

pid_t
fork (void)
{
   static int n;
   pid_t (*real) (void) = (pid_t (*) (void)) dlsym (RTLD_NEXT, "fork");
   pid_t pid;

   if (++n == 2) {
      kill (getpid (), SIGKILL);
   }
   pid = real ();
   if (pid > 0) {
      FILE *f = fopen (getenv ("FORKED"), "w");

      fprintf (f, "%d", (int) pid);
      fclose (f);
   }
   return pid;
}
'''


def test_no_program_runs_before_its_watchdog_is_there(eclose, db, tmp_path):
    source, library, ran, forked = (tmp_path / name for name in ('dies.c', 'dies.so', 'ran', 'forked'))
    source.write_text(DIES)
    subprocess.run([os.environ.get('CC', 'cc'), '-shared', '-fPIC', '-o', library, source, '-ldl'], check=True, timeout=60)
    program(eclose.folder, NAME + '.sh', f'#!/bin/sh\ntouch {ran}\nexec sleep 600\n')
    sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'
    child = eclose.start('up', env=dict(FAST, LD_PRELOAD=str(library), FORKED=str(forked), ASAN_OPTIONS=sanitizer))
    assert child.wait(timeout=60) == -signal.SIGKILL, child.communicate()
    pid = int(forked.read_text())
    try:
        wait_for(lambda: not alive(pid), seconds=10)
        assert not ran.exists()
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


# ---- the examples ----


def example(eclose, name):
    """One of the two, with the Python of the tests (and what else is asked for) in front of the PATH."""
    os.makedirs(os.path.join(eclose.folder, 'migrations'))
    source = os.path.join(ROOT, 'examples', 'programs')
    shutil.copy(os.path.join(source, 'eclose.yaml'), eclose.folder)
    shutil.copy(os.path.join(source, 'migrations', name), os.path.join(eclose.folder, 'migrations'))
    eclose.env['PATH'] = os.path.dirname(sys.executable) + ':' + eclose.env['PATH']


def points(db):
    return {c['_id']: c.get('points', 0) for c in db.customers.find()}


def test_pymongo_killed_and_run_again(eclose, db, server):
    example(eclose, '20261122T1000_loyalty_points.py')
    db.customers.insert_many([{'_id': i} for i in range(20)])
    db.orders.insert_many([{'_id': i, 'customer': i % 20, 'total': 10.0 * (i % 7)} for i in range(1000)])
    expected = {c: sum(i % 7 for i in range(c, 1000, 20)) for c in range(20)}
    # Renewals, each third of that, are not so near to each other that a slow machine's transactions meet one each time.
    times = dict(FAST, ECLOSE_LEASE_TIME='15000' if server.name == 'py' else '6000')
    for part in (100, 400):
        child = eclose.start('up', '--wait', env=times)
        wait_for(lambda part=part: db.orders.count_documents({'points': {'$ne': None}}) >= part)
        child.kill()
        assert child.wait() == -signal.SIGKILL
    # Killed in the moment before its commit, its transaction would keep the lease for a minute: it is ended.
    up = eclose('up', '--wait', rc=0, env=times, timeout=150)
    assert points(db) == expected, up
    assert db.orders.count_documents({'points': None}) == 0
    assert ' orders\n' in db.eclose_changelog.find_one()['output']
    eclose('revert', rc=0)
    assert set(points(db).values()) == {0} and db.orders.count_documents({'points': None}) == 1000


def test_pymongo_does_nothing_without_the_lease(eclose, db):
    """Run by hand with a token that is not the lease's: nothing is written, and it says so."""
    example(eclose, '20261122T1000_loyalty_points.py')
    db.customers.insert_one({'_id': 1})
    db.orders.insert_one({'_id': 1, 'customer': 1, 'total': 50.0})
    db.eclose_lease.insert_one({'_id': 'migrations', 'token': 8})
    done = subprocess.run([sys.executable, os.path.join(eclose.folder, 'migrations', '20261122T1000_loyalty_points.py')],
                          env=dict(eclose.env, ECLOSE_DIRECTION='up', ECLOSE_TOKEN='7'), capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 1 and 'the lease is no longer ours' in done.stderr
    assert points(db) == {1: 0} and db.orders.find_one() == {'_id': 1, 'customer': 1, 'total': 50.0}


def test_mongosh(eclose, db, npm):
    example(eclose, '20261122T1100_phone_numbers.js')
    eclose.env['PATH'] = os.path.join(npm, 'node_modules', '.bin') + ':' + eclose.env['PATH']
    eclose.env['HOME'] = eclose.folder  # where mongosh keeps its own things
    given = [{'_id': i, 'phone': f'+45 12-34 {i}'} for i in range(1200)]
    later = {'_id': 'later', 'phone': '1 2', 'fence': 10**12}
    db.customers.insert_many([*given, {'_id': 'none'}, later])
    up = eclose('up', rc=0)
    assert '1200 customers' in up.err
    token = db.eclose_changelog.find_one()['token']
    assert db.customers.find_one({'_id': 7}) == {'_id': 7, 'phone': '+4512347', 'phone_as_given': '+45 12-34 7', 'fence': token}
    assert db.customers.find_one({'_id': 'later'}) == later  # who wrote that was granted the lease later
    assert db.customers.count_documents({'phone': {'$regex': ' '}}) == 1
    eclose('revert', rc=0)
    assert [{'_id': c['_id'], 'phone': c['phone']} for c in db.customers.find({'_id': {'$type': 'number'}}).sort('_id', 1)] == given
    # What throws has failed.
    db.customers.insert_one({'_id': 'bad', 'phone': '1 1'})
    change(eclose.folder, 'migrations/20261122T1100_phone_numbers.js', 'customer.phone.replace', 'customer.phone.no_such')
    failed = eclose('up', rc=1)
    assert 'ended with status 1' in failed.err and 'no_such' in db.eclose_changelog.find_one()['output']
