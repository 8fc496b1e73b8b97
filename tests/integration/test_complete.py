"""The end of a version: floors, validators, chains that begin above their first version."""

import json
import os

import pymongo
import pytest

from test_backfill import project

STEP2 = 'up:\n  - $set: {a: {$add: [$n, 1]}}\nschema: {required: [a]}\ndown:\n  - $unset: a\n'
STEP3 = 'up:\n  - $set: {b: $a}\ndown:\n  - $unset: b\n'


def complete(eclose, *args, rc=0):
    done = eclose('complete', 'things', *args, '--format', 'json', rc=rc)
    return json.loads(done.out.splitlines()[-1])


def fill(db, n=50, **fields):
    db.things.insert_many([{'_id': i, 'n': i, **fields} for i in range(n)])


def floor(db):
    return db.eclose_floors.find_one({'_id': 'things'})


def set_floor(eclose, version):
    with open(os.path.join(eclose.folder, 'eclose.yaml'), 'w', encoding='utf-8') as f:
        f.write(f'collections:\n  things: {{unversioned: 1, floor: {version}}}\n')


def test_as_of_now(eclose, db):
    project(eclose, 'things', [STEP2])
    fill(db)
    early = complete(eclose, '--to', '2', rc=5)
    assert (early['complete'], early['below'], early['deletable']) == (False, 50, [])
    assert floor(db) is None
    eclose('up', rc=0)
    done = complete(eclose, '--to', '2')
    assert (done['complete'], done['stays'], done['below']) == (True, False, 0)
    assert [os.path.basename(f) for f in done['deletable']] == ['0002_step.yaml']
    assert floor(db)['floor'] == '2'
    assert floor(db)['validated'] is False
    text = eclose('complete', 'things', rc=0).out
    assert 'as of now' in text and 'floor: 2' in text and '0002_step.yaml' in text
    # An old writer comes back: that is why.
    db.things.insert_one({'_id': 'old', 'n': 1})
    assert complete(eclose, rc=5)['below'] == 1


def test_a_validator_keeps_old_writers_out(eclose, db):
    project(eclose, 'things', [STEP2])
    fill(db, 30)
    early = complete(eclose, '--validator', rc=5)
    assert (early['below'], early['refused'], early['validator']) == (30, 30, 'warn')
    # So far it only warns: the application is not disturbed.
    db.things.update_one({'_id': 1}, {'$inc': {'n': 1}})
    db.things.insert_one({'_id': 'old', 'n': 1})
    eclose('up', rc=0)
    warned = complete(eclose, '--validator=warn')
    assert (warned['validator'], warned['stays'], warned['refused']) == ('warn', False, 0)
    done = complete(eclose, '--validator')
    assert (done['validator'], done['stays'], done['below']) == ('strict', True, 0)
    assert floor(db)['validated'] is True
    with pytest.raises(pymongo.errors.WriteError):
        db.things.insert_one({'_id': 'older', 'n': 1})
    with pytest.raises(pymongo.errors.WriteError):
        db.things.insert_one({'_id': 'no a', 'n': 1, 'schema_version': 2})
    db.things.insert_one({'_id': 'new', 'a': 1, 'schema_version': 2})
    db.things.insert_one({'_id': 'of a release to come', 'c': 1, 'schema_version': 9})
    db.things.delete_one({'_id': 'of a release to come'})  # which verify cannot read with this project
    again = complete(eclose, '--validator')
    assert again['stays']
    # It is known for what it is without being asked for.
    assert complete(eclose)['stays']


def test_a_document_that_breaks_the_schema_stands_in_the_way(eclose, db):
    project(eclose, 'things', [STEP2])
    fill(db, 5)
    eclose('up', rc=0)
    db.things.insert_one({'_id': 'bad', 'schema_version': 2})
    told = complete(eclose, '--validator', rc=5)
    assert (told['below'], told['refused'], told['complete'], told['validator']) == (0, 1, False, 'warn')
    db.things.insert_one({'_id': 'bad2', 'schema_version': 2})  # it refuses nothing yet
    assert floor(db) is None


def test_another_validator_is_not_replaced_unasked(eclose, db):
    project(eclose, 'things', [STEP2])
    db.create_collection('things', validator={'n': {'$exists': True}})
    fill(db, 5)
    eclose('up', rc=0)
    refused = eclose('complete', 'things', '--validator', rc=1)
    assert '--replace' in refused.err
    assert db.command('listCollections', filter={'name': 'things'})['cursor']['firstBatch'][0]['options']['validator'] == {
        'n': {'$exists': True}}
    assert complete(eclose, '--validator', '--replace')['stays']


def test_the_next_version_takes_the_validator_over(eclose, db):
    project(eclose, 'things', [STEP2, STEP3 + 'schema: {required: [b]}\n'])
    fill(db, 5)
    eclose('up', 'things', '--to', '2', rc=0)
    assert complete(eclose, '--to', '2', '--validator')['stays']
    eclose('up', 'things', rc=0)
    done = complete(eclose, '--to', '3', '--validator')
    assert (done['stays'], done['floor']) == (True, '3')
    with pytest.raises(pymongo.errors.WriteError):
        db.things.insert_one({'_id': 'x', 'a': 1, 'schema_version': 2})
    # A lower floor does not take its place.
    complete(eclose, '--to', '2')
    assert floor(db)['floor'] == '3'


def test_no_schema_no_validator(eclose, db):
    project(eclose, 'things', ['up:\n  - $set: {a: 1}\n'])
    fill(db, 5)
    eclose('up', rc=0)
    assert 'no `schema`' in eclose('complete', 'things', '--validator', rc=1).err
    assert 'does not exist' in eclose('complete', 'things', rc=1, env={'ECLOSE_DATABASE': db.name + 'x'}).err


def test_down_takes_the_floor_back(eclose, db):
    project(eclose, 'things', [STEP2, STEP3])
    fill(db, 5)
    eclose('up', rc=0)
    complete(eclose)
    assert floor(db)['floor'] == '3'
    assert 'taken back' in eclose('down', 'things', '--to', '2', rc=0).err
    assert floor(db) is None
    complete(eclose, '--to', '2')
    assert 'taken back' not in eclose('down', 'things', '--to', '2', rc=0).err
    assert floor(db)['floor'] == '2'


def test_a_chain_that_begins_at_its_floor(eclose, db):
    project(eclose, 'things', [STEP2, STEP3])
    fill(db, 20)
    eclose('up', 'things', '--to', '2', rc=0)
    complete(eclose, '--to', '2')
    set_floor(eclose, 2)
    assert 'may be deleted' in eclose('lint', rc=0).out
    os.unlink(os.path.join(eclose.folder, 'migrations', 'things', '0002_step.yaml'))
    assert 'may be deleted' not in eclose('lint', rc=0).out
    db.things.insert_one({'_id': 'old', 'n': 1})
    told = json.loads(eclose('up', 'things', '--mode', 'client', '--format', 'json', rc=5).out.splitlines()[-1])
    assert (told['changed'], told['quarantined']) == (20, 1)
    record = db.eclose_quarantine.find_one({'_id.id': 'old'})
    assert 'below the floor of the chain, 2' in record['error']['message']
    assert db.things.count_documents({'schema_version': 3}) == 20
    assert db.things.find_one({'_id': 'old'}) == {'_id': 'old', 'n': 1}
    # A reader says so, too.
    assert 'below the floor' in eclose('verify', 'things', rc=5).out
    assert complete(eclose, rc=5)['below'] == 1
    db.things.delete_one({'_id': 'old'})
    assert complete(eclose)['complete']
