"""The example of migrations that are programs: in Python with pymongo, and for mongosh."""

import os
import shutil
import subprocess
import sys
import time

from conftest import ROOT

FAST = {'ECLOSE_LEASE_TIME': '1500', 'ECLOSE_MAX_CLOCK_SKEW': '300'}


def example(eclose, name):
    """One of the two, with the Python of the tests (and what else is asked for) in front of the PATH."""
    os.makedirs(os.path.join(eclose.folder, 'migrations'))
    source = os.path.join(ROOT, 'examples', 'programs')
    shutil.copy(os.path.join(source, 'eclose.yaml'), eclose.folder)
    shutil.copy(os.path.join(source, 'migrations', name), os.path.join(eclose.folder, 'migrations'))
    eclose.env['PATH'] = os.path.dirname(sys.executable) + ':' + eclose.env['PATH']


def points(db):
    return {c['_id']: c.get('points', 0) for c in db.customers.find()}


def test_pymongo_killed_and_run_again(eclose, db):
    example(eclose, '20261122T1000_loyalty_points.py')
    db.customers.insert_many([{'_id': i} for i in range(20)])
    db.orders.insert_many([{'_id': i, 'customer': i % 20, 'total': 10.0 * (i % 7)} for i in range(1000)])
    expected = {c: sum(i % 7 for i in range(c, 1000, 20)) for c in range(20)}
    for delay in (0.4, 0.7):
        child = eclose.start('up', '--wait', env=FAST)
        time.sleep(delay)
        child.kill()
        child.wait()
    # Killed in the moment before its commit, its transaction keeps the lease until the server ends it.
    up = eclose('up', '--wait', rc=0, env=FAST, timeout=150)
    assert points(db) == expected, up
    assert db.orders.count_documents({'points': None}) == 0
    assert 'orders' in db.eclose_changelog.find_one()['output'] or 'orders' not in up.err
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
    path = os.path.join(eclose.folder, 'migrations', '20261122T1100_phone_numbers.js')
    with open(path, encoding='utf-8') as f:
        text = f.read()
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text.replace('customer.phone.replace', 'customer.phone.no_such'))
    failed = eclose('up', rc=1)
    assert 'ended with status 1' in failed.err and 'no_such' in db.eclose_changelog.find_one()['output']
