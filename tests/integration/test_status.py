"""What `eclose status` says without counting: jobs, floors, the first document that is elsewhere."""

import datetime
import json

import pytest

from test_backfill import project

STEP = 'up:\n  - $set: {a: {$add: [$n, 1]}}\nschema: {required: [a]}\ndown:\n  - $unset: a\n'
LARGE = 10001  # more than are counted unasked


def status(eclose, *args, rc=0):
    return json.loads(eclose('status', 'things', *args, '--format', 'json', rc=rc).out.splitlines()[-1])


@pytest.fixture
def large(eclose, db):
    """10,001 documents, two of them at version 1; a job has been there, says its record."""
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'schema_version': 2, 'a': 1} for i in range(LARGE - 2)])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'n': 1} for i in (-1, LARGE)])


def test_a_small_collection_is_counted(eclose, db):
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'n': i} for i in range(20)])
    told = status(eclose, '--check', rc=3)
    assert told['counted'] and told['documents_pending'] == 20 and told['any_pending']
    assert told['pending'] == ['0002_step']
    assert told['estimated'] == 20 and 'job' not in told and 'floor' not in told
    eclose('up', 'things', rc=0)
    eclose('complete', 'things', rc=0)
    told = status(eclose, '--check')
    job, floor = told['job'], told['floor']
    assert (job['kind'], job['to'], job['state'], job['left']) == ('up', '2', 'done', 0) and job['done'] == 20
    assert (floor['version'], floor['validated']) == ('2', False)
    text = eclose('status', 'things', rc=0).out
    assert 'up to version 2: done' in text and 'floor 2' in text and 'pending' not in text


def test_a_collection_that_does_not_exist(eclose, db):
    """It is not like one in which all is done: the database may be a wrong one."""
    project(eclose, 'things', [STEP])
    said = f'things: there is no such collection in {db.name} yet'
    for command in (('status', '--check'), ('plan',), ('verify',), ('up',)):
        assert said in eclose(*command, rc=0).err, command
    db.create_collection('things')
    for command in (('status', '--check'), ('plan',), ('verify',), ('up',)):
        assert 'no such collection' not in eclose(*command, rc=0).err, command


def test_a_large_one_is_not(eclose, db, large):
    told = status(eclose)
    assert told['counted'] is False and told['estimated'] == LARGE
    assert not {'versions', 'pending', 'any_pending', 'documents_pending'} & set(told)
    text = eclose('status', 'things', rc=0).out
    assert 'about 10,001 documents' in text and 'not counted: --exact counts' in text
    told = status(eclose, '--exact')
    assert told['counted'] and told['documents_pending'] == 2
    assert told['versions'] == [{'version': '1', 'documents': 2}, {'version': '2', 'documents': LARGE - 2}]
    # Whether, not how many.
    assert status(eclose, '--check', rc=3)['any_pending'] is True
    assert 'at least one document' in eclose('status', '--check', rc=3).out
    assert status(eclose, '--exact', '--check', rc=3)['documents_pending'] == 2
    eclose('up', 'things', rc=0)
    told = status(eclose, '--check')
    assert told['any_pending'] is False and told['counted'] is False and told['job']['state'] == 'done'
    assert 'no document is off the target' in eclose('status', '--check', rc=0).out
    # Records do not outvote a document: an old program wrote one since.
    db.things.insert_one({'_id': 'old', 'schema_version': 1, 'n': 1})
    assert status(eclose)['job']['state'] == 'done' and status(eclose, '--check', rc=3)['any_pending'] is True


def test_a_validator_spares_the_search(eclose, db, large):
    eclose('up', 'things', rc=0)
    eclose('complete', 'things', '--validator', rc=0)
    assert status(eclose)['floor']['validated'] is True
    text = eclose('status', '--check', rc=0).out
    assert 'kept by a validator' in text and "the server's validator keeps them out" in text
    # Once it does not refuse any more it is no proof.
    db.command('collMod', 'things', validationAction='warn')
    db.things.insert_one({'_id': 'old', 'schema_version': 1, 'n': 1})
    assert status(eclose, '--check', rc=3)['any_pending'] is True
    assert 'kept by a validator then\n' in eclose('status', rc=0).out


def test_how_far_a_job_is(eclose, db):
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'n': i} for i in range(200)])
    eclose('backfill', 'start', 'things', '--detach', rc=0)
    assert 'nobody works on it: `eclose backfill work things` does' in eclose('status', rc=0).out
    held = {'holder': {'id': 'w', 'host': 'there', 'pid': 7}, 'token': 1}
    for left, n in ((1, 1), (-1, 0)):
        expires = db.command('hello')['localTime'] + datetime.timedelta(hours=left)
        db.eclose_chunks.update_one({}, {'$set': {**held, 'expires': expires}})
        assert status(eclose)['job']['held'] == n
        assert ('nobody works on it' in eclose('status', rc=0).out) == (n == 0)
    eclose('backfill', 'pause', 'things', rc=0)
    assert 'nobody' not in eclose('status', rc=0).out
    job = status(eclose)['job']
    assert (job['state'], job['wanted'], job['done'], job['left']) == ('running', 'paused', 0, 200)
    assert 'ended' not in job
    assert 'up to version 2: running, paused, 0 of about 200 documents done, 200 left' in eclose('status', rc=0).out


def test_records_are_asked_and_not_the_collection(eclose, db, large, relay):
    """On the wire: of a collection that is large nothing is asked but the number that the server keeps."""
    eclose('backfill', 'start', 'things', '--detach', rc=0)
    since = len(relay.commands())
    eclose('status', 'things', rc=0, env={'ECLOSE_URI': relay.uri})
    asked = [(c.name, c.document.get('query')) for c in relay.commands(since) if c.collection == 'things']
    assert asked == [('count', None)]
    since = len(relay.commands())
    eclose('backfill', 'status', 'things', rc=0, env={'ECLOSE_URI': relay.uri})
    sent = relay.commands(since)
    assert {'eclose_jobs', 'eclose_chunks'} <= {c.collection for c in sent}
    assert not [c for c in sent if c.collection == 'things']


def test_how_fast_and_how_long_yet(eclose, db):
    """Of a job that others work on: what their records say, by the server's clock. One of them was lost."""
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'n': i} for i in range(400)])
    eclose('backfill', 'start', 'things', '--detach', '--range-docs', 80, rc=0)
    ranges = [r['_id'] for r in db.eclose_chunks.find(sort=[('n', 1)])]
    each = 400 // len(ranges)
    now = db.command('hello')['localTime']

    def worker(pid, hours, **progress):
        return {'$set': {'holder': {'id': f'w{pid}', 'host': f'host{pid}', 'pid': pid}, **progress,
                         'expires': now + datetime.timedelta(hours=hours)}}

    slowed = 'replication lag 14.2 s, limit 10.0 s'
    db.eclose_chunks.update_one({'_id': ranges[0]}, {'$set': {'state': 'done', 'counts.changed': each - 1}})
    db.eclose_chunks.update_one({'_id': ranges[1]},
                                worker(11, 1, state='open', rate=4.0, slowed=slowed, counts={'changed': 30}))
    db.eclose_chunks.update_one({'_id': ranges[2]}, worker(12, 1, state='carried', rate=6.0, counts={'changed': each}))
    db.eclose_chunks.update_one({'_id': ranges[3]}, worker(13, -1, state='open', rate=1000.0, counts={'changed': 5}))
    told = json.loads(eclose('backfill', 'status', 'things', '--format', 'json', rc=0).out)
    done = each + 30 + each + 5
    assert (told['documents'], told['done'], told['left']) == (400, done, 400 - done)
    assert told['rate'] == 10 and told['seconds_left'] == (400 - done) // 10  # who was lost does nothing
    assert (told['ranges'], told['carried'], told['swept']) == (len(ranges), 2, 1)
    assert (told['mode'], told['why']) == ('pushdown', 'the server runs all stages of the chain')
    workers = {w['pid']: w for w in told['workers']}
    assert workers == {
        11: {'host': 'host11', 'pid': 11, 'range': 1, 'state': 'carries', 'changed': 30, 'documents': each,
             'rate': 4.0, 'slowed': slowed, 'alive': True},
        12: {'host': 'host12', 'pid': 12, 'range': 2, 'state': 'sweeps', 'changed': each, 'documents': each,
             'rate': 6.0, 'slowed': '', 'alive': True},
        13: {'host': 'host13', 'pid': 13, 'range': 3, 'state': 'carries', 'changed': 5, 'documents': each,
             'rate': 1000.0, 'slowed': '', 'alive': False}}
    text = eclose('backfill', 'status', 'things', rc=0).out
    assert f'{done} of about 400 documents done, 10/s, {(400 - done) // 10}s left' in text
    assert f'host11, process 11: carries range 1, 30 changed in it, 4/s; slowed: {slowed}' in text
    assert 'host13, process 13: was lost in range 3' in text and 'nobody works on it' not in text
    db.eclose_chunks.update_many({'holder.pid': {'$ne': 13}}, {'$set': {'holder': None}})
    text = eclose('backfill', 'status', 'things', rc=0).out
    assert 'host13, process 13: was lost in range 3' in text and 'nobody works on it' in text
    # Where nobody is at work there is no such time.
    db.eclose_chunks.update_many({}, {'$set': {'holder': None}})
    told = json.loads(eclose('backfill', 'status', 'things', '--format', 'json', rc=0).out)
    assert told['rate'] == 0 and 'seconds_left' not in told and told['workers'] == []
    assert 'nobody works on it' in eclose('backfill', 'status', 'things', rc=0).out


def test_times_that_cannot_be(eclose, db):
    project(eclose, 'things', [STEP])
    for time in ('0', 'long', '1000000'):
        assert '--count-time takes a number' in eclose('status', '--count-time', time, rc=2).err


def test_a_plan_goes_through_no_large_collection(eclose, db, relay):
    """It counts for as long as it is told, and looks at a thousand documents at random for those that it shows."""
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'n': i} for i in range(21000)])
    env = {'ECLOSE_URI': relay.uri}
    told = json.loads(eclose('plan', 'things', '--count-time', 60, '--format', 'json', rc=0, env=env).out)
    assert told['counted'] and told['versions'][0] == {'version': '1', 'documents': 21000}
    samples = [c.document['pipeline'] for c in relay.commands() if c.name == 'aggregate' and '$sample' in str(c.document)]
    assert [list(stage) for stage in samples[0]] == [['$sample'], ['$match'], ['$limit']] and len(told['samples']) == 3
    eclose('backfill', 'start', 'things', '--detach', rc=0)
    relay.delay(600)
    told = json.loads(eclose('plan', 'things', '--count-time', 1, '--format', 'json', rc=0, env=env).out)
    assert told['counted'] is False and told['estimated'] == 21000 and 'versions' not in told and 'unknown' not in told
    assert len(told['samples']) == 3
    assert told['job'] == {'kind': 'up', 'to': '2', 'state': 'running', 'wanted': 'running'}
    text = eclose('plan', 'things', '--count-time', 1, rc=0, env=env).out
    assert 'things: some of about 21,000 documents to version 2, ' in text and 'runs 0002_step' in text
    assert 'not counted within 1 s: --count-time gives it longer' in text
    assert 'a job up to version 2 is there already: `eclose backfill status things`' in text
