"""libeclose-mongoc on a server: the tests of tests/api/live.c and live_write.c, each as a test of its own."""

import os
import re
import subprocess

import pytest
from conftest import ROOT, SANITIZER_STATUS


def names_in(source):
    with open(os.path.join(ROOT, 'tests', 'api', source + '.c'), encoding='utf-8') as f:
        return re.findall(r'cmocka_unit_test_setup_teardown \((test_\w+)', f.read())


def program(*path):
    build = os.environ.get('ECLOSE_BUILD') or os.path.join(ROOT, 'build')
    found = os.path.join(build, *path)
    if not os.access(found, os.X_OK):
        pytest.skip(f'{"/".join(path)} is not built')
    return found


def environment(server, db, **more):
    return dict(os.environ, ECLOSE_TEST_URI=server.uri, ECLOSE_TEST_DATABASE=db.name, CMOCKA_MESSAGE_OUTPUT='TAP', **more)


@pytest.mark.parametrize(('source', 'name'), [(s, name) for s in ('live', 'live_write') for name in names_in(s)])
def test_live(source, name, server, db):
    done = subprocess.run([program('tests', 'api', source), name], env=environment(server, db), capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode != SANITIZER_STATUS, done.stderr
    assert done.returncode == 0 and re.search(r'^ok 1|# SKIP', done.stdout, re.MULTILINE), done.stdout + done.stderr
    if '# SKIP' in done.stdout:
        pytest.skip(done.stdout)
