"""A migration file that is half edited: what acts on eclose's own records alone works all the same."""

import json
import os

import pytest

from test_backfill import project
from works import put

STEP = 'up:\n  - $set: {a: {$add: [$n, 1]}}\ndown:\n  - $unset: a\n'
WORK = 'up:\n  - createCollection: {collection: logs}\n'
SAID = 'problems in the migrations of the project, which `eclose lint` lists\n'


@pytest.fixture
def broken(eclose, db):
    """A job on things, a database migration that was applied, a document in quarantine; then two files are half edited
    and one is not readable as a migration at all."""
    project(eclose, 'things', [STEP])
    put(eclose.folder, 'migrations/20261122T1000_logs.yaml', WORK)
    eclose('up', rc=0)
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'n': i} for i in range(20)] +
                          [{'_id': 'bad', 'schema_version': 1, 'n': 'x'}])
    eclose('up', 'things', rc=5)
    db.things.insert_one({'_id': 'late', 'schema_version': 1, 'n': 1})
    eclose('backfill', 'start', 'things', '--detach', rc=0)
    put(eclose.folder, 'migrations/things/0002_step.yaml', 'to: 2\nup:\n  - $set: {a: {$ad')
    put(eclose.folder, 'migrations/things/0003_more.yaml', 'to: 3\n')
    put(eclose.folder, 'migrations/20261122T1000_logs.yaml', 'up:\n  - createColl')
    put(eclose.folder, 'migrations/20261122T1000_other.txt', '')
    return eclose


def test_what_needs_no_migrations(broken):
    for command in (('history',), ('history', '20261122T1000_logs'), ('lock',), ('unlock', '--force'),
                    ('backfill', 'status'), ('backfill', 'status', 'things'), ('backfill', 'pause', 'things'),
                    ('backfill', 'resume'), ('backfill', 'set', 'things', '--max-rate', '5'),
                    ('backfill', 'cancel', 'things'), ('quarantine', 'list'), ('quarantine', 'list', 'things'),
                    ('quarantine', 'show', 'things', '--id', 'bad'), ('quarantine', 'drop', 'things')):
        done = broken(*command, rc=0)
        assert done.err.count(SAID) == 1 and 'migrations/' not in done.err, (command, done)
    assert 'paused' not in broken('backfill', 'status', 'things', rc=0).out
    # One that was applied is neither said to have other steps than it had, nor to be another by now: it may be.
    assert 'steps      1 done' in broken('history', '20261122T1000_logs', rc=0).out
    # Without the folder, too.
    os.rename(os.path.join(broken.folder, 'migrations'), os.path.join(broken.folder, 'away'))
    broken('lock', rc=0)


def test_what_needs_them_refuses(broken):
    for command in (('up',), ('plan',), ('lint',), ('test',), ('down', 'things', '--to', '1'), ('verify',),
                    ('complete', 'things'), ('backfill', 'start', 'things'), ('backfill', 'work', 'things'),
                    ('backfill', 'run', 'things'), ('quarantine', 'retry'), ('status', '--check'),
                    ('status', '--exact')):
        done = broken(*command, rc=1)
        assert 'migrations/things/0002_step.yaml:' in done.out + done.err, (command, done)
    assert 'running' in broken('backfill', 'status', 'things', rc=0).out


def test_status_shows_the_records(broken):
    done = broken('status', rc=1)
    assert SAID in done.err
    assert 'target unknown' in done.out and 'in quarantine' in done.out and '0 of about 2 documents done' in done.out
    assert 'database migrations: 1 applied, what is pending is unknown' in done.out
    for word in ('  pending', 'of other migrations', 'gone', 'changed', 'version 1'):
        assert word not in done.out, word
    works, things = map(json.loads, broken('status', '--format', 'json', rc=1).out.splitlines())
    assert works == {'migration': '20261122T1000_logs', 'state': 'applied'}
    assert things['job']['state'] == 'running' and 'differs' not in things['job'] and things['quarantined'] == 1
    assert things['counted'] is False and not {'target', 'later', 'any_pending', 'versions'} & set(things)


def test_the_project_file_itself_is_needed(broken):
    put(broken.folder, 'eclose.yaml', 'database: none\ncollection: {}\n')
    for command in (('lock',), ('backfill', 'pause', 'things'), ('status',)):
        assert 'unknown key "collection"' in broken(*command, rc=1).err


def test_a_name_that_no_job_has(eclose, db):
    """The job is found by its collection, which the project need not have any more."""
    project(eclose, 'things', [STEP])
    db.things.insert_one({'_id': 1, 'schema_version': 1, 'n': 1})
    eclose('backfill', 'start', 'things', '--detach', rc=0)
    assert 'did you mean "things"?' in eclose('backfill', 'pause', 'thing', rc=1).err
    assert 'did you mean "things"?' in eclose('backfill', 'status', 'thing', rc=1).err
    project(eclose, 'other', [STEP])
    os.rename(os.path.join(eclose.folder, 'migrations', 'things'), os.path.join(eclose.folder, 'things'))
    assert 'things: paused' in eclose('backfill', 'pause', 'things', rc=0).err
    assert 'running, paused' in eclose('backfill', 'status', 'things', rc=0).out
