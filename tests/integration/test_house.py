"""The tools that the other live tests stand on: the server's script, and the check of includes."""

import hashlib
import importlib.machinery
import importlib.util
import os
import re
import socket
import stat
import subprocess
import sys
import time

import pymongo
import pytest

from conftest import ROOT, TESTSERVER, call_testserver

SERVER = os.path.join(ROOT, 'tools', 'testserver')


def ours():
    if os.environ.get('ECLOSE_TEST_URI'):
        pytest.skip('starts servers; ECLOSE_TEST_URI names somebody\'s own')


def port_of(uri):
    return int(re.search(r':(\d+)/', uri).group(1))


def nobody_listens(port):
    with socket.socket() as s:
        s.settimeout(5)
        return s.connect_ex(('127.0.0.1', port)) != 0


def test_server_answers_and_writes(db):
    db.things.insert_one({'_id': 1, 'a': 1})
    db.things.update_one({'_id': 1}, [{'$set': {'b': {'$add': ['$a', 1]}}}])
    assert db.things.find_one() == {'_id': 1, 'a': 1, 'b': 2}


def test_run_passes_the_status_on_and_stops_its_server(tmp_path):
    ours()
    env = dict(os.environ, ECLOSE_LOG_DIR=str(tmp_path))
    done = subprocess.run([*TESTSERVER, 'run', '--', 'sh', '-c', 'echo "$ECLOSE_TEST_URI"; exit 7'], env=env,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 7, done.stderr
    port = port_of(done.stdout)
    assert port < 32768
    assert nobody_listens(port)
    kept = list(tmp_path.iterdir())
    assert len(kept) == 1 and str(kept[0]) in done.stderr, 'the log is kept when the command fails'


def test_acknowledged_writes_outlive_kill_and_restart(own_server, own_db):
    own_db.things.insert_many([{'_id': i} for i in range(100)])
    own_server.kill()
    assert nobody_listens(port_of(own_server.uri))
    own_server.restart()
    assert own_db.things.count_documents({}) == 100


def test_server_ends_with_its_owner(tmp_path):
    ours()
    state = str(tmp_path / 'server')
    with subprocess.Popen(['cat'], stdin=subprocess.PIPE) as owner:
        uri = call_testserver('start', '--state', state, '--owner', str(owner.pid)).strip()
        assert pymongo.MongoClient(uri).admin.command('ping')['ok'] == 1
        owner.kill()
    # Removing the folder is the last thing its watcher does; the test's own limit ends this loop.
    while os.path.exists(state):
        time.sleep(0.02)
    assert nobody_listens(port_of(uri))


def test_somebodys_own_server_is_used_and_never_stopped(server, tmp_path):
    state = str(tmp_path / 'server')
    env = dict(os.environ, ECLOSE_TEST_URI=server.uri)

    def call(*args):
        return subprocess.run([*TESTSERVER, *args], env=env, capture_output=True, text=True, timeout=60, check=False)

    assert call('which').stdout == 'given\n'
    assert call('start', '--state', state).stdout.strip() == server.uri
    assert 'not ours' in call('kill', '--state', state).stderr
    assert 'not ours' in call('restart', '--state', state).stderr
    assert call('stop', '--state', state).returncode == 0
    assert server.client.admin.command('ping')['ok'] == 1


def test_unknown_server_is_refused():
    done = subprocess.run([*TESTSERVER, 'which'], env=dict(os.environ, ECLOSE_TEST_URI='', ECLOSE_TEST_SERVER='oracle'),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "'oracle'" in done.stderr


def test_check_mongod_with_a_listed_server(tmp_path):
    """The script for a real mongod, with a program of that name in front of a listed server."""
    ours()
    listed = 'rs' if subprocess.run([*TESTSERVER, 'which', '--server', 'rs'], capture_output=True, timeout=60,
                                    check=False).returncode == 0 else 'py'
    fake = tmp_path / 'mongod'
    fake.write_text(f'''#!{sys.executable}
import os, runpy, sys
option = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert set(option) == {{'--bind_ip', '--port', '--dbpath', '--replSet', '--oplogSize'}}, option
program = runpy.run_path({SERVER!r})['programs']()[{listed!r}]
os.execv(program, [program, '--host', option['--bind_ip'], '--port', option['--port'],
                   '--storage-path', option['--dbpath']])
''')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    env = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}', ECLOSE_BUILD=os.environ.get('ECLOSE_BUILD', ROOT))
    env.pop('ECLOSE_TEST_SERVER', None)
    done = subprocess.run([os.path.join(ROOT, 'tools', 'check-mongod'), '-k', 'server_answers', 'tests/integration'],
                          env=env, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0 and '1 passed' in done.stdout, done.stdout + done.stderr


# ---- the script that installs what is missing: with programs of our own in place of apt and cargo


class Deps:
    """tools/deps with a cache of its own, in which the tools of pip and npm are there already."""

    def __init__(self, folder):
        self.bin, self.cache = folder / 'bin', folder / 'cache' / 'eclose'
        self.bin.mkdir()
        self.cache.mkdir(parents=True)
        self.calls = folder / 'calls'
        self.calls.write_text('')
        venv, npm = self.folder('venv', 'requirements.txt'), self.folder('npm', 'npm-packages')
        (venv / 'bin').mkdir()
        (venv / 'bin' / 'python').symlink_to(sys.executable)
        for folder in (venv, npm):
            (folder / 'complete').touch()
        self.env = dict(os.environ, XDG_CACHE_HOME=str(self.cache.parent), PATH=f'{self.bin}:{os.environ["PATH"]}')

    def folder(self, name, listed):
        with open(os.path.join(ROOT, 'tools', listed), 'rb') as f:
            folder = self.cache / f'{name}-{hashlib.sha256(f.read()).hexdigest()[:12]}'
        folder.mkdir()
        return folder

    def fake(self, name, text):
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{text}\n')
        path.chmod(0o755)

    def cargo(self, version, install):
        self.fake('cargo', f'[ "$1" = --version ] && echo "cargo {version} (x)" && exit 0\n'
                           'while [ $# -gt 0 ]; do [ "$1" = --root ] && root=$2; shift; done\n' + install)

    def start(self, level='check'):
        return subprocess.Popen([os.path.join(ROOT, 'tools', 'deps'), level], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, level='check'):
        child = self.start(level)
        said = child.communicate(timeout=60)[0]
        return child.returncode, said

    def called(self, what):
        return self.calls.read_text().count(what)


BUILDS = 'mkdir -p "$root/bin" && printf "#!/bin/sh\\n" > "$root/bin/secantusd-rs" && chmod +x "$root/bin/secantusd-rs"'


@pytest.fixture
def deps(tmp_path):
    return Deps(tmp_path)


def test_deps_names_the_package_that_it_could_not_get(deps):
    deps.fake('dpkg-query', 'echo "installed:gcc installed:make "')
    deps.fake('apt-cache', '')
    deps.fake('apt-get', 'echo "E: no network"; exit 100')
    deps.fake('sudo', '"$@"')
    status, said = deps.run('build')
    assert status == 1
    assert re.search(r'could not get: .*\bscdoc\b', said) and not re.search(r'could not get: .*\bgcc\b', said), said
    assert 'E: no network' in said


def test_deps_builds_the_server_once_for_two_clones(deps, tmp_path):
    go = tmp_path / 'go'
    deps.cargo('9.0.0', f'while [ ! -e {go} ]; do sleep 0.02; done\n' + BUILDS)
    first = deps.start()
    while not deps.called('cargo install'):
        assert first.poll() is None, first.stdout.read()
        time.sleep(0.02)
    second = deps.start()
    for line in second.stdout:
        if 'waiting for another run' in line:
            break
    go.touch()
    for child in (first, second):
        said = child.communicate(timeout=60)[0]
        assert child.returncode == 0, said
    assert deps.called('cargo install') == 1
    assert deps.run()[0] == 0 and deps.called('cargo install') == 1


def test_deps_goes_on_where_the_server_does_not_build(deps):
    deps.cargo('9.0.0', 'exit 101')
    status, said = deps.run()
    assert status == 0 and 'could not build secantus-mdb' in said and 'will be skipped' in said
    status, said = deps.run()
    assert status == 0 and 'did not build' in said and deps.called('cargo install') == 1


def test_deps_goes_on_with_a_cargo_that_is_too_old(deps):
    deps.cargo('1.63.0', BUILDS)
    status, said = deps.run()
    assert status == 0 and 'cargo' in said and '1.63.0' in said and 'will be skipped' in said
    assert deps.called('cargo install') == 0


# ---- the direction of includes


def tree(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return subprocess.run([sys.executable, os.path.join(ROOT, 'tools', 'check-includes'), str(tmp_path)],
                          capture_output=True, text=True, timeout=60, check=False)


def test_includes_downwards_are_fine(tmp_path):
    done = tree(tmp_path, {'src/base/a.h': '', 'src/mql/m.c': '#include "base/a.h"\n#include <stdio.h>\n',
                           'src/mongo/w.c': '#include <mongoc/mongoc.h>\n'})
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('name, line, what', [
    ('src/base/a.c', '#include "mql/m.h"', 'mql is above it'),
    ('src/store/s.c', '#include <mongoc/mongoc.h>', 'only client and mongo may include'),
    ('src/cli/c.c', '#include <mongoc.h>', 'only client and mongo may include'),
    ('src/run/r.c', '#include <sys/socket.h>', 'only mongo may include'),
    ('src/mql/m.c', '#include "../bson/b.h"', 'name it from src'),
    ('src/extra/e.c', '', 'no folder of src'),
    ('include/eclose/eclose.h', '#include "mql/m.h"', 'never a file of src'),
])
def test_includes_upwards_are_found(tmp_path, name, line, what):
    done = tree(tmp_path, {name: line + '\n', 'src/base/z.h': ''})
    assert done.returncode == 1
    assert f'{name}:' in done.stdout and what in done.stdout


# ---- the counts of `make check`


def count(**entry):
    loader = importlib.machinery.SourceFileLoader('check', os.path.join(ROOT, 'tools', 'check'))
    check = importlib.util.module_from_spec(importlib.util.spec_from_loader('check', loader))
    loader.exec_module(check)
    check.count_meson({'name': 't', 'stdout': '', 'returncode': 0, **entry})
    return check.TALLY.passed, check.TALLY.failed, check.TALLY.skipped


@pytest.mark.parametrize('entry, passed, failed, skipped', [
    ({'stdout': '1..2\nok 1 - a\nok 2 - b\n# ok - t\n', 'result': 'OK'}, 2, [], []),
    ({'stdout': '1..3\nok 1 - a\nnot ok 2 - b\nnot ok 3 # SKIP c\n', 'result': 'ERROR', 'returncode': 1},
     1, ['t: b'], ['t: c']),
    ({'stdout': '1..1\nok 1 - a # SKIP no clang\n', 'result': 'OK'}, 0, [], ['t: a: no clang']),
    ({'stdout': '1..2\n# of a\nok 1 - a\n# no zones\nnot ok 2 # SKIP b\n', 'result': 'OK'}, 1, [], ['t: b: no zones']),
    # A leak is found after the last line: all lines are good, the program is not.
    ({'stdout': '1..1\nok 1 - a\n', 'result': 'ERROR', 'returncode': 99}, 1, ['t: ERROR, status 99'], []),
    ({'result': 'OK'}, 1, [], []),
    ({'result': 'FAIL', 'returncode': 3}, 0, ['t: FAIL, status 3'], []),
    ({'result': 'TIMEOUT', 'returncode': -15}, 0, ['t: TIMEOUT, status -15'], []),
    ({'result': 'SKIP', 'stdout': '1..0 # SKIP no cases here\n'}, 0, [], ['t: no cases here']),
    ({'result': 'SKIP', 'stdout': 'no server here\n', 'returncode': 77}, 0, [], ['t: no server here']),
])
def test_counts_of_a_program(entry, passed, failed, skipped):
    assert count(**entry) == (passed, failed, skipped)
