"""The engine on random cases, against the server and against itself: some of a fixed seed always, many with
`make check-long`."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, 'tests', 'differential')


def build():
    return os.environ.get('ECLOSE_BUILD') or os.path.join(ROOT, 'build')


def run(program, *args, timeout):
    if not os.access(os.path.join(build(), 'tests', 'differential', 'engine'), os.X_OK):
        pytest.skip('the engine is not built (make build)')
    done = subprocess.run([sys.executable, os.path.join(FOLDER, program), *args], cwd=ROOT,
                          env=dict(os.environ, ECLOSE_BUILD=build()), capture_output=True, text=True, timeout=timeout,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


def compare(server, *args, timeout):
    run('run', '--server', f'{server.name}={server.uri}', *args, timeout=timeout)


def test_a_few(server):
    compare(server, '--cases', '400', '--seed', '1', timeout=150)


@pytest.mark.long
def test_many(server):
    compare(server, '--seconds', '600', '--seed', '2', timeout=1500)


def test_laws():
    run('laws', '--cases', '1000', '--seed', '1', timeout=150)


@pytest.mark.long
def test_many_laws():
    run('laws', '--cases', '30000', '--seed', '2', timeout=1500)
