"""Fixtures of the live tests: a server, a fresh database, and the eclose that was built. Everything has a time limit.

Tests that need what not every server has ask for it:

    pytest.mark.replica_set    a real mongod; skipped on other servers, with a reason
    pytest.mark.long           minutes: `make check-long` only
    server.needs_own('...')    kills and restarts: skipped where the server is somebody's own (ECLOSE_TEST_URI)
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid

import pymongo
import pytest
from relay import Relay

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTSERVER = [sys.executable, os.path.join(ROOT, 'tools', 'testserver')]
SANITIZER_STATUS = 99  # what tools/check tells the sanitizers to end a program with


def pytest_configure(config):
    config.addinivalue_line('markers', 'replica_set: only a real mongod as a replica set shows this')
    config.addinivalue_line('markers', 'long: takes minutes')


def pytest_collection_modifyitems(items):
    """One test must not take all the time of a run: a limit by SIGALRM around each."""
    for item in items:
        if item.get_closest_marker('replica_set') and server_name() not in ('mongod', 'given'):
            item.add_marker(pytest.mark.skip(reason=f'needs a mongod; this server is {server_name()}'))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    seconds = 1800 if item.get_closest_marker('long') else int(os.environ.get('ECLOSE_TEST_SECONDS', '180'))

    def late(_signum, _frame):
        raise TimeoutError(f'{item.nodeid} did not end within {seconds} seconds')

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def server_name(cache={}):
    if not cache:
        cache['name'] = call_testserver('which').strip()
    return cache['name']


def call_testserver(*args, timeout=120):
    done = subprocess.run([*TESTSERVER, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f'testserver {" ".join(args)}: {done.stderr or done.stdout}')
    return done.stdout


class Server:
    """A running server. kill() and restart() keep port and storage."""

    def __init__(self, *options):
        self.state = os.path.join(tempfile.mkdtemp(prefix='eclose-test-'), 'server')
        # It ends with this process, whatever ends this process.
        self.uri = call_testserver('start', '--state', self.state, '--owner', str(os.getpid()), *options).strip()
        self.name = 'given' if os.environ.get('ECLOSE_TEST_URI') and '--server' not in options else server_name()
        self.client = pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=10000)

    def __str__(self):
        return self.uri

    def differs(self, name, how):
        """Not for a server that does it otherwise than MongoDB: how, and where it is said what MongoDB does."""
        if self.name == name:
            pytest.skip(f'{name}: {how}')

    def needs_own(self, what):
        if self.name == 'given':
            pytest.skip(f'{what}: the server of ECLOSE_TEST_URI is not ours')

    def kill(self):
        call_testserver('kill', '--state', self.state)

    def restart(self):
        assert call_testserver('restart', '--state', self.state).strip() == self.uri

    def stop(self, keep_log=False):
        self.client.close()
        kept = call_testserver('stop', '--state', self.state, *(['--keep-log'] if keep_log else []))
        shutil.rmtree(os.path.dirname(self.state), ignore_errors=True)
        return kept.strip()


@pytest.fixture(scope='session')
def server(request):
    """The server that most tests share."""
    started = Server()
    yield started
    kept = started.stop(keep_log=request.session.testsfailed > 0)
    if kept:
        print(f'\nlog of the server: {kept}')


@pytest.fixture
def own_server(request):
    """A server for this test alone, with synced writes: may be killed and restarted."""
    if os.environ.get('ECLOSE_TEST_URI'):
        pytest.skip('kills its server: the one of ECLOSE_TEST_URI is not ours')
    started = Server('--sync')
    failed = request.session.testsfailed
    yield started
    kept = started.stop(keep_log=request.session.testsfailed > failed)
    if kept:
        print(f'\nlog of the server: {kept}')


@contextlib.contextmanager
def fresh_database(on):
    database = on.client['eclose_test_' + uuid.uuid4().hex[:12]]
    try:
        yield database
    finally:
        with contextlib.suppress(pymongo.errors.PyMongoError):
            if on.name == 'py':
                # A transaction that a killed program left open: there it cannot come to its end while a database of its
                # documents is dropped, which waits for that and keeps everybody else waiting.
                on.client.admin.command('killAllSessions', [])
            on.client.drop_database(database.name)


@pytest.fixture
def db(server):
    """A database of its own for each test, dropped after it."""
    with fresh_database(server) as database:
        yield database


@pytest.fixture
def own_db(own_server):
    """The same on a server of its own."""
    with fresh_database(own_server) as database:
        yield database


@pytest.fixture
def relay(server):
    """Between the program and the shared server: see relay.py."""
    with Relay(server.uri) as between:
        yield between


def find_binary():
    if os.environ.get('ECLOSE_BIN'):
        return os.environ['ECLOSE_BIN']
    build = os.environ.get('ECLOSE_BUILD') or os.path.join(ROOT, 'build')
    for place in ('src/cli/eclose', 'src/eclose', 'eclose'):
        if os.access(os.path.join(build, place), os.X_OK):
            return os.path.join(build, place)
    return None


class Result:
    def __init__(self, rc, out, err):
        self.rc, self.out, self.err = rc, out, err

    def __iter__(self):
        return iter((self.rc, self.out, self.err))

    def __repr__(self):
        return f'status {self.rc}\n--- stdout\n{self.out}\n--- stderr\n{self.err}'


class Eclose:
    """Runs eclose in a folder of this test. Its environment names no server but that of the tests."""

    def __init__(self, binary, folder, uri, database):
        self.binary, self.folder = binary, folder
        self.env = {k: v for k, v in os.environ.items() if k != 'MONGODB_URI' and
                    not k.startswith('ECLOSE_') and k not in ('NO_COLOR', 'CLICOLOR_FORCE')}
        self.env.update(LC_ALL='C.UTF-8', ECLOSE_URI=uri, ECLOSE_DATABASE=database)
        self.children = []

    def __call__(self, *args, stdin='', rc=None, timeout=90, env=None, cwd=None):
        """Runs it to its end. With rc, any other exit status fails the test with all that it printed."""
        done = subprocess.run([self.binary, *map(str, args)], input=stdin, capture_output=True, text=True,
                              timeout=timeout, env=dict(self.env, **(env or {})), cwd=cwd or self.folder, check=False)
        result = Result(done.returncode, done.stdout, done.stderr)
        assert result.rc != SANITIZER_STATUS, result
        assert rc is None or result.rc == rc, result
        return result

    def start(self, *args, env=None, cwd=None):
        """Starts it, for tests that kill it. What still runs at the end of the test is killed."""
        child = subprocess.Popen([self.binary, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, env=dict(self.env, **(env or {})),
                                 cwd=cwd or self.folder)
        self.children.append(child)
        return child

    def wait(self, child, rc=0, timeout=150):
        """Waits until one that was started has ended. As the call: with another exit status than rc the test fails."""
        out, err = child.communicate(timeout=timeout)
        result = Result(child.returncode, out, err)
        assert result.rc == rc, result
        return result

    def end(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.communicate(timeout=30)
            # libmongoc's counters of one that was killed: whoever gets its number next would warn about them.
            with contextlib.suppress(OSError):
                os.unlink(f'/dev/shm/mongoc-{child.pid}')


@pytest.fixture
def npm():
    """The folder in which tools/deps installed programs of Node."""
    with open(os.path.join(ROOT, 'tools', 'npm-packages'), 'rb') as f:
        name = 'npm-' + hashlib.sha256(f.read()).hexdigest()[:12]
    folder = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'eclose', name)
    if not os.path.exists(os.path.join(folder, 'complete')):
        pytest.skip(f'{folder} is not here: see what tools/deps said about node and npm')
    return folder


@pytest.fixture
def eclose_binary():
    binary = find_binary()
    if not binary:
        pytest.skip('eclose is not built (make build, or set ECLOSE_BIN)')
    return binary


@pytest.fixture
def eclose(eclose_binary, server, db, tmp_path):
    """eclose against the fresh database of this test: rc, out, err = eclose('status')."""
    runner = Eclose(eclose_binary, str(tmp_path), server.uri, db.name)
    yield runner
    runner.end()


@pytest.fixture
def own_eclose(eclose_binary, own_server, own_db, tmp_path):
    """The same against a server of this test's own."""
    runner = Eclose(eclose_binary, str(tmp_path), own_server.uri, own_db.name)
    yield runner
    runner.end()
