"""The programs in examples/c, compiled by the build and run."""

import json
import os
import subprocess

import pytest
from conftest import ROOT, SANITIZER_STATUS
from test_client import program

USERS = os.path.join(ROOT, 'examples', 'users')


def run(name, *args, rc=0, stdin=''):
    done = subprocess.run([program('examples', 'c', 'example_' + name), *args], input=stdin, capture_output=True, text=True,
                          timeout=60, check=False)
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
    assert [json.loads(line) for line in lines[1::2]] == [
        {'_id': i, 'serial': 'A17', 'product': i % 2 + 1, 'label': ['lamp', 'lock'][i % 2], 'schema_version': 2}
        for i in range(3)]
    assert [json.loads(line) for line in lines[2::2]] == [
        {'_id': i, 'serial': 'A-1-7', 'product': i % 2 + 1, 'schema_version': 0} for i in range(3)]


def test_folder():
    old = '{"_id": 1, "login": "ariel", "name": "Ariel Whiteaker"}\n'
    new = json.loads(run('folder', USERS, 'users', stdin=old))
    assert (new['first_name'], new['last_name'], new['schema_version']) == ('Ariel', 'Whiteaker', 2)
    back = json.loads(run('folder', USERS, 'users', '1', stdin=json.dumps(new) + '\n'))
    assert back == {'_id': 1, 'login': 'ariel', 'schema_version': 1, 'name': 'Ariel Whiteaker'}
    # One that fails is told whole, and the others go on.
    assert json.loads(run('folder', USERS, 'users', stdin='{"_id": 2, "name": 5}\n' + old, rc=1)) == new
    run('folder', USERS, 'users', '9', rc=1)
    run('folder', rc=2)


def test_versions():
    with open(os.path.join(ROOT, 'examples', 'c', 'versions.out'), encoding='utf-8') as f:
        assert run('versions') == f.read()


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


def test_report(server, db):
    db.users.insert_many([
        {'_id': 1, 'login': 'ariel', 'name': 'Ariel Whiteaker', 'phone': '+45'},
        {'_id': 2, 'login': 'bo', 'first_name': 'Bo', 'last_name': 'Lund', 'contacts': [{'type': 'phone', 'value': '+46'}],
         'schema_version': 2},
        {'_id': 3, 'login': 'asta', 'name': 'Asta Lund', 'phone': '+47'},
        {'_id': 4, 'login': 'none', 'name': 'No Phone'},
    ])
    assert [json.loads(line) for line in run('report', server.uri, db.name, USERS).splitlines()] == [
        {'_id': 'Lund', 'n': 2}, {'_id': 'Whiteaker', 'n': 1},
        {'last_name': 'Lund', 'first_name': 'Asta'}, {'first_name': 'Bo', 'last_name': 'Lund'}]


def test_write(server, db):
    assert run('write', server.uri, db.name).splitlines() == [
        'stored: { "_id" : 1, "full" : "Ariel Whiteaker", "plan" : "free", "schema_version" : 2 }',
        'stored: { "_id" : 2, "name" : "Bo Lund" }',
        'modified: { "_id" : 2, "full" : "Bo Lund", "plan" : "gold", "schema_version" : 2 }',
        'version 1 reads: { "_id" : 1, "schema_version" : 1, "name" : "Ariel Whiteaker" }',
        'stored: { "_id" : 1, "name" : "Renamed", "schema_version" : 1 }',
        'version 1 reads: { "_id" : 2, "schema_version" : 1, "name" : "Bo Lund" }',
        'refused: something would be lost',
        'stored: { "_id" : 2, "full" : "Bo Lund", "plan" : "gold", "schema_version" : 2 }',
        'stored: { "_id" : 1, "schema_version" : 2, "full" : "Renamed", "plan" : "free" }',
    ]


def test_watch(server, db):
    db.users.insert_one({'_id': 0})
    with subprocess.Popen([program('examples', 'c', 'example_watch'), server.uri, db.name, USERS, '1'],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            if child.stdout.readline() != 'watching\n':
                _, err = child.communicate(timeout=30)
                assert child.returncode == 1, err
                pytest.skip(f'no change streams here: {err}')
            db.users.insert_one({'_id': 1, 'login': 'ariel', 'name': 'Ariel Whiteaker'})
            out, err = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 0, err
    user = json.loads(out)['fullDocument']
    assert (user['first_name'], user['last_name'], user['schema_version']) == ('Ariel', 'Whiteaker', 2)
