"""Jobs at their edges: starts where all is done, plans that nobody finishes, workers that may not work, and the end."""

import json
import re
import time
import uuid
from datetime import timedelta

import pytest
from bson import Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from test_backfill import project, raw
from test_jobs import STEP, at_target, backfill, job, things
from works import size, wait_for


@pytest.fixture
def hasty(relay):
    """No look at the collection that finds nothing comes to its end, until there is a plan of a job: as where there are
    500 million documents."""
    since = [0]

    def edit(answer):
        cursor = answer.get('cursor', {})
        # To secantusd-py the $count of nothing is a document with zero, to MongoDB it is none (manual, $count).
        if not str(cursor.get('ns', '')).endswith('.things') or cursor.get('firstBatch') not in ([], [{'n': 0}]):
            return None
        if any(c.collection in ('eclose_jobs', 'eclose_chunks') and c.name in ('insert', 'update')
               for c in relay.commands(since[0])):
            return None
        return {'ok': 0.0, 'code': 50, 'codeName': 'MaxTimeMSExpired', 'errmsg': 'operation exceeded time limit'}

    relay.edit(edit)
    return lambda: since.__setitem__(0, len(relay.commands()))


def carried(eclose, db, server, n):
    """So many at the target, and records that call them finished. What a slow server is spared comes after that."""
    few = size(server, n)
    things(eclose, db, few)
    eclose('up', 'things', rc=0)
    if n > few:
        db.things.insert_many([{'_id': i, 'schema_version': 2, 'a': i, 'b': i + 1} for i in range(few, n)])


def test_a_start_does_not_scan_what_is_finished(eclose, db, server, relay, hasty):
    """The records are believed, where a short look finds nothing; who wants every document looked at says so."""
    carried(eclose, db, server, 10100)
    eclose.env['ECLOSE_URI'] = relay.uri
    hasty()
    jobs = db.eclose_jobs.count_documents({})
    for command in (['up'], ['up', 'things']):
        assert "nothing to do, eclose's records say" in eclose(*command, rc=0).out
    told = json.loads(eclose('up', 'things', '--format', 'json', rc=0).out)
    assert (told['by_records'], told['wrote']) == (True, False)
    # What failed on the way to another version says nothing about this one, as where there is a look.
    records = [{'_id': {'collection': 'things', 'id': i}, 'collection': 'things', 'to': '2' if i else '3'}
               for i in range(1002)]
    db.eclose_quarantine.insert_one(records[0])
    assert 'quarantine' not in eclose('up', 'things', rc=0).out
    db.eclose_quarantine.insert_many(records[1:])
    assert '1,001 documents are in quarantine' in eclose('up', 'things', rc=5).out
    assert db.eclose_quarantine.count_documents({}) == 1002
    db.eclose_quarantine.delete_many({})
    assert db.eclose_jobs.count_documents({}) == jobs
    # A look that finds something is believed before any record.
    db.things.insert_one({'_id': -1, 'schema_version': 1, 'a': 1})
    eclose('up', 'things', rc=0)
    assert db.things.find_one({'_id': -1})['b'] == 2 and db.eclose_jobs.count_documents({}) == jobs + 1
    # A job of a collection that is there no more says nothing of the one that has its name now.
    (here,) = db.list_collections(filter={'name': 'things'})
    last = job(db)
    assert last['uuid'] == str(here['info']['uuid'].as_uuid())
    db.eclose_jobs.update_one({'_id': last['_id']}, {'$set': {'uuid': str(uuid.uuid4())}})
    hasty()
    eclose('up', 'things', rc=0)
    assert db.eclose_jobs.count_documents({}) == jobs + 2


@pytest.mark.long
def test_who_asks_for_a_scan_gets_one(eclose, db, server, relay, hasty):
    """`backfill start` looks at all, whatever the records say, and a job that did not come to its end says nothing."""
    carried(eclose, db, server, 10100)
    eclose.env['ECLOSE_URI'] = relay.uri
    hasty()
    jobs = db.eclose_jobs.count_documents({})
    backfill(eclose, 'start', 'things')
    assert db.eclose_jobs.count_documents({}) == jobs + 1
    db.eclose_jobs.update_many({}, {'$set': {'state': 'failed'}})
    hasty()
    eclose('up', 'things', rc=0)
    assert db.eclose_jobs.count_documents({}) == jobs + 2


PLANNING = {'state': 'planning', 'chunks': 0}


def planned_anew(db, first):
    """That job was given up, and one like it is done."""
    old, new = db.eclose_jobs.find_one({'_id': first['_id']}), job(db)
    assert old['state'] == 'failed' and 'whoever made the plan went away' in old['error']
    same = ['kind', 'collection', 'to', 'mode', 'settings', 'wanted']
    assert new['state'] == 'done' and [new[k] for k in same] == [first[k] for k in same]
    return new


def test_work_on_a_job_whose_plan_was_never_finished(eclose, db):
    """Whoever makes the plan holds a lease: where nobody does, who comes to work makes it anew."""
    things(eclose, db, 500)
    backfill(eclose, 'start', 'things', '--detach', '--mode', 'client', '--batch-time', 7)
    db.eclose_jobs.update_one({}, {'$set': PLANNING})
    first = job(db)
    backfill(eclose, 'work', 'things')
    assert first['settings']['batch_time'] == 7
    assert planned_anew(db, first)['_id'] != first['_id'] and at_target(db, 500)


@pytest.mark.parametrize('where', ['here', 'elsewhere'])
def test_whoever_makes_the_plan_is_killed(eclose, db, relay, where):
    """Others wait for the end of its lease, which is as long as any; on its own machine they see that it is dead."""
    things(eclose, db, 3000)
    # Here the lease would outlast this test.
    times = {'ECLOSE_LEASE_TIME': '1000' if where == 'elsewhere' else '600000', 'ECLOSE_MAX_CLOCK_SKEW': '500'}
    relay.catch(lambda c: c.collection == 'eclose_chunks' and c.name == 'update')
    child = eclose.start('backfill', 'start', 'things', '--range-docs', 300, '--mode', 'client',
                         env={'ECLOSE_URI': relay.uri, **(times if where == 'here' else {})})
    wait_for(relay.caught)
    child.kill()
    child.wait(timeout=30)
    relay.cut()
    first, lease = job(db), db.eclose_lease.find_one({'_id': 'backfill:things'})
    assert first['state'] == 'planning' and first['chunks'] == 10
    assert lease['holder']['pid'] == child.pid
    if where == 'elsewhere':
        assert (lease['expires'] - lease['renewed']).total_seconds() == 30
        db.eclose_lease.update_one({'_id': lease['_id']}, {'$set': {
            'holder.place': 'another machine', 'expires': lease['renewed'] + timedelta(seconds=2)}})
    workers = [eclose.start('backfill', 'work', 'things', env=times) for _ in range(2)]
    for worker in workers:
        eclose.wait(worker)
    assert db.eclose_lease.find_one({'_id': lease['_id']})['token'] > lease['token']
    new = planned_anew(db, first)
    assert at_target(db, 3000) and db.eclose_jobs.count_documents({}) == 2
    assert db.eclose_chunks.count_documents({'job': new['_id']}) == new['chunks'] >= 10


def test_work_waits_for_the_plan(eclose, db, relay):
    """And has as many workers then as it was asked to have."""
    things(eclose, db, 2000)
    backfill(eclose, 'start', 'things', '--detach', '--range-docs', 250, '--max-rate', 400)
    planned = job(db)
    db.eclose_jobs.update_one({}, {'$set': PLANNING})
    db.eclose_lease.update_one({'_id': 'backfill:things'}, {'$set': {
        'holder': {'id': ObjectId(), 'host': 'elsewhere', 'pid': 1}, 'expires': DatetimeMS(2 ** 42)}})
    child = eclose.start('backfill', 'work', 'things', '--workers', 3, env={'ECLOSE_URI': relay.uri})
    wait_for(lambda: len([c for c in relay.commands() if c.collection == 'eclose_lease']) > 1)
    assert db.eclose_lease.find_one({'_id': 'backfill:things'})['holder']['host'] == 'elsewhere'
    db.eclose_jobs.update_one({}, {'$set': {k: planned[k] for k in PLANNING}})
    db.eclose_lease.update_one({'_id': 'backfill:things'}, {'$set': {'holder': None}})
    wait_for(lambda: db.eclose_chunks.count_documents({'holder.pid': child.pid}) == 3)
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    told = eclose.wait(child).err
    assert told.count('things: waits for the plan of a job, which elsewhere, process 1') == 1 and at_target(db, 2000)


@pytest.mark.long
def test_who_waits_for_others_says_so(eclose, db):
    """What one on another machine had, who may be dead, is waited for."""
    things(eclose, db, 20)
    backfill(eclose, 'start', 'things', '--detach')
    db.eclose_chunks.update_one({}, {'$set': {
        'holder': {'id': ObjectId(), 'host': 'elsewhere', 'pid': 1}, 'expires': DatetimeMS(2 ** 42)}})
    told = backfill(eclose, 'run', 'things', '--for', '8s').err
    assert 'others have the ranges that are left' in told and db.things.count_documents({'schema_version': 1}) == 20


def test_work_on_what_the_project_does_not_know(eclose, db):
    """A worker of an older release leaves a job to a later version alone, and its settings."""
    things(eclose, db, 20)
    backfill(eclose, 'start', 'things', '--detach')
    db.eclose_jobs.update_one({}, {'$set': {'to': '3'}})
    before = job(db)
    done = eclose('backfill', 'work', 'things', '--max-rate', 7, rc=1)
    assert 'the job is to version 3, which is not on the chain of this project' in done.err
    assert done.out == '' and 'changed' not in done.err
    assert job(db) == before and db.things.count_documents({'schema_version': 1}) == 20


def test_names_are_told_as_a_shell_takes_them(eclose, db):
    project(eclose, 'my things', [STEP])
    db['my things'].insert_one({'_id': 1, 'schema_version': 1})
    assert "`eclose backfill work 'my things'` works on it" in eclose('backfill', 'start', 'my things', '--detach', rc=0).out
    assert "`eclose backfill work 'my things'` does" in eclose('backfill', 'status', rc=0).out
    assert "`eclose backfill resume 'my things'` lets" in eclose('backfill', 'pause', rc=0).err
    assert "`eclose backfill resume 'my things'` lets" in eclose('down', 'my things', '--to', 1, rc=4).err


def test_down_behind_a_batch_of_a_job_that_was_cancelled(eclose, db, relay):
    """What a worker sends before it sees that its job is over does not come behind the way down."""
    project(eclose, 'things', ['up:\n  - $set: {b: $a}\ndown:\n  - $unset: b\n'])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': i} for i in range(50)])
    relay.catch(lambda c: (c.name, c.collection) == ('update', 'things'))
    worker = eclose.start('backfill', 'start', 'things', '--mode', 'client', env={'ECLOSE_URI': relay.uri})
    wait_for(relay.caught)
    backfill(eclose, 'cancel', 'things')
    down = eclose.start('down', 'things', '--to', 1)
    told = down.stderr.readline()
    assert 'things: waits until the workers of the job up to version 2, which was cancelled, have seen that' in told
    relay.go()
    eclose.wait(worker, rc=1)
    eclose.wait(down)
    assert db.things.count_documents({'schema_version': 1, 'b': {'$exists': False}}) == 50


def test_more_workers_than_ranges(eclose, db):
    """A small collection is one range, and who asked for more workers than that is told."""
    things(eclose, db, 20)
    done = eclose('up', 'things', '--workers', 3, rc=0)
    assert 'things: the job has 1 range, so 1 worker of 3 is at work' in done.err
    things(eclose, db, 20, first=20)
    assert 'range' not in eclose('up', 'things', '--workers', 3, '--range-docs', 5, rc=0).err


def test_who_may_not_write_ends_alone(eclose, db, server, relay):
    """What the server refuses to one user says nothing about the migration: others go on."""
    n = size(server, 4000)
    things(eclose, db, n)
    backfill(eclose, 'start', 'things', '--detach', '--mode', 'client', '--range-docs', n // 8, '--max-rate', n // 20)
    relay.edit(lambda answer: {'ok': 0.0, 'code': 13, 'codeName': 'Unauthorized', 'errmsg': 'not authorized on db'}
               if any('schema_version' in d for d in answer.get('cursor', {}).get('firstBatch', [])) else None)
    worker = eclose.start('backfill', 'work', 'things')
    wait_for(lambda: db.eclose_chunks.count_documents({'holder.pid': worker.pid}))
    told = eclose('backfill', 'work', 'things', rc=1, env={'ECLOSE_URI': relay.uri})
    assert 'this process cannot work on the job' in told.err and 'not authorized' in told.err
    assert job(db)['state'] == 'running' and worker.poll() is None
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    eclose.wait(worker)
    assert at_target(db, n) and job(db)['state'] == 'done'


def test_a_record_that_nobody_understands(eclose, db):
    """Of a later version, or changed by hand: all else is carried, then who works says which it is, and the job stays."""
    things(eclose, db, 200)
    backfill(eclose, 'start', 'things', '--detach', '--range-docs', 50)
    spoilt = db.eclose_chunks.find_one({}, sort=[('_id', 1)])
    db.eclose_chunks.update_one({'_id': spoilt['_id']}, {'$set': {'range': 'all'}})
    told = backfill(eclose, 'work', 'things', rc=1).err
    assert 'this process cannot work on the job, which others may go on with' in told
    assert f'"{spoilt["_id"]}" is no range of this version of eclose' in told
    assert '`range` is to be an object (found: string)' in told and '`eclose backfill cancel things` gives the job up' in told
    assert {r['state'] for r in db.eclose_chunks.find({'_id': {'$ne': spoilt['_id']}})} == {'carried'}
    assert not job(db).get('swept')
    shown = backfill(eclose, 'status', 'things').out
    assert '`range` is to be an object (found: string): the job cannot end so' in shown
    assert '`range`' in json.loads(backfill(eclose, 'status', 'things', '--format', 'json').out)['error']
    assert job(db)['state'] == 'running' and not db.eclose_chunks.count_documents({'holder': {'$type': 'object'}})
    db.eclose_chunks.update_one({'_id': spoilt['_id']}, {'$set': {'range': spoilt['range']}})
    backfill(eclose, 'work', 'things')
    assert at_target(db, 200) and job(db)['state'] == 'done'


@pytest.mark.parametrize('field, value', [('wanted', 'slower'), ('state', 'resting')])
def test_a_job_that_nobody_understands(eclose, db, field, value):
    """Of a later version, or changed by hand: somebody may be working on it, so nothing is begun beside it."""
    things(eclose, db, 50)
    backfill(eclose, 'start', 'things', '--detach')
    db.eclose_jobs.update_one({}, {'$set': {field: value}})
    before = list(db.eclose_jobs.find())
    for command in (['up'], ['up', 'things', '--to', 2], ['down', 'things', '--to', 1], ['plan'],
                    *(['backfill', verb, 'things'] for verb in ('start', 'work', 'run', 'pause', 'cancel', 'status'))):
        told = eclose(*command, rc=1).err
        assert f'"{before[0]["_id"]}", a job on things, is no job of this version of eclose' in told
        assert f'`{field}` is to be ' in told and f'(found: {value})' in told and 'set to cancelled by hand' in told
    assert list(db.eclose_jobs.find()) == before and db.things.count_documents({'schema_version': 1}) == 50
    # They tell of it, and do what they can.
    for command in (['status', 'things'], ['complete', 'things']):
        told = eclose(*command, rc=5 if command[0] == 'complete' else 0).out
        assert 'a job on things, is no job of this version' in told and f'(found: {value})' in told and 'carries' not in told
    told = json.loads(eclose('status', 'things', '--format', 'json', rc=0).out)
    assert f'(found: {value})' in told['job_error'] and 'job' not in told
    db.eclose_jobs.update_one({}, {'$set': {'state': 'cancelled'}})
    eclose('up', rc=0)
    assert at_target(db, 50) and db.eclose_jobs.count_documents({}) == 2


def test_a_job_of_other_migrations(eclose, db):
    """Two machines with different files to the same version: their documents must not be mixed without a word."""
    others = 'of other migrations or settings than this project has'
    things(eclose, db, 300)
    backfill(eclose, 'start', 'things', '--detach')
    project(eclose, 'things', [STEP.replace('[$a, 1]', '[$a, 2]')])
    assert 'begun with other migrations or settings' in backfill(eclose, 'work', 'things', rc=1).err
    assert db.things.count_documents({'schema_version': 2}) == 0
    # While somebody works on it, it is in the way; so it is while it is paused.
    now = db.command('hello')['localTime']
    db.eclose_chunks.update_one({}, {'$set': {'holder': {'id': 'w', 'host': 'there', 'pid': 7}, 'token': Int64(1),
                                              'expires': now + timedelta(hours=1)}})
    assert f'range of a job up to version 2, {others}, is being worked on' in eclose('up', 'things', rc=4).err
    db.eclose_chunks.update_one({}, {'$set': {'holder': None}})
    backfill(eclose, 'pause', 'things')
    assert f'a job up to version 2, {others}, is paused' in backfill(eclose, 'start', 'things', rc=4).err
    backfill(eclose, 'resume', 'things')
    # What does not change a document does not count, nor do migrations beyond the job's target.
    project(eclose, 'things', [f'{STEP}schema: {{required: [b]}}\nexamples: []\n', 'up:\n  - $set: {c: 1}\n'])
    db.things.insert_one({'_id': 'third', 'schema_version': 3, 'a': 1, 'b': 2, 'c': 1})
    backfill(eclose, 'work', 'things')
    assert db.things.count_documents({'schema_version': 2}) == 300
    # Where nobody works on it, it is given up for one of the files that are here.
    backfill(eclose, 'start', 'things', '--detach')
    project(eclose, 'things', [STEP, 'up:\n  - $set: {c: 2}\n'])
    assert f'3, {others}, begun by' in eclose('up', 'things', rc=0).err
    # A file that is edited after it was applied is said, and changes nothing.
    assert others not in eclose('up', rc=0).err + eclose('status', rc=0).out
    project(eclose, 'things', [STEP, 'up:\n  - $set: {c: 3}\n'])
    assert f'the last job to version 3, {others}, is done' in eclose('up', rc=0).err
    assert f'    {others}\n' in eclose('status', rc=0).out
    assert json.loads(eclose('status', '--format', 'json', rc=0).out)['job']['differs'] is True
    assert db.things.count_documents({'schema_version': 3, 'c': 2}) == 300


def test_work_after_the_end(eclose, db):
    """Whoever starts workers again as long as they fail is to stop then."""
    things(eclose, db, 100)
    backfill(eclose, 'start', 'things')
    for named in ([], ['things']):
        assert 'is done: there is nothing to work on' in backfill(eclose, 'work', *named, rc=0).err
    db.eclose_jobs.update_one({}, {'$set': {'state': 'cancelled'}})
    assert 'was cancelled' in backfill(eclose, 'work', 'things', rc=0).err
    db.eclose_jobs.update_one({}, {'$set': {'state': 'failed', 'error': 'a reason'}})
    for _ in range(2):
        assert 'a reason' in backfill(eclose, 'work', 'things', rc=6).err


LONG = [pytest.param(how, marks=pytest.mark.long) for how in ('run', 'up')]


@pytest.mark.parametrize('how', ['start', 'work', *LONG])
def test_who_joins_changes_the_settings(eclose, db, server, how):
    """For all who work on the job, as is said; with what the job was made it stays."""
    n = size(server, 4000)
    things(eclose, db, n)
    first = ['--detach', '--range-docs', n // 4, '--max-rate', n // 20, '--batch-time', 9, '--mode', 'client']
    assert re.search(r'a job of \d ranges to version 2 is made', backfill(eclose, 'start', 'things', *first).out)
    worker = eclose.start('backfill', 'work', 'things')
    wait_for(lambda: db.things.count_documents({'schema_version': 2}))
    settings = ['--max-rate', n * 100, '--max-lag', 7]
    old = ['--range-docs', 1, '--mode', 'pushdown']
    command = {'start': ['backfill', 'start', 'things', '--detach', *old], 'work': ['backfill', 'work', 'things'],
               'run': ['backfill', 'run', 'things'], 'up': ['up', 'things', *old]}[how]
    told = eclose(*command, *settings, rc=0)
    assert "things: the job's settings are changed as asked for" in told.err
    for said in ('there is a job to version 2 already', '--range-docs and --max-errors are of a new job',
                 '--mode pushdown is of a new job; the one that is there is in client mode'):
        assert (said in told.err) == (old[0] in command), told.err
    assert 'is made' not in told.out
    assert {k: job(db)['settings'][k] for k in ('max_documents', 'max_lag', 'batch_time')} == \
        {'max_documents': n * 100, 'max_lag': 7000, 'batch_time': 9}
    # At the rate of before it would take much longer than a test may.
    eclose.wait(worker)
    assert at_target(db, n) and db.eclose_jobs.count_documents({}) == 1


def test_a_job_that_fails_under_its_workers(eclose, db, server):
    """Who works on it, and who comes later, is told by a status of its own that coming again is of no use."""
    n = size(server, 4000)
    things(eclose, db, n)
    backfill(eclose, 'start', 'things', '--detach', '--range-docs', n // 4, '--max-rate', n // 20)
    worker = eclose.start('backfill', 'work', 'things')
    wait_for(lambda: db.things.count_documents({'schema_version': 2}))
    db.eclose_jobs.update_one({}, {'$set': {'state': 'failed', 'error': 'a reason'}})
    assert 'a reason' in eclose.wait(worker, rc=6).err
    assert 'a reason' in backfill(eclose, 'work', rc=6).err
    # A new one is begun by whoever mended it, and worked on as any.
    backfill(eclose, 'start', 'things', '--detach')
    backfill(eclose, 'work', 'things')
    assert at_target(db, n)


def test_the_job_ended_before_it_was_told(eclose, db, relay):
    things(eclose, db, 100)
    backfill(eclose, 'start', 'things', '--detach')
    relay.edit(lambda answer: dict(answer, n=0, nModified=0) if 'nModified' in answer else None)
    env = {'ECLOSE_URI': relay.uri}
    for told in (['pause'], ['resume'], ['set', '--max-rate', 9]):
        assert 'ended in the meantime' in eclose('backfill', *told, rc=1, env=env).err
    # Where that is so because somebody cancelled it, and be it this very command, nothing is wrong.
    eclose('backfill', 'cancel', rc=0, env=env)
    assert job(db)['state'] == 'cancelled'


def test_a_wrong_migration_with_a_lookup_touches_nothing(eclose, db):
    """What the sample looks up is fetched for the trial, too."""
    project(eclose, 'things', ['up:\n  - $lookup: {from: others, localField: a, foreignField: _id, as: o}\n'
                               '  - $set: {b: {$toInt: {$first: $o.v}}}\n  - $unset: o\n'])
    db.others.insert_many([{'_id': i, 'v': 'no number' if i else '7'} for i in range(2)])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 1} for i in range(200)])
    before = raw(db.things)
    done = eclose('up', 'things', rc=1)
    assert '200 of 200' in done.err and 'tried without writing' in done.err and '$toInt' in done.err
    assert raw(db.things) == before and not db.eclose_jobs.count_documents({})
    db.things.update_many({}, {'$set': {'a': 0}})
    eclose('up', 'things', rc=0)
    assert db.things.count_documents({'b': 7, 'schema_version': 2}) == 200


@pytest.mark.parametrize('mode', ['pushdown', pytest.param('client', marks=pytest.mark.long)])
def test_a_look_takes_longer_than_the_claim(eclose, db, relay, mode):
    """A server that is slow and does not keep to the time that it is given: a look for the few documents that are left
    outlasts the claim on the range, until it is over few enough of them."""
    n, left = 1200, (600, 1199)
    things(eclose, db, n)
    eclose('up', 'things', rc=0)
    db.things.update_many({'_id': {'$in': left}}, {'$set': {'schema_version': 1}, '$unset': {'b': 1}})
    looks = []

    def slow(command, _answer):
        if command is not None and command.name == 'find' and command.collection == 'things' and command.document.get('sort'):
            filters = command.document['filter'].get('$and', [{}])
            over = db.things.count_documents(filters[0] if '_id' in str(filters[0]) else {})
            over = min(over, command.document['skip']) if 'skip' in command.document else over
            looks.append((over, db.eclose_chunks.find_one({}, sort=[('_id', -1)])['token']))
            time.sleep(over / (8000 if 'skip' in command.document else 800))

    relay.change(slow)
    env = {'ECLOSE_URI': relay.uri, 'ECLOSE_LEASE_TIME': '900', 'ECLOSE_MAX_CLOCK_SKEW': '100'}
    backfill(eclose, 'start', 'things', '--mode', mode, '--detach')
    child = eclose.start('backfill', 'work', 'things', env=env)
    eclose.wait(child)
    assert at_target(db, n) and job(db)['counts']['changed'] == len(left)
    # It lost its claim on the way, more than once.
    assert looks[0][0] == n and looks[-1][1] > looks[0][1] + 1
    print(f'looks over {[over for over, _ in looks]} documents')


def test_a_pause_in_which_nobody_answers(eclose, db, relay):
    """Who waits in it says that it cannot be asked whether it is over."""
    things(eclose, db, 50)
    backfill(eclose, 'start', 'things', '--detach')
    backfill(eclose, 'pause')
    refusing, refused = [], []

    def refuse(command, _answer):
        if command is not None and command.collection == 'eclose_jobs' and refusing:
            refused.append(command)
            return {'ok': 0.0, 'code': 8, 'codeName': 'UnknownError', 'errmsg': 'not now'}
        return None

    relay.change(refuse)
    child = eclose.start('backfill', 'work', 'things', env={'ECLOSE_URI': relay.uri})
    wait_for(lambda: sum(c.collection == 'eclose_jobs' for c in relay.commands()) >= 5)
    refusing.append(True)
    wait_for(lambda: len(refused) >= 2)
    refusing.clear()
    backfill(eclose, 'resume')
    told = eclose.wait(child).err
    assert told.count('things: paused, and whether it is to go on cannot be asked: ') == 1 and 'not now' in told
    assert at_target(db, 50)


def test_the_first_worker_fails_and_another_goes_on(eclose, db, server, relay):
    """What others of the process do is told until they end."""
    n = size(server, 4000)
    things(eclose, db, n)
    backfill(eclose, 'start', 'things', '--detach', '--mode', 'client', '--range-docs', n // 8, '--max-rate', n // 20)
    first, refused = [], []

    def refuse(command, _answer):
        if command is None:
            return None
        if not first and command.collection == 'eclose_jobs':
            first.append(command.connection)
        if command.connection not in first or command.collection != 'things' or 'sort' not in command.document:
            return None
        refused.append(command)
        return {'ok': 0.0, 'code': 13, 'codeName': 'Unauthorized', 'errmsg': 'not authorized on db'}

    relay.change(refuse)
    child = eclose.start('backfill', 'work', 'things', '--workers', 2, env={'ECLOSE_URI': relay.uri})
    wait_for(lambda: refused)
    backfill(eclose, 'pause')
    wait_for(lambda: not db.eclose_chunks.count_documents({'holder': {'$ne': None}}))
    mark = len(relay.commands())
    wait_for(lambda: sum(c.name == 'aggregate' and c.collection == 'eclose_chunks' for c in relay.commands(mark)) >= 2)
    backfill(eclose, 'resume')
    backfill(eclose, 'set', '--max-rate', 'none')
    told = eclose.wait(child).err
    assert 'things: paused' in told and 'things: 1 of 2 workers ended early: ' in told and 'not authorized' in told
    assert at_target(db, n)


def test_one_range_whose_sweep_cannot_be_marked(eclose, db, relay):
    """A job of one range goes on to sweep it under the same claim. Where it cannot say so what was done counts even so."""
    things(eclose, db, 700)
    refused = []

    def refuse(command, _answer):
        if command is None or command.name != 'update' or command.collection != 'eclose_jobs' or refused or \
                'swept' not in str(command.document):
            return None
        refused.append(db.eclose_chunks.find_one()['state'])
        return {'ok': 0.0, 'code': 8, 'codeName': 'UnknownError', 'errmsg': 'not now'}

    relay.change(refuse)
    eclose.env['ECLOSE_URI'] = relay.uri
    backfill(eclose, 'start', 'things', '--mode', 'client')
    assert refused == ['open'] and at_target(db, 700)
    assert (job(db)['state'], job(db)['counts']['changed']) == ('done', 700)
    # Let go, and claimed once more to be swept.
    assert db.eclose_chunks.find_one()['token'] == 2
