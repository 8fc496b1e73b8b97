"""The trial before a job: what the server would refuse is seen in a sample, before anything is written."""

import json

import pytest

from test_backfill import MODES, project, raw
from works import put

NUMBER = 'up:\n  - $set: {size: {$toInt: $size}}\n'
STRINGS = {'$jsonSchema': {'properties': {'size': {'bsonType': 'string'}}}}


def fill(db, n=100, validator=None, **options):
    db.create_collection('things', **({'validator': validator, **options} if validator else {}))
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'size': str(i), 'code': f'c{i}'} for i in range(n)])


def up(eclose, *args, rc=0):
    return json.loads(eclose('up', 'things', *args, '--format', 'json', rc=rc).out)


def refused(eclose, db, *args):
    """Nothing is touched, nothing stands in quarantine, no job was made; what it says."""
    before = raw(db.things)
    done = eclose('up', 'things', *args, rc=1)
    assert 'tried without writing cannot be carried over, so nothing was begun' in done.err
    assert raw(db.things) == before
    assert not db.eclose_quarantine.count_documents({}) and not db.eclose_jobs.count_documents({})
    return done.err


@MODES
def test_a_validator_that_refuses_the_new_shape_stops_it(eclose, db, mode):
    project(eclose, 'things', [NUMBER])
    fill(db, validator=STRINGS)
    said = refused(eclose, db, '--mode', mode)
    assert '100 of 100' in said and 'the first: _id ' in said
    assert "the collection's validator refuses it: $jsonSchema: bsonType: expected string, found " in said
    assert ' at size' in said
    # What is not tried, the server refuses.
    assert up(eclose, '--mode', mode, '--max-errors', '1', rc=5)['quarantined'] == 100
    assert {r['error']['code'] for r in db.eclose_quarantine.find()} == {121}


@MODES
def test_documents_that_it_refuses_are_counted(eclose, db, mode):
    project(eclose, 'things', [NUMBER])
    fill(db, validator={'size': {'$not': {'$gte': 70}}})
    said = refused(eclose, db, '--mode', mode, '--max-errors', '0.2')
    assert '30 of 100' in said and 'refuses it: { "size" : { "$not" : { "$gte" : 70 } } }' in said
    assert up(eclose, '--mode', mode, rc=5)['quarantined'] == 30


@pytest.mark.parametrize('options', [{'validationAction': 'warn'}, {'validationLevel': 'off'}])
def test_a_validator_that_does_not_refuse_is_not_asked(eclose, db, options):
    project(eclose, 'things', [NUMBER])
    fill(db, validator=STRINGS, **options)
    assert 'judge' not in eclose('up', 'things', rc=0).err
    assert db.things.count_documents({'schema_version': 2}) == 100


def test_a_moderate_validator_lets_those_be_that_broke_it_before(eclose, db):
    project(eclose, 'things', ['up:\n  - $set: {size: {$toInt: $size}}\n  - $unset: old\n'])
    fill(db)
    rule = {'$jsonSchema': {'properties': {'size': {'bsonType': 'string'}, 'old': {'bsonType': 'bool'}}}}
    db.command('collMod', 'things', validator=rule, validationLevel='moderate')
    assert '100 of 100' in refused(eclose, db)
    db.command('collMod', 'things', validationLevel='off')
    db.things.update_many({}, {'$set': {'old': 1}})
    db.command('collMod', 'things', validationLevel='moderate')
    eclose('up', 'things', '--max-errors', '0', rc=0)
    assert db.things.count_documents({'schema_version': 2}) == 100


def test_a_validator_that_cannot_be_judged_is_named_once(eclose, db):
    project(eclose, 'things', [NUMBER])
    fill(db, validator={'$or': [{'place': {'$exists': False}},
                                {'place': {'$geoWithin': {'$box': [[0, 0], [1, 1]]}}}]})
    said = eclose('up', 'things', rc=0).err
    assert said.count("things: the trial could not judge the collection's validator") == 1 and '$geoWithin' in said


@MODES
def test_a_unique_index_that_refuses_nearly_all_stops_it(eclose, db, mode):
    """All but one would have the key null; in a sparse index none has a key."""
    project(eclose, 'things', ['up:\n  - $set: {name: $code}\n  - $unset: code\n'])
    fill(db)
    db.things.create_index('code', unique=True)
    said = refused(eclose, db, '--mode', mode)
    assert '99 of 100' in said and 'the unique index code_1 refuses it: it gets the key of _id ' in said
    db.things.drop_index('code_1')
    db.things.create_index('code', unique=True, sparse=True)
    assert up(eclose, '--mode', mode, '--max-errors', '0')['changed'] == 100


def test_the_validator_of_complete_lets_the_next_version_pass(eclose, db):
    project(eclose, 'things', ['schema: {required: [b], properties: {b: {bsonType: string}}}\n'
                               'up:\n  - $set: {b: {$toString: $size}}\n'])
    fill(db)
    eclose('up', 'things', rc=0)
    eclose('complete', 'things', '--validator', rc=0)
    put(eclose.folder, 'migrations/things/0003_step.yaml', 'to: 3\ndescription: a step\nup:\n  - $set: {b: {$toInt: $b}}\n')
    assert 'judge' not in eclose('up', 'things', '--max-errors', '0', rc=0).err
    assert db.things.count_documents({'schema_version': 3, 'b': {'$type': 'int'}}) == 100


def test_what_the_sample_shows_is_not_looked_for(eclose, db, relay):
    """In a large collection the first document that is to be carried may lie behind millions that were last night. One of
    the sample does as well. Only where it shows none, one is looked for."""
    project(eclose, 'things', [NUMBER])
    fill(db, 10001)
    eclose.env['ECLOSE_URI'] = relay.uri

    def asked(since):
        """Before a job is made, or instead."""
        sent = relay.commands(since)
        made = next((i for i, c in enumerate(sent) if c.collection == 'eclose_jobs' and c.name == 'findAndModify'), None)
        return [next(iter(c.document['pipeline'][0])) for c in sent[:made] if c.collection == 'things' and c.name == 'aggregate']

    db.things.update_many({'_id': {'$lt': 5000}}, [{'$set': {'size': {'$toInt': '$size'}, 'schema_version': 2}}])
    assert up(eclose)['changed'] == 5001
    assert asked(0) == ['$sample']
    db.eclose_jobs.drop()
    db.things.update_one({'_id': 7}, {'$set': {'schema_version': 1, 'size': '7'}})
    since = len(relay.commands())
    assert up(eclose)['changed'] == 1
    assert asked(since)[0] == '$sample' and len(asked(since)) <= 2  # it may be in the sample
    db.eclose_jobs.drop()
    since = len(relay.commands())
    assert up(eclose)['changed'] == 0
    assert asked(since) == ['$sample', '$match']
    assert not db.eclose_jobs.count_documents({})
