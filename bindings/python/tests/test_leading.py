"""One leader at a time, and migrations run from inside applications: by threads, by many processes, stopped and killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import bson
import pymongo
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.errors import ConfigurationError

import eclose
from eclose._driver import _LOST, _OK, Connection, _Router

CHILD = '''
import json, signal, sys, time
import pymongo, eclose
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a shell starts in the background
uri, database, folder, what = sys.argv[1:5]
client = pymongo.MongoClient(uri)
project = eclose.Project(folder) if folder != '-' else eclose.Project(files={})
if what == 'migrate':
    print(json.dumps([m['name'] for m in project.migrate(client[database], wait=True)['migrations']]))
else:
    lease = project.leader(client[database], 'one', wait=True, time=1.5, max_clock_skew=0)
    print('waiting', file=sys.stderr, flush=True)
    try:
        with lease:
            print('token', lease.token, flush=True)
            for line in sys.stdin:
                held = lease.held
                print('held' if held else 'lost', flush=True)
                if not held:
                    lease.check()
    except eclose.LeaseLost as lost:
        print(lost, flush=True)
'''


def start(uri, db, folder, what):
    return subprocess.Popen([sys.executable, '-c', CHILD, uri, db.name, str(folder), what], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def folder(tmp_path):
    """Two database migrations and a collection; each says how often it ran."""
    (tmp_path / 'migrations' / 'users').mkdir(parents=True)
    (tmp_path / 'eclose.yaml').write_text('database: elsewhere\n')
    (tmp_path / 'migrations' / 'users' / '0001_a.yaml').write_text('to: 1\nup: [{$set: {a: $n}}]\n')
    for name in 'ab':
        (tmp_path / 'migrations' / f'20260101_{name}.yaml').write_text(
            f'up:\n  - insert: {{collection: log, document: {{of: {name}}}}}\n    repeatable: because this is a test\n')
    return tmp_path


@pytest.fixture
def project(folder):
    return eclose.Project(folder)


class Reconnecting:
    """A client that has to connect for its first command."""

    def __init__(self):
        self.sent, self.admin = [], self

    def __getitem__(self, name):
        return self

    def start_session(self, **_):
        return None

    def command(self, command, **_):
        if not self.sent:
            time.sleep(0.2)
        self.sent.append(command)
        return RawBSONDocument(bson.encode({'ok': 1}))


def test_the_time_of_a_command_goes_on_while_there_is_no_connection():
    """What may only be sent within a lease is not sent late because a server had to be found first."""
    insert = bson.encode({'insert': 'log', 'documents': [{'of': 'late'}]})
    connection = Connection(Reconnecting())
    assert connection.run('shop', insert, 0, 100)[0] == _LOST
    assert not [c for c in connection._client.sent if 'insert' in c]
    connection = Connection(Reconnecting())
    assert connection.run('shop', insert, 0, 60000)[0] == _OK
    assert 0 < connection._client.sent[-1]['maxTimeMS'] <= 59800


def test_migrate(project, db):
    db.users.insert_many([{'_id': i, 'n': i} for i in range(500)])
    told = []
    result = project.migrate(db, progress=told.append, release='1.2')
    assert [m['name'] for m in result['migrations']] == ['20260101_a', '20260101_b']
    assert [(c['collection'], c['changed']) for c in result['collections']] == [('users', 500)]
    assert [d['of'] for d in db.log.find().sort('_id', 1)] == ['a', 'b']
    assert db.users.count_documents({'schema_version': 1, '$expr': {'$eq': ['$a', '$n']}}) == 500
    assert [(e['state'], e['release']) for e in db.eclose_changelog.find()] == [('applied', '1.2')] * 2
    assert [t.name for t in told if t.event == 'ends'] == ['20260101_a', '20260101_b']
    assert [(t.text, t.step, t.steps) for t in told if t.event == 'step'][0] == ('insert', 1, 1)
    assert told[-1].event == 'carried' and told[-1].name == 'users' and told[-1].done == 500
    again = project.migrate(db)
    assert again['migrations'] == [] and db.log.count_documents({}) == 2 and again['collections'][0]['changed'] == 0
    assert db.eclose_lease.find_one({'_id': 'migrations'})['holder'] is None


def test_a_part_of_it(project, db, uri):
    assert [m['name'] for m in project.migrate(db, only='20260101_b')['migrations']] == ['20260101_b']
    assert project.migrate(db, collections=False)['collections'] == []
    client = pymongo.MongoClient(uri.replace('/?', f'/{db.name}?') if '/?' in uri else uri.rstrip('/') + '/' + db.name)
    with client:
        assert project.migrate(client)['migrations'] == []
    with pymongo.MongoClient(uri) as client, pytest.raises(ConfigurationError):
        project.migrate(client)
    with pytest.raises(TypeError):
        project.migrate(db.users)
    with pytest.raises(eclose.MigrateError, match='mode'):
        project.migrate(db, mode='fast')
    with pytest.raises(eclose.MigrateError, match='nothing'):
        project.migrate(db, only='nothing')


def test_functions_run_too(db):
    def up(document):
        if document['n'] == 3:
            raise ValueError('three')
        document['twice'] = 2 * document['n']

    project = eclose.Project(functions={'users': {1: up}})
    db.users.insert_many([{'_id': i, 'n': i} for i in range(300)])
    with pytest.raises(eclose.Quarantined, match='users') as caught:
        project.migrate(db)
    assert caught.value.result['collections'][0]['changed'] == 299
    assert 'three' in db.eclose_quarantine.find_one()['error']['message']
    doubled = {'$eq': ['$twice', {'$multiply': [2, '$n']}]}
    assert db.users.count_documents({'schema_version': 1, '$expr': doubled}) == 299


def test_what_fails_is_told_and_goes_on_from_there(db):
    files = {'20260101_a.yaml': 'up:\n'
             '  - insert: {collection: log, document: {_id: 1}}\n'
             '  - assert: {collection: log, filter: {}, count: 2}\n'
             '  - updateMany: {collection: log, filter: {}, update: {$set: {done: true}}}\n'}
    project = eclose.Project(files=files)
    with pytest.raises(eclose.MigrateError, match='20260101_a') as caught:
        project.migrate(db)
    assert caught.value.result['migrations'] == []
    assert db.eclose_changelog.find_one()['state'] == 'failed'
    db.log.insert_one({'_id': 2})
    project.migrate(db)
    assert db.log.count_documents({'done': True}) == 2


def test_transactions(db):
    files = {'20260101_a.yaml': 'up:\n  - transaction:\n'
             '      - updateMany: {collection: accounts, filter: {}, update: {$inc: {n: 1}}, at_once: true}\n'
             '      - insert: {collection: log, document: {of: a}}\n'}
    db.accounts.insert_many([{'_id': i, 'n': i} for i in range(5)])
    db.create_collection('log')
    eclose.Project(files=files).migrate(db)
    assert [a['n'] for a in db.accounts.find().sort('_id', 1)] == [1, 2, 3, 4, 5] and db.log.count_documents({}) == 1


def test_programs_need_the_uri(db, uri, tmp_path):
    (tmp_path / 'eclose.yaml').write_text('{}')
    (tmp_path / 'migrations').mkdir()
    script = tmp_path / 'migrations' / '20260101_a.sh'
    script.write_text('#!/bin/sh\necho "on $ECLOSE_DATABASE"\ntest "$ECLOSE_URI" = "' + uri + '"\n')
    script.chmod(0o755)
    project = eclose.Project(tmp_path)
    with pytest.raises(eclose.MigrateError):
        project.migrate(db)
    told = []
    project.migrate(db, uri=uri, progress=told.append)
    assert ''.join(t.text for t in told if t.event == 'output') == f'on {db.name}\n'


def test_what_progress_raises_ends_the_run(project, db):
    def tell(progress):
        if progress.event == 'ends':
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        project.migrate(db, progress=tell)
    assert db.log.count_documents({}) == 1
    project.migrate(db)
    assert db.log.count_documents({}) == 2


@pytest.mark.parametrize('n', [6, pytest.param(20, marks=pytest.mark.long)])
def test_many_processes_start_at_once(n, folder, db, uri):
    db.users.insert_many([{'_id': i, 'n': i} for i in range(1000)])
    children = [start(uri, db, folder, 'migrate') for _ in range(n)]
    try:
        done = [child.communicate(timeout=240) for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0] * n, done
    assert sorted(out for out, _ in done) == ['["20260101_a", "20260101_b"]\n', *['[]\n'] * (n - 1)]
    assert sorted(d['of'] for d in db.log.find()) == ['a', 'b']
    assert db.users.count_documents({'schema_version': 1}) == 1000


def test_somebody_else_migrates(project, db):
    with project.leader(db, 'migrations') as lease:
        with pytest.raises(eclose.LeaseBusy, match='holds the lease'):
            project.migrate(db)
        with pytest.raises(eclose.LeaseBusy):
            project.migrate(db, wait=0.2)
        assert lease.holder()['pid'] == os.getpid()
    project.migrate(db)


def test_leader(project, db):
    lease = project.leader(db, 'nightly', release='9')
    assert not lease.held and lease.left == 0
    with pytest.raises(eclose.LeaseLost, match='not held'):
        lease.check()
    with lease:
        first = lease.token
        assert lease.held and 20 < lease.left <= 30 and lease.holder()['release'] == '9'
        with pytest.raises(eclose.LeaseBusy, match='nightly'), project.leader(db, 'nightly'):
            pass
        with project.leader(db, 'weekly') as other:
            assert other.held
        with pytest.raises(ZeroDivisionError), project.leader(db, 'monthly'):
            1 / 0
    assert not lease.held and not lease.holder()['held']
    with lease:
        assert lease.token > first
    with pytest.raises(TypeError):
        project.leader(db.client)


def test_who_waits_gets_it(project, db):
    got = []

    def wait():
        with project.leader(db, wait=True) as lease:
            got.append(lease.token)

    with project.leader(db) as lease:
        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert lease.token == 1 and not got
    for thread in threads:
        thread.join()
    assert sorted(got) == [2, 3, 4, 5]


def test_a_wait_is_cancelled(project, db):
    with project.leader(db):
        other, ended = project.leader(db, wait=True), threading.Event()

        def cancel():
            while not ended.wait(0.1):
                other.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            with pytest.raises(eclose.EcloseError, match='cancelled'):
                other.acquire()
        finally:
            ended.set()
            thread.join()


def test_it_is_renewed_while_python_is_busy(project, db):
    with project.leader(db, time=0.6, max_clock_skew=0) as lease:
        token, until = lease.token, time.monotonic() + 2
        while time.monotonic() < until:
            sum(range(10000))
        assert lease.token == token


def test_a_lease_that_is_broken_is_lost(project, db):
    with pytest.raises(eclose.LeaseLost, match='was lost'), project.leader(db, time=0.6, max_clock_skew=0) as lease:
        db.eclose_lease.delete_many({})
        while lease.held:
            time.sleep(0.02)
        with pytest.raises(eclose.LeaseLost):
            lease.check()
        with pytest.raises(eclose.LeaseLost):
            _ = lease.token


def test_a_leader_that_was_stopped_knows_that_it_is_none(db, uri):
    def ask(child):
        child.stdin.write('\n')
        child.stdin.flush()
        return child.stdout.readline().strip()

    a, b = start(uri, db, '-', 'lead'), None
    try:
        assert a.stdout.readline() == 'token 1\n'
        assert ask(a) == 'held'
        a.send_signal(signal.SIGSTOP)
        b = start(uri, db, '-', 'lead')
        assert b.stdout.readline() == 'token 2\n'
        a.send_signal(signal.SIGCONT)
        assert ask(a) == 'lost' and 'lost' in a.stdout.readline()
        assert a.wait(60) == 0 and ask(b) == 'held'
        assert db.eclose_lease.find_one({'_id': 'one'})['token'] == 2
    finally:
        for child in (a, b):
            if child:
                child.kill()
                child.communicate()


def test_a_program_may_end_while_it_leads(db, uri):
    code = CHILD.replace("            print('token'", "            sys.exit(3)\n            print('token'")
    done = subprocess.run([sys.executable, '-c', code, uri, db.name, '-', 'lead'], timeout=60, check=False)
    assert done.returncode == 3 and db.eclose_lease.find_one({'_id': 'one'})['holder'] is None
    code = CHILD.replace('with lease:', 'lease.acquire()\n        if True:')
    done = subprocess.run([sys.executable, '-c', code, uri, db.name, '-', 'lead'], stdin=subprocess.DEVNULL, timeout=60,
                          check=False)
    assert done.returncode == 0 and db.eclose_lease.find_one({'_id': 'one'})['holder'] is None


def test_ctrl_c_ends_a_wait(db, uri, project):
    with project.leader(db, 'one'):
        child = start(uri, db, '-', 'lead')
        try:
            assert child.stderr.readline() == 'waiting\n'
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=60)
            assert 'KeyboardInterrupt' in err and child.returncode
        finally:
            child.kill()
            child.communicate()


@pytest.mark.filterwarnings('ignore')  # pymongo and Python warn of forks
@pytest.mark.parametrize('end', ['sys.exit()', 'del lease', 'lease.release()', 'lease.__exit__(None, None, None)'])
def test_a_child_does_not_have_the_lease_of_its_parent(db, uri, end):
    code = f'''
import os, sys, signal
import pymongo, eclose
lease = eclose.Project(files={{}}).leader(pymongo.MongoClient({uri!r})[{db.name!r}], 'one').acquire()
child = os.fork()
if not child:
    signal.alarm(20)
    try:
        assert not lease.held and not lease.left
        for ask in (lease.check, lease.acquire, lease.holder):
            try:
                ask()
                os._exit(3)
            except eclose.EcloseError as error:
                print(type(error).__name__, flush=True)
        try:
            {end}
        except eclose.LeaseLost:
            pass
    except Exception as error:
        print(repr(error), flush=True)
        os._exit(4)
    sys.exit()
print(os.waitpid(child, 0)[1], lease.held, lease.token == lease.holder()['token'], lease.holder()['held'])
'''
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stdout == 'LeaseLost\nLeaseError\nLeaseError\n0 True True True\n', done.stderr


def test_one_router_of_several():
    """A cursor is known to the one alone that opened it."""
    a, b, c = (SimpleNamespace(address=(name, 27017), server_type_name='Mongos') for name in 'abc')
    router = _Router(None)
    first, = router([a, b])
    assert all(router([a, b]) == [first] for _ in range(50))
    other, = router([c])
    assert other is c and router([a, b, c]) == [c]  # it went away; the one in its place is kept
    assert _Router(lambda servers: servers[:1])([b, a]) == [b]
    members = [SimpleNamespace(address=('a', 1), server_type_name=kind) for kind in ('RSPrimary', 'RSSecondary')]
    assert _Router(None)(members) == members
