"""Documents that could not be carried over: what is said of them, trying again, forgetting them."""

import datetime
import json
import os

import pytest
from bson import ObjectId

from test_backfill import MODES, project, up
from test_reports import samples, value
from test_steps import standalone
from works import change, wait_for

WHEN = datetime.datetime(2026, 1, 1)
STEP = 'up:\n  - $set: {size: {$toInt: $size}}\ndown:\n  - $set: {size: {$toString: $size}}\n'


def quarantine(eclose, *args, rc=0):
    done = eclose('quarantine', *args, '--format', 'json', rc=rc)
    return [json.loads(line) for line in done.out.splitlines()]


def bad_things(eclose, db, mode='client'):
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'size': str(i)} for i in range(20)])
    db.things.insert_many([{'_id': f'bad{i}', 'size': 'large'} for i in range(3)])
    db.things.insert_one({'_id': ObjectId('507f1f77bcf86cd799439011'), 'size': {}})
    assert up(eclose, 'things', mode, rc=5)['quarantined'] == 4


@MODES
def test_list_groups_reasons(eclose, db, mode):
    bad_things(eclose, db, mode)
    reasons = quarantine(eclose, 'list')
    assert sum(r['documents'] for r in reasons) == 4
    assert reasons == sorted(reasons, key=lambda r: -r['documents'])
    for r in reasons:
        assert r['collection'] == 'things' and r['to'] == '2' and 'id' in r and r['first'] and r['last']
        assert r['error']['file'].endswith('0002_step.yaml') and r['error']['line'] == 4
        assert r['error'] == quarantine(eclose, 'show', 'things', '--id', json.dumps(r['id']))[0]['error']
    text = eclose('quarantine', 'list', 'things', rc=0).out
    assert '0002_step.yaml:4:' in text and 'things to 2: ' in text
    for r in reasons:
        assert f': {r["error"]["message"]}\n' in text.split('for example _id ', 1)[1]
    # The version of those without one is there, too.
    assert [r['version'] for r in db.eclose_quarantine.find()] == [1] * 4


def test_list_of_more_reasons_than_one_reply_holds(eclose, db):
    bad_things(eclose, db)
    one = db.eclose_quarantine.find_one()
    many = [dict(one, _id={'collection': 'things', 'id': i}, error=dict(one['error'], code=i)) for i in range(1100)]
    db.eclose_quarantine.delete_many({})
    db.eclose_quarantine.insert_many(many)
    assert {r['error']['code'] for r in quarantine(eclose, 'list')} == set(range(1100))


def test_nothing_is_left_at_the_end(eclose, db):
    """Progress ends at 100%, whatever went to quarantine."""
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'size': 'large' if i < 5 else str(i)} for i in range(100)])
    last = eclose('up', 'things', rc=5).err.splitlines()[-1]
    assert last.startswith('things: 100 of 100 (100%), ') and 'left' not in last, last
    assert '95 changed, 0 conflicts, 5 went to quarantine' in eclose('backfill', 'status', 'things', rc=0).out


def test_show_one(eclose, db):
    bad_things(eclose, db)
    shown, = quarantine(eclose, 'show', 'things', '--id', 'bad1')
    assert shown['id'] == 'bad1' and shown['version'] == 1 and shown['to'] == '2'
    assert shown['document'] == {'_id': 'bad1', 'size': 'large'}
    assert shown['error']['message']
    for text in ('507f1f77bcf86cd799439011', '{"$oid": "507f1f77bcf86cd799439011"}'):
        shown, = quarantine(eclose, 'show', 'things', '--id', text)
        assert shown['document']['size'] == {}
    assert 'size' in eclose('quarantine', 'show', 'things', '--id', '"bad1"', rc=0).out
    assert 'no document with the _id 7 is in quarantine' in eclose('quarantine', 'show', 'things', '--id', '7', rc=1).err
    db.things.delete_one({'_id': 'bad1'})
    assert quarantine(eclose, 'show', 'things', '--id', 'bad1')[0]['document'] is None
    assert 'it is gone' in eclose('quarantine', 'show', 'things', '--id', 'bad1', rc=0).out


def test_retry(eclose, db):
    bad_things(eclose, db)
    when = db.eclose_quarantine.find_one({'_id.id': 'bad0'})['when']
    assert quarantine(eclose, 'retry', rc=5) == [{'carried': 0, 'gone': 0, 'left': 4}]
    assert db.eclose_quarantine.find_one({'_id.id': 'bad0'})['when'] > when
    db.things.update_one({'_id': 'bad0'}, {'$set': {'size': '7'}})
    db.things.delete_one({'_id': 'bad1'})
    assert quarantine(eclose, 'retry', 'things', '--id', 'bad0') == [{'carried': 1, 'gone': 0, 'left': 0}]
    assert db.things.find_one({'_id': 'bad0'}) == {'_id': 'bad0', 'size': 7, 'schema_version': 2}
    assert quarantine(eclose, 'retry', 'things', rc=5) == [{'carried': 0, 'gone': 1, 'left': 2}]
    assert {r['_id']['id'] for r in db.eclose_quarantine.find()} == {'bad2', ObjectId('507f1f77bcf86cd799439011')}
    # Another document that is not at the target is none of its business.
    db.things.insert_one({'_id': 'new', 'size': '1'})
    # The application carried it itself.
    db.things.update_one({'_id': 'bad2'}, {'$set': {'size': 2, 'schema_version': 2}})
    db.things.delete_one({'_id': ObjectId('507f1f77bcf86cd799439011')})
    assert quarantine(eclose, 'retry') == [{'carried': 1, 'gone': 1, 'left': 0}]
    assert 'schema_version' not in db.things.find_one({'_id': 'new'})
    assert 'nothing is in quarantine' in eclose('quarantine', 'retry', rc=0).out


def test_retry_of_what_could_not_go_down(eclose, db):
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': 'a', 'size': 1, 'schema_version': 2}, {'_id': 'b', 'size': {}, 'schema_version': 2}])
    eclose('down', 'things', '--to', '1', rc=5)
    db.things.update_one({'_id': 'b'}, {'$set': {'size': 5}})
    assert quarantine(eclose, 'retry') == [{'carried': 1, 'gone': 0, 'left': 0}]
    assert db.things.find_one({'_id': 'b'}) == {'_id': 'b', 'size': '5', 'schema_version': 1}


def test_retry_of_what_only_a_transaction_could_write(eclose, db, relay):
    """On a server that has none it fails as before, and it is said why; on a replica set it goes."""
    project(eclose, 'carts', ['up:\n  - $set: {total: {$sum: $items.price}}\n'])
    db.carts.insert_many([{'_id': i, 'schema_version': 1, 'items': [{'price': 1, 'sizes': [4]}] if i == 7 else []}
                          for i in range(40)])
    relay.edit(standalone)
    alone = {'ECLOSE_URI': relay.uri}
    eclose('up', 'carts', '--mode', 'client', '--max-errors', 1, rc=5, env=alone)
    retried = eclose('quarantine', 'retry', 'carts', rc=5, env=alone).out
    assert retried == ('0 carried over, 0 gone meanwhile, 1 still in quarantine; `eclose quarantine list carts` says why\n')
    assert 'numbers in an array inside of an array: only a transaction could write it safely, and this server ' \
           'has none: it is no replica set' in eclose('quarantine', 'list', 'carts', rc=0, env=alone).out
    assert quarantine(eclose, 'retry') == [{'carried': 1, 'gone': 0, 'left': 0}]
    assert db.carts.find_one({'_id': 7})['total'] == 1


def test_retry_without_a_way(eclose, db):
    bad_things(eclose, db)
    db.eclose_quarantine.update_many({}, {'$set': {'to': '7'}})
    done = eclose('quarantine', 'retry', rc=5)
    assert '7' in done.err
    assert '4 still in quarantine' in done.out


def lost_cursors(relay, collection, times):
    """So many answers to a getMore on it do not arrive; each that was asked for."""
    asked = []

    def lose(command, _reply):
        if command is not None and (command.name, command.collection) == ('getMore', collection):
            asked.append(command)
            if len(asked) <= times:
                raise ConnectionResetError

    relay.change(lose)
    return asked


def test_a_cursor_that_is_lost_in_its_middle(eclose, db, relay):
    """What is left is read again: nothing is counted twice, and nothing printed twice."""
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'size': '7' if i % 50 else 'large'} for i in range(250)])
    db.eclose_quarantine.insert_many([
        {'_id': {'collection': 'things', 'id': i}, 'collection': 'things', 'to': '2', 'version': 1, 'when': WHEN,
         'error': {'code': i, 'message': 'm'}} for i in range(1100)])
    eclose.env['ECLOSE_URI'] = relay.uri
    asked = lost_cursors(relay, 'eclose_quarantine', 1)
    listed = [r['error']['code'] for r in quarantine(eclose, 'list')]
    assert sorted(listed) == list(range(1100)) and asked
    db.eclose_quarantine.delete_many({'_id.id': {'$gte': 250}})
    asked = lost_cursors(relay, 'eclose_quarantine', 1)
    assert quarantine(eclose, 'retry', 'things', rc=5) == [{'carried': 245, 'gone': 0, 'left': 5}]
    assert asked and db.eclose_quarantine.count_documents({}) == 5


def test_retry_that_ends_before_the_last_record(eclose, db, relay):
    """It does not say that none is left, and that it may be repeated."""
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'size': 'large'} for i in range(250)])
    eclose('up', '--max-errors', 1, rc=5)
    db.things.update_many({}, {'$set': {'size': '7'}})

    def refuse(command, _reply):
        if command is not None and (command.name, command.collection) == ('getMore', 'eclose_quarantine'):
            return {'ok': 0.0, 'code': 13, 'codeName': 'Unauthorized', 'errmsg': 'not authorized on db'}
        return None

    relay.change(refuse)
    done = eclose('quarantine', 'retry', 'things', rc=1, env={'ECLOSE_URI': relay.uri})
    assert '200 carried over, 0 gone meanwhile, 0 still in quarantine of those that were tried\n' in done.out
    assert done.err.endswith('; the same command goes on with the rest\n')
    assert quarantine(eclose, 'retry', 'things') == [{'carried': 50, 'gone': 0, 'left': 0}]


def test_a_record_of_no_document_is_not_about_all_of_them(eclose, db):
    """Somebody's hand made it."""
    bad_things(eclose, db)
    record = db.eclose_quarantine.find_one()
    db.eclose_quarantine.delete_many({})
    db.eclose_quarantine.insert_many([dict(record, _id=i) for i in (5, 'things', {'collection': 'things'})])
    db.things.insert_one({'_id': 'new', 'schema_version': 1, 'a': 1})
    done = eclose('quarantine', 'retry', 'things', rc=5)
    assert 'this is no record' in done.err and '0 carried over, 0 gone meanwhile, 3 still in quarantine' in done.out
    assert db.things.find_one({'_id': 'new'})['schema_version'] == 1


def test_drop(eclose, db):
    bad_things(eclose, db)
    assert quarantine(eclose, 'drop', 'things', '--id', 'bad1') == [{'dropped': 1}]
    assert '3 records dropped; the documents are as they were, and a job tries them again' in (
        eclose('quarantine', 'drop', 'things', rc=0).out)
    assert quarantine(eclose, 'drop', 'things') == [{'dropped': 0}]
    assert quarantine(eclose, 'list', 'things') == []
    assert 'nothing is in quarantine' in eclose('quarantine', 'list', 'things', rc=0).out
    assert db.eclose_quarantine.count_documents({}) == 0
    assert db.things.count_documents({'size': 'large'}) == 3
    eclose('backfill', 'start', 'things', rc=5)
    assert quarantine(eclose, 'list', 'things')[0]['documents'] == 4


def test_a_collection_that_the_project_does_not_know(eclose, db):
    """Mistyped, where nothing is there; taken out of the project, where something is."""
    bad_things(eclose, db)
    for command in (['list'], ['retry'], ['drop'], ['show', '--id', 'bad1']):
        for form in ('text', 'json'):
            done = eclose('quarantine', *command, 'thingz', '--format', form, rc=1)
            assert 'the project has no collection "thingz"; did you mean "things"?' in done.err and not done.out
    record = db.eclose_quarantine.find_one({'_id.id': 'bad1'})
    db.eclose_quarantine.insert_one(dict(record, _id={'collection': 'old', 'id': 'bad1'}, collection='old'))
    assert quarantine(eclose, 'list', 'old')[0]['documents'] == 1
    assert quarantine(eclose, 'show', 'old', '--id', 'bad1')[0]['document'] is None
    assert quarantine(eclose, 'drop', 'old') == [{'dropped': 1}]
    eclose('quarantine', 'list', 'old', rc=1)
    assert db.eclose_quarantine.count_documents({}) == 4


def test_a_shorter_way_does_not_forget_what_failed_further_on(eclose, db):
    project(eclose, 'things', ['up:\n  - $set: {a: 1}\n', 'up:\n  - $set: {size: {$toInt: $size}}\n'])
    db.things.insert_many([{'_id': i, 'size': '1'} for i in range(5)])
    db.things.insert_one({'_id': 'bad', 'size': 'x'})
    assert up(eclose, 'things', 'client', rc=5)['quarantined'] == 1
    eclose('up', 'things', '--to', '2', rc=0)
    assert db.eclose_quarantine.count_documents({'to': '3'}) == 1
    assert db.things.find_one({'_id': 'bad'})['schema_version'] == 2
    db.things.update_one({'_id': 'bad'}, {'$set': {'size': '3'}})
    assert up(eclose, 'things', 'client')['quarantined'] == 0
    assert db.eclose_quarantine.count_documents({}) == 0


@MODES
@pytest.mark.parametrize('ranges', [1, 4])
def test_what_the_sweep_sets_aside_is_counted_once(eclose, db, relay, mode, ranges):
    """By its job, by what the command prints and by its metrics: what the pass had met already, what came behind it, and
    not what was mended between."""
    n, metrics = 400, os.path.join(eclose.folder, 'eclose.prom')
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'size': str(i)} for i in range(n)])
    db.things.insert_many([{'_id': i, 'size': 'large'} for i in (10.5, 250.5, 390.5)])
    relay.catch(lambda c: c.collection == 'eclose_jobs' and c.name == 'update' and 'swept' in str(c.document['updates']))
    child = eclose.start('up', 'things', '--mode', mode, '--range-docs', n // ranges, '--format', 'json', '--metrics',
                         metrics, env={'ECLOSE_URI': relay.uri})
    wait_for(relay.caught)
    assert db.things.count_documents({'schema_version': 2}) == n and db.eclose_quarantine.count_documents({}) == 3
    db.things.insert_many([{'_id': i, 'size': 'large'} for i in (-0.5, 20.5, 999.5)])
    db.things.update_one({'_id': 250.5}, {'$set': {'size': '7'}})
    relay.go()
    out = eclose.wait(child, rc=5).out
    told, job = json.loads(out.splitlines()[-1]), db.eclose_jobs.find_one()
    assert (told['changed'], told['quarantined']) == (n + 1, 5)
    assert (job['state'], job['counts']['quarantined'], job['counts']['changed']) == ('done', 5, n + 1)
    assert {r['_id']['id'] for r in db.eclose_quarantine.find()} == {-0.5, 10.5, 20.5, 390.5, 999.5}
    assert value(samples(metrics), 'documents_quarantined', collection='things') == 5


AGAIN = [['up'], ['up', 'things'], ['backfill', 'start', 'things'], ['backfill', 'run', 'things', '--for', '60s'],
         ['backfill', 'start', 'things', '--detach']]


@pytest.mark.parametrize('many', [0, 10100])
def test_what_is_in_quarantine_does_not_begin_a_job(eclose, db, relay, many):
    """As each start of a container would: all else is at the target. What is left is read, and fails as before: nothing
    is written."""
    if many:
        db.things.insert_many([{'_id': i + 100, 'size': 7, 'schema_version': 2} for i in range(many)])
    bad_things(eclose, db)
    before = [list(db[name].find()) for name in ('things', 'eclose_quarantine', 'eclose_jobs', 'eclose_chunks')]
    for command in AGAIN:
        since = len(relay.commands())
        done = eclose(*command, rc=5, env={'ECLOSE_URI': relay.uri})
        assert 'no other document is below version 2' in done.out and '4 documents are in quarantine' in done.out
        sent = [c.name for c in relay.commands(since)]
        written = set(sent) & {'insert', 'update', 'delete', 'findAndModify'}
        assert not written, written
        # How many documents there are is asked once.
        assert sent.count('count') == 1, command
    told = up(eclose, 'things', 'client', rc=5)
    assert (told['changed'], told['quarantined'], told['wrote'], 'job' in told) == (0, 4, False, False)
    assert [list(db[name].find()) for name in ('things', 'eclose_quarantine', 'eclose_jobs', 'eclose_chunks')] == before
    # One that is not in quarantine is work for a job, which meets the others again.
    db.things.insert_one({'_id': -1, 'size': '1'})
    told = up(eclose, 'things', 'client', rc=5)
    assert (told['changed'], told['quarantined'], told['wrote'], 'job' in told) == (1, 4, True, True)


@MODES
def test_what_a_validator_refuses_is_not_sent_again(eclose, db, relay, mode):
    """Unless it is mended, or the reason that its record names is another one by now."""
    bad_things(eclose, db, mode)
    db.command('collMod', 'things', validator={'size': {'$not': {'$lt': 0}}})
    db.things.update_one({'_id': 'bad0'}, {'$set': {'size': '-5'}})
    up(eclose, 'things', mode, rc=5)
    record = db.eclose_quarantine.find_one({'_id.id': 'bad0'})
    assert record['error']['code'] == 121 and db.eclose_quarantine.count_documents({}) == 4
    before = list(db.eclose_quarantine.find())
    done = eclose('up', 'things', '--mode', mode, rc=5, env={'ECLOSE_URI': relay.uri})
    written = {c.name for c in relay.commands()} & {'insert', 'update', 'delete', 'findAndModify'}
    assert '4 documents are in quarantine' in done.out and not written, written
    assert list(db.eclose_quarantine.find()) == before
    db.command('collMod', 'things', validator={})
    assert '1 document carried to version 2 out of quarantine' in eclose('up', 'things', rc=5).out
    assert db.things.find_one({'_id': 'bad0'}) == {'_id': 'bad0', 'size': -5, 'schema_version': 2}


@MODES
@pytest.mark.parametrize('command', [['up', 'things'], ['backfill', 'start', 'things']])
def test_what_was_mended_leaves_quarantine_without_a_job(eclose, db, mode, command):
    bad_things(eclose, db, mode)
    jobs = db.eclose_jobs.count_documents({})
    db.things.update_one({'_id': 'bad0'}, {'$set': {'size': '7'}})
    db.things.delete_one({'_id': 'bad1'})
    db.things.update_one({'_id': 'bad2'}, {'$set': {'size': 2, 'schema_version': 2}})  # the application did it
    done = eclose(*command, rc=5)
    assert '1 document carried to version 2 out of quarantine' in done.out and '1 document is in quarantine' in done.out
    assert db.things.find_one({'_id': 'bad0'}) == {'_id': 'bad0', 'size': 7, 'schema_version': 2}
    assert [r['_id']['id'] for r in db.eclose_quarantine.find()] == [ObjectId('507f1f77bcf86cd799439011')]
    # And where the migration is another one by now.
    change(eclose.folder, 'migrations/things/0002_step.yaml', '{$toInt: $size}',
           '{$convert: {input: $size, to: int, onError: 0}}')
    eclose(*command, rc=0)
    assert db.things.find_one({'_id': ObjectId('507f1f77bcf86cd799439011')})['size'] == 0
    assert db.eclose_quarantine.count_documents({}) == 0 and db.eclose_jobs.count_documents({}) == jobs


def test_very_many_in_quarantine_are_work_for_a_job(eclose, db):
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'size': 'large'} for i in range(1001)])
    eclose('up', 'things', '--max-errors', '1', rc=5)
    db.things.update_many({}, {'$set': {'size': '5'}})
    assert up(eclose, 'things', 'client')['changed'] == 1001
    assert db.eclose_jobs.count_documents({}) == 2 and db.eclose_quarantine.count_documents({}) == 0


@pytest.mark.parametrize('args', [['list', '--id', 'x'], ['show', 'things'], ['drop'], ['forget']])
def test_wrong_usage(eclose, args):
    project(eclose, 'things', [STEP])
    eclose('quarantine', *args, rc=2)


@MODES
def test_a_record_is_there_while_the_job_runs(eclose, db, mode):
    """What the job says of documents in quarantine can be looked up, though its range is far from its end."""
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'size': 'large' if i < 3 else str(i)} for i in range(3000)])
    child = eclose.start('up', 'things', '--mode', mode, '--max-rate', 100)
    wait_for(lambda: db.eclose_quarantine.count_documents({}) == 3)
    assert child.poll() is None and db.things.count_documents({'schema_version': {'$exists': True}}) < 2900
    reason, = quarantine(eclose, 'list')
    assert reason['documents'] == 3
    eclose('backfill', 'set', 'things', '--max-rate', 'none', rc=0)
    eclose.wait(child, rc=5)
