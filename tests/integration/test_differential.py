"""The engine against the server on random cases: some of a fixed seed always, many with `make check-long`."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.path.join(ROOT, 'tests', 'differential', 'run')


def build():
    return os.environ.get('ECLOSE_BUILD') or os.path.join(ROOT, 'build')


def compare(server, *args, timeout):
    if not os.access(os.path.join(build(), 'tests', 'differential', 'engine'), os.X_OK):
        pytest.skip('the engine is not built (make build)')
    done = subprocess.run([sys.executable, RUN, '--server', f'{server.name}={server.uri}', *args], cwd=ROOT,
                          env=dict(os.environ, ECLOSE_BUILD=build()), capture_output=True, text=True, timeout=timeout,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


def test_a_few(server):
    compare(server, '--cases', '400', '--seed', '1', timeout=150)


@pytest.mark.long
def test_many(server):
    compare(server, '--seconds', '600', '--seed', '2', timeout=1500)
