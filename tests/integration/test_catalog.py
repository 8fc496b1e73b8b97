"""`eclose up` publishes what it carries: programs of an older release read what it makes of the documents."""

import json
import os
import threading

from test_client import program
from test_examples_c import run
from works import put

CONFIG = 'collections: {users: {unversioned: 0}}\n'
NAMES = 'to: 1\nup: [{$set: {name: {$toUpper: $name}}}]\ndown: [{$set: {name: {$toLower: $name}}}]\n'
FULL = 'to: 2\nup: [{$set: {full: $name}}, {$unset: name}]\ndown: [{$set: {name: $full}}, {$unset: full}]\n'
PLAN = 'to: 3\nup: [{$set: {plan: free}}]\ndown: [{$unset: plan}]\n'


def write(folder, steps, config=CONFIG, collection='users'):
    put(folder, 'eclose.yaml', config)
    for name, text in steps.items():
        put(folder, f'migrations/{collection}/{name}', text)


def published(db):
    return {d['_id']: d for d in db.eclose_catalog.find()}


def test_an_old_program_reads_what_up_makes(eclose, db, server, tmp_path):
    write(tmp_path, {'0001_names.yaml': NAMES})
    write(eclose.folder, {'0001_names.yaml': NAMES, '0002_full.yaml': FULL})
    db.users.insert_many([{'_id': i, 'name': f'user {i}'} for i in range(300)])
    expected = [{'_id': i, 'name': f'USER {i}', 'schema_version': 1} for i in range(300)]
    end, failures, reads = threading.Event(), [], []

    def read():
        # The program of the old release starts again and again, while the new one carries the documents over.
        while not end.is_set():
            try:
                lines = run('older', server.uri, db.name, 'read', str(tmp_path)).splitlines()
                assert sorted(map(json.loads, lines), key=lambda d: d['_id']) == expected
                reads.append(1)
            except Exception as e:  # noqa: BLE001
                failures.append(e)
                return

    program('examples', 'c', 'example_older')
    old = threading.Thread(target=read)
    old.start()
    try:
        for mode in ('client', 'pushdown'):
            eclose('up', 'users', '--mode', mode, rc=0)
            seen = len(reads)
            while len(reads) < seen + 2 and not failures:
                end.wait(0.02)
            eclose('down', 'users', '--to', 1, '--mode', mode, rc=0)
    finally:
        end.set()
        old.join()
    assert not failures, failures[0]


def test_only_what_differs_is_written(eclose, db, relay):
    eclose.env['ECLOSE_URI'] = relay.uri

    def written():
        """The _ids, since it was asked last."""
        sent = [c.document for c in relay.commands(written.seen) if c.collection == 'eclose_catalog']
        written.seen = len(relay.commands())
        assert {next(iter(c)) for c in sent} <= {'find', 'getMore', 'update'}, sent
        return sorted(u['q']['_id'] for c in sent for u in c.get('updates', []))

    written.seen = 0
    write(eclose.folder, {'0001_names.yaml': NAMES, '0002_full.yaml': FULL})
    eclose('up', rc=0)
    first = published(db)
    assert sorted(first) == written() == ['eclose.json', 'users/0001_names.json', 'users/0002_full.json']
    eclose('up', rc=0)
    assert written() == []
    # A later release, one that renamed a file, and the old one again.
    write(eclose.folder, {'0003_plan.yaml': PLAN})
    os.rename(os.path.join(eclose.folder, 'migrations/users/0002_full.yaml'),
              os.path.join(eclose.folder, 'migrations/users/0002_whole.yaml'))
    eclose('up', rc=0)
    later = published(db)
    assert sorted(later) == ['eclose.json', 'users/0001_names.json', 'users/0002_whole.json', 'users/0003_plan.json']
    assert later['users/0001_names.json'] == first['users/0001_names.json']
    os.remove(os.path.join(eclose.folder, 'migrations/users/0003_plan.yaml'))
    os.rename(os.path.join(eclose.folder, 'migrations/users/0002_whole.yaml'),
              os.path.join(eclose.folder, 'migrations/users/0002_full.yaml'))
    eclose('up', rc=0)
    assert published(db) == later


def test_an_old_release_leaves_later_documents_alone(eclose, db):
    """A pod of the old release that starts while the new one migrates, or after it: nothing fails, nothing is written."""
    steps = {'0001_names.yaml': NAMES, '0002_full.yaml': FULL}
    write(eclose.folder, steps)
    db.users.insert_many([{'_id': i, 'name': f'user {i}'} for i in range(50)])
    eclose('up', rc=0)
    db.users.insert_many([{'_id': i, 'name': f'USER {i}', 'schema_version': 1} for i in range(50, 100)])
    eclose('backfill', 'start', 'users', '--detach', rc=0)
    before = list(db.users.find()), list(db.eclose_jobs.find())
    os.remove(os.path.join(eclose.folder, 'migrations/users/0002_full.yaml'))
    for command in (['up', '--wait=1'], ['up', 'users']):
        told = eclose(*command, rc=0).out
        assert told == ('users: left as it is: eclose_catalog has migrations up to version 2, of a later release or of '
                        "files that are gone, and this project's end at version 1\n")
    assert json.loads(eclose('up', '--format', 'json', rc=0).out)['later'] == '2'
    assert '`up` leaves the collection as it is' in eclose('plan', rc=0).out
    assert json.loads(eclose('plan', '--format', 'json', rc=0).out)['later'] == '2'
    assert 'later: eclose_catalog has migrations up to version 2' in eclose('status', rc=0).out
    assert json.loads(eclose('status', '--format', 'json', rc=0).out)['later'] == '2'
    assert (list(db.users.find()), list(db.eclose_jobs.find())) == before
    assert db.eclose_quarantine.count_documents({}) == 0
    write(eclose.folder, steps)
    eclose('up', rc=0)
    assert db.users.count_documents({'schema_version': 2}) == 100


def test_collections_of_other_projects_stay(eclose, db):
    write(eclose.folder, {'0001_names.yaml': NAMES})
    eclose('up', rc=0)
    os.rename(os.path.join(eclose.folder, 'migrations', 'users'), os.path.join(eclose.folder, 'migrations', 'posts'))
    write(eclose.folder, {}, 'version_field: _v\ncollections: {posts: {unversioned: 0}}\n')
    eclose('up', rc=0)
    assert sorted(published(db)) == ['eclose.json', 'posts/0001_names.json', 'users/0001_names.json']
    settings = json.loads(published(db)['eclose.json']['text'])['collections']
    assert settings['posts']['version_field'] == '_v' and settings['users']['version_field'] == 'schema_version'


def test_many_publish_at_once(eclose, db):
    write(eclose.folder, {'0001_names.yaml': NAMES, '0002_full.yaml': FULL})
    children = [eclose.start('up') for _ in range(8)]
    for child in children:
        eclose.wait(child)
    assert len(published(db)) == 3
