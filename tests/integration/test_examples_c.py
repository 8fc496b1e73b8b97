"""The programs in examples/c, compiled by the build and run."""

import json
import os
import subprocess

from conftest import ROOT, SANITIZER_STATUS
from test_client import program

USERS = os.path.join(ROOT, 'examples', 'users')


def run(name, *args, rc=0):
    done = subprocess.run([program('examples', 'c', 'example_' + name), *args], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode != SANITIZER_STATUS, done.stderr
    assert done.returncode == rc, done
    return done.stdout


def test_upgrade():
    lines = run('upgrade').splitlines()
    with open(os.path.join(ROOT, 'examples', 'c', 'upgrade.out'), encoding='utf-8') as f:
        assert lines[:3] == f.read().splitlines()
    assert lines[3].startswith('error: users, _id 3, version 1 to 2: ') and len(lines) == 4


def test_functions():
    lines = run('functions').splitlines()
    assert lines[0] == 'loading 2 value(s) from products'
    assert [json.loads(line) for line in lines[1:]] == [
        {'_id': i, 'serial': 'A17', 'product': i % 2 + 1, 'label': ['lamp', 'lock'][i % 2], 'schema_version': 2}
        for i in range(3)]


def test_collection(server, db):
    lines = run('collection', server.uri, db.name, USERS).splitlines()
    found = json.loads(lines[0])
    assert (found['first_name'], found['last_name'], found['login']) == ('Ariel', 'Whiteaker', 'ariel')
    assert lines[1] == 'conflict; stored is now:'
    assert json.loads(lines[2])['login'] == 'whiteaker'
    assert db.users.find_one()['login'] == 'whiteaker'
    run('collection', rc=2)


def test_older(server, db):
    run('older', server.uri, db.name, 'publish', USERS)
    db.users.insert_one({'_id': 1, 'login': 'ariel', 'first_name': 'Ariel', 'last_name': 'Whiteaker', 'contacts': [],
                         'schema_version': 2})
    user = json.loads(run('older', server.uri, db.name, 'read'))
    assert user == {'_id': 1, 'login': 'ariel', 'name': 'Ariel Whiteaker', 'schema_version': 1}
