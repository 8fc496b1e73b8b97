"""A collection of pymongo, read and written through a project."""

import copy
import decimal
import threading
import uuid

import bson
import pytest
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions, TypeCodec, TypeRegistry
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import (
    AsyncMongoClient,
    DeleteOne,
    InsertOne,
    MongoClient,
    ReadPreference,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
    monitoring,
)
from pymongo.collection import Collection
from pymongo.errors import InvalidOperation, OperationFailure
from pymongo.write_concern import WriteConcern

import eclose

FILES = {
    'eclose.yaml': 'collections: {users: {unversioned: 1}}',
    'users/0002_split.yaml': '''
to: 2
up:
  - $set: {first: {$first: {$split: [$name, " "]}}, last: {$last: {$split: [$name, " "]}}}
  - $unset: name
down:
  - $set: {name: {$concat: [$first, " ", $last]}}
  - $unset: [first, last]
''',
}


@pytest.fixture(scope='module')
def project():
    return eclose.Project(files=FILES)


@pytest.fixture
def stored(db):
    db.users.insert_many([{'_id': i, 'name': f'Ariel L{i}'} if i % 2 else
                          {'_id': i, 'first': 'Ariel', 'last': f'L{i}', 'schema_version': 2} for i in range(10)])
    return db.users


def shape(i):
    return {'_id': i, 'first': 'Ariel', 'last': f'L{i}', 'schema_version': 2}


def test_find(project, stored):
    users = project.collection(stored)
    assert sorted(users.find(), key=lambda d: d['_id']) == [shape(i) for i in range(10)]
    assert list(users.find().sort('_id', -1).skip(1).limit(2)) == [shape(8), shape(7)]
    assert list(users.find(sort=[('_id', 1)], batch_size=3)) == [shape(i) for i in range(10)]
    assert [d['_id'] for d in users.find().sort('_id', 1)[3:5]] == [3, 4]
    assert users.find().sort('_id', 1)[7] == shape(7)
    assert users.find_one({'_id': 3}) == users.find_one(3) == shape(3)
    assert users.find_one({'_id': 33}) is None
    assert users.find({'_id': {'$lt': 2}}).to_list() == [shape(0), shape(1)]
    assert stored.find_one(3) == {'_id': 3, 'name': 'Ariel L3'}  # nothing was written


def test_cursor_has_the_habits_of_pymongo(project, stored):
    users = project.collection(stored)
    with users.find().sort('_id', 1).batch_size(2) as cursor:
        assert cursor.alive and next(cursor) == shape(0) and cursor.next() == shape(1)
        assert cursor.to_list(2) == [shape(2), shape(3)]
        again = cursor.clone()
        assert next(again) == shape(0) and next(copy.copy(cursor)) == shape(0)
        assert [d['_id'] for d in cursor] == list(range(4, 10))
        assert not cursor.alive
        cursor.rewind()
        assert next(cursor) == shape(0)
        with pytest.raises(InvalidOperation):
            cursor[3]
    assert users.find().hint('_id_').comment('x').explain()
    assert users.find({}, batch_size=2).collection == stored
    with pytest.raises(IndexError):
        users.find()[100]


def test_codec_options(project, stored):
    users = project.collection(stored).with_options(codec_options=CodecOptions(document_class=SON))
    assert type(users.find_one(3)) is SON and type(next(users.find())) is SON


class Decimals(TypeCodec):
    python_type, bson_type = decimal.Decimal, Decimal128

    def transform_python(self, value):
        return Decimal128(value)

    def transform_bson(self, value):
        return value.to_decimal()


def test_codec_options_hold_for_filters_and_updates(project, stored):
    key, price = uuid.uuid4(), decimal.Decimal('1.5')
    options = CodecOptions(uuid_representation=UuidRepresentation.STANDARD, type_registry=TypeRegistry([Decimals()]))
    users = project.collection(stored).with_options(codec_options=options)
    stored.insert_one({'_id': Binary.from_uuid(key), 'name': 'Kim Lund', 'price': Decimal128(price)})
    after = ReturnDocument.AFTER
    assert users.find_one_and_update({'price': price}, {'$set': {'key': key}}, return_document=after)['key'] == key
    assert users.find_one_and_update({'_id': key}, {'$set': {'price': price + 1}}, return_document=after) == {
        '_id': key, 'first': 'Kim', 'last': 'Lund', 'price': price + 1, 'key': key, 'schema_version': 2}
    with users.watch([{'$match': {'fullDocument.key': key}}], full_document='updateLookup') as stream:
        with users.edit({'key': key}) as user:
            user['price'] += 1
        assert next(stream)['fullDocument']['price'] == price + 2
    assert users.find_one_and_replace({'key': key}, {'key': key, 'price': price})['_id'] == key
    assert users.find_one_and_delete({'key': key}) == {'_id': key, 'key': key, 'price': price, 'schema_version': 2}


def test_raw_documents(project, stored):
    users = project.collection(stored).with_options(codec_options=CodecOptions(RawBSONDocument))
    assert users.find_one(3).raw == bson.encode(shape(3))
    assert users.find_one_and_update({'_id': 3}, {'$set': {'last': 'X'}}).raw == bson.encode(shape(3))
    with users.watch(full_document='updateLookup') as stream:
        stored.update_one({'_id': 5}, {'$set': {'n': 1}})
        event = next(stream)
    assert isinstance(event, RawBSONDocument)
    assert dict(event['fullDocument']) == {'_id': 5, 'n': 1, 'first': 'Ariel', 'last': 'L5', 'schema_version': 2}


def test_other_targets(project, stored):
    old = project.collection(stored, target=1)
    assert old.target == '1'
    assert old.find_one(4) == {'_id': 4, 'name': 'Ariel L4', 'schema_version': 1}


def test_a_projection_is_refused(project, stored):
    with pytest.raises(InvalidOperation, match='query'):
        project.collection(stored).find({}, {'first': 1})
    with pytest.raises(InvalidOperation, match='query'):
        project.collection(stored).find_one_and_delete({}, projection={'first': 1})


def test_one_document_that_fails(project, stored):
    stored.update_one({'_id': 5}, {'$set': {'name': 5}})
    cursor = project.collection(stored).find().sort('_id', 1)
    assert [next(cursor)['_id'] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(eclose.UpgradeError, match='_id 5') as caught:
        next(cursor)
    assert caught.value.details['_id'] == 5 and caught.value.details['version'] == '1'
    assert [d['_id'] for d in cursor] == [6, 7, 8, 9]


def test_find_one_and(project, stored):
    users = project.collection(stored)
    assert users.find_one_and_update({'_id': 1}, {'$set': {'age': 7}},
                                     return_document=ReturnDocument.AFTER) == {**shape(1), 'age': 7}
    assert users.find_one_and_replace({'_id': 1}, {'first': 'B'}, return_document=ReturnDocument.AFTER) == {
        '_id': 1, 'first': 'B', 'schema_version': 2}
    assert users.find_one_and_delete({'_id': 3}) == shape(3)
    assert users.find_one_and_delete({'_id': 3}) is None
    # filters are on the target's shape, and so are updates: an old document has it before they meet it
    assert users.find_one_and_update({'last': 'L5'}, {'$set': {'last': 'M5'}}) == shape(5)
    assert stored.find_one(5) == {**shape(5), 'last': 'M5'}
    assert users.find_one_and_update({'first': 'Ariel'}, {'$set': {'x': 1}}, sort=[('_id', -1)])['_id'] == 9


def test_an_upsert_beside_an_insert(project, stored, monkeypatch):
    """What is to be inserted comes meanwhile, in the old shape: it is no duplicate then, but what is updated."""
    users = project.collection(stored)
    look = users._look

    def look_first(*args):
        found = look(*args)
        monkeypatch.undo()
        stored.insert_one({'_id': 20, 'name': 'Ariel L20'})
        return found

    monkeypatch.setattr(users, '_look', look_first)
    assert users.find_one_and_update({'_id': 20}, {'$set': {'x': 1}}, upsert=True,
                                     return_document=ReturnDocument.AFTER) == {**shape(20), 'x': 1}


def test_find_one_and_in_all_forms(project, stored):
    users = project.collection(stored)
    after = ReturnDocument.AFTER
    # an upsert has the version; a replacement, too
    new = users.find_one_and_update({'last': 'new'}, {'$set': {'x': 1}}, upsert=True, return_document=after)
    assert stored.find_one(new['_id']) == {**new} == {'_id': new['_id'], 'last': 'new', 'x': 1, 'schema_version': 2}
    assert users.find_one_and_update({'_id': 20}, [{'$set': {'y': 1}}], None, None, True) is None
    assert stored.find_one(20) == {'_id': 20, 'y': 1, 'schema_version': 2}
    assert users.find_one_and_replace({'_id': 21}, {'z': 1}, upsert=True, return_document=after) == {
        '_id': 21, 'z': 1, 'schema_version': 2}
    # an old document that matches is no reason to insert
    assert users.find_one_and_update({'last': 'L3'}, {'$set': {'x': 2}}, upsert=True, return_document=after)['_id'] == 3
    assert users.find_one_and_update({'_id': 1}, [{'$set': {'last': {'$concat': ['$first', '-', '$last']}}}],
                                     return_document=after)['last'] == 'Ariel-L1'
    assert users.find_one_and_update({'_id': 99}, {'$set': {'x': 1}}) is None
    # sorts are over all versions
    assert users.find_one_and_update({'first': 'Ariel'}, {'$set': {'x': 1}}, sort=[('last', -1)])['_id'] == 9
    assert users.find_one_and_delete({'_id': {'$lt': 9}}, sort={'_id': -1})['_id'] == 8
    assert users.find_one_and_replace({'first': 'Ariel'}, {'first': 'first'}, sort=[('_id', 1)])['_id'] == 0
    # array filters, and options that the search for an old document needs as well
    stored.insert_one({'_id': 30, 'name': 'A B', 'n': [{'a': 1}, {'a': 5}]})
    assert users.find_one_and_update({'_id': 30}, {'$set': {'n.$[e].a': 7}}, array_filters=[{'e.a': {'$gt': 3}}],
                                     return_document=after)['n'] == [{'a': 1}, {'a': 7}]
    assert users.find_one_and_update({'_id': 7}, [{'$set': {'x': '$$value'}}], let={'value': 3}, hint='_id_',
                                     comment='why', return_document=after) == {**shape(7), 'x': 3}
    with stored.database.client.start_session() as session:
        assert users.find_one_and_delete({'last': 'L5'}, session=session) == shape(5)
        with session.start_transaction():
            assert users.find_one_and_update({'last': 'Ariel-L1'}, {'$set': {'x': 4}}, session=session)['_id'] == 1
            session.abort_transaction()
    assert 'x' not in stored.find_one(1)


def test_watch(project, stored):
    users = project.collection(stored)
    with users.watch(full_document='updateLookup') as stream:
        assert stream.alive and stream.try_next() is None
        stored.insert_one({'_id': 20, 'name': 'Kim Lund'})
        stored.update_one({'_id': 4}, {'$set': {'last': 'X'}})
        stored.insert_one({'_id': 'bad', 'name': 3})
        stored.update_one({'_id': 3}, {'$set': {'name': 'Bo Li'}})
        stored.delete_one({'_id': 2})
        event = next(stream)
        assert event['operationType'] == 'insert' and event['fullDocument'] == {
            '_id': 20, 'first': 'Kim', 'last': 'Lund', 'schema_version': 2}
        assert stream.next()['fullDocument'] == {**shape(4), 'last': 'X'}
        with pytest.raises(eclose.UpgradeError, match='bad'):
            next(stream)
        event, token = next(stream), stream.resume_token
        assert event['updateDescription']['updatedFields'] == {'name': 'Bo Li'}
        assert event['fullDocument'] == {'_id': 3, 'first': 'Bo', 'last': 'Li', 'schema_version': 2}
        event = next(stream)
        assert event['operationType'] == 'delete' and 'fullDocument' not in event
    assert not stream.alive
    with users.watch(resume_after=token) as stream:
        assert next(stream)['documentKey'] == {'_id': 2}


def test_watch_refuses_parts_of_documents(project, stored):
    """A part would be upgraded as if it were all: without a version, from the first one on."""
    users = project.collection(stored)
    for pipeline in ([{'$project': {'fullDocument.first': 1}}], [{'$project': {'fullDocument': {'first': 1}}}],
                     [{'$match': {}}, {'$unset': ['updateDescription', 'fullDocumentBeforeChange.last']}],
                     [{'$unset': 'fullDocument.schema_version'}], [{'$set': {'fullDocument': '$fullDocument.first'}}]):
        with pytest.raises(InvalidOperation, match='whole documents'):
            users.watch(pipeline)
    for pipeline in ([{'$match': {'fullDocument.first': 'Kim'}}, {'$unset': 'updateDescription'}],
                     [{'$project': {'fullDocument': 1}}]):
        with users.watch(pipeline) as stream:
            stored.insert_one({'first': 'Kim', 'last': 'Lund', 'schema_version': 2})
            assert next(stream)['fullDocument']['last'] == 'Lund'


def test_large_documents(project, stored):
    users = project.collection(stored)
    stored.insert_one({'_id': 20, 'name': 'Kim Lund', 'data': 'x' * 3_000_000})
    stored.insert_many([{'_id': 100 + i, 'name': 'Kim Lund', 'data': 'x' * 1_000_000} for i in range(20)])
    assert sum(len(d['data']) for d in users.find({'_id': {'$gte': 20}})) == 23_000_000
    with users.edit(20) as user:
        user['n'] = 1
    assert users.find_one_and_update({'_id': 20}, {'$inc': {'n': 1}}, return_document=ReturnDocument.AFTER)['n'] == 2
    assert eclose.drain(users) == 0
    assert [d['_id'] for d in users.query({'_id': {'$gte': 100}}, {'_id': 1}, sort='_id')] == list(range(100, 120))


NUMBERS = {'eclose.yaml': 'collections: {scores: {unversioned: 1}}', 'scores/0002_best.yaml': '''
to: 2
up: [{$set: {best: {$max: $rounds.points}}}]
down: [{$unset: best}]
'''}


@pytest.mark.parametrize('project', [eclose.Project(files=NUMBERS), eclose.Project(functions={
    'scores': {1: lambda d: None, 2: lambda d: d.update(best=max(r['points'] for r in d['rounds']))}})])
def test_what_no_statement_can_compare_is_saved_in_a_transaction(project, db):
    """$eq takes 1 and 1.0 inside of arrays in arrays for the same; and what a function reads nobody knows."""
    db.scores.insert_one({'_id': 1, 'rounds': [{'points': 1}, {'points': 3, 'sets': [6]}]})
    scores = project.collection(db.scores)
    with scores._upgraders.borrow() as upgrader:
        stored = bson.encode(db.scores.find_one())
        assert upgrader.save(stored, bson.encode(scores.find_one()), scores._load)[0] == 2
    with scores.edit(1) as score:
        score['x'] = 1
    assert db.scores.find_one() == {'_id': 1, 'rounds': [{'points': 1}, {'points': 3, 'sets': [6]}], 'best': 3, 'x': 1,
                                    'schema_version': 2}
    db.scores.replace_one({'_id': 1}, {'rounds': [{'points': 1, 'sets': [6]}]})
    with pytest.raises(eclose.ConflictError) as caught, scores.edit(1) as score:
        db.scores.replace_one({'_id': 1}, {'rounds': [{'points': 1.0, 'sets': [6]}]})  # the same to $eq
        score['x'] = 2
    assert type(caught.value.current['rounds'][0]['points']) is float
    assert type(db.scores.find_one()['rounds'][0]['points']) is float and 'x' not in db.scores.find_one()
    db.scores.replace_one({'_id': 1}, {'rounds': [{'points': 1, 'sets': [6]}]})
    with pytest.raises(eclose.ConflictError), scores.edit(1) as score:
        db.scores.delete_one({})
        score['x'] = 2
    db.scores.insert_one({'_id': 1, 'rounds': [{'points': 5, 'sets': [6]}]})
    with db.client.start_session() as session:  # in the transaction of the program
        with session.start_transaction():
            with scores.edit(1, session=session) as score:
                score['x'] = 3
            session.abort_transaction()
        assert 'x' not in db.scores.find_one()
        with session.start_transaction():
            with scores.edit(1, session=session) as score:
                score['x'] = 3
        assert db.scores.find_one() == {'_id': 1, 'rounds': [{'points': 5, 'sets': [6]}], 'best': 5, 'x': 3,
                                        'schema_version': 2}


class Reads(monitoring.CommandListener):
    """The read preferences and read concerns of commands."""

    def __init__(self):
        self.asked = []
        self.concerns = set()

    def started(self, event):
        preference = event.command.get('$readPreference', {})
        self.asked.append((event.command_name, preference.get('mode', 'primary')))
        self.concerns.add(event.command.get('readConcern', {}).get('level', 'local'))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def test_what_a_write_depends_on_is_read_from_the_primary(project, db, uri):
    db.users.insert_many([{'_id': 1, 'name': 'Ariel L1'}, {'_id': 2, 'name': 'Kim L2'},
                          {'_id': 3, 'name': 'Bo L3', 'lines': [{'n': [1]}]}])
    reads = Reads()
    # Not a direct connection: through one, everything counts as a secondary.
    with MongoClient(uri, directConnection=False, read_preference=ReadPreference.SECONDARY_PREFERRED,
                     readConcernLevel='majority', event_listeners=[reads]) as client:
        users = project.collection(client[db.name].users)
        assert users.find_one(1)['first'] == 'Ariel'
        assert ('find', 'secondaryPreferred') in reads.asked  # what the program reads is where it wants it
        assert 'majority' in reads.concerns
        reads.asked.clear()
        reads.concerns.clear()
        users.find_one_and_update({'last': 'L1'}, {'$set': {'n': 1}}, upsert=True)
        users.find_one_and_update({'_id': 2}, {'$set': {'n': 1}})
        assert {name for name, _ in reads.asked} >= {'find', 'aggregate', 'update', 'findAndModify'}
        assert {preference for _, preference in reads.asked} == {'primary'}
        assert reads.concerns == {'local'}  # not what the majority has: that may be older
        with users.edit(3) as user:  # in a transaction, for the number deep in the array
            reads.asked.clear()
            user['n'] = 1
        assert {preference for _, preference in reads.asked} == {'primary'}
        with pytest.raises(eclose.ConflictError) as conflict, users.edit(2) as user:
            user['n'] = 2
            db.users.update_one({'_id': 2}, {'$set': {'n': 3}})
            reads.asked.clear()
        assert conflict.value.current['n'] == 3
        assert ('find', 'primary') in reads.asked
    assert [user['n'] for user in db.users.find().sort('_id', 1)] == [1, 3, 1]


def test_a_collation_hides_no_change_of_somebody_else(project, db):
    db.create_collection('users', collation={'locale': 'en', 'strength': 2})
    db.users.insert_one({'_id': 1, 'name': 'Ariel Lund'})
    users = project.collection(db.users)
    with pytest.raises(eclose.ConflictError) as caught, users.edit(1) as user:
        db.users.update_one({'_id': 1}, {'$set': {'name': 'ARIEL LUND'}})  # the same to the collation
        user['login'] = 'ariel'
    assert caught.value.current['last'] == 'LUND' and 'login' not in db.users.find_one()
    with users.edit(1) as user:
        user['login'] = 'ariel'
    assert db.users.find_one() == {'_id': 1, 'first': 'ARIEL', 'last': 'LUND', 'login': 'ariel', 'schema_version': 2}


def test_what_is_known_of_a_collection_is_not_believed_of_another_server(project, db, uri):
    if '127.0.0.1' not in uri:
        pytest.skip('the server has no second name here')
    users = project.collection(db.users)
    db.users.insert_one({'_id': 1, 'name': 'Ariel Lund'})
    with users.edit(1) as user:
        user['login'] = 'ariel'
    db.users.drop()
    db.create_collection('users', collation={'locale': 'en', 'strength': 2})
    db.users.insert_one({'_id': 1, 'name': 'Ariel Lund'})
    with MongoClient(uri.replace('127.0.0.1', 'localhost')) as other:
        users = project.collection(other[db.name].users)
        with pytest.raises(eclose.ConflictError), users.edit(1) as user:
            db.users.update_one({'_id': 1}, {'$set': {'name': 'ARIEL LUND'}})  # the same to the collation
            user['login'] = 'ariel'


def test_a_save_that_nobody_acknowledges_is_refused(project, stored):
    users = project.collection(stored.with_options(write_concern=WriteConcern(0)))
    with pytest.raises(InvalidOperation, match='acknowledged'), users.edit(1) as user:
        user['last'] = 'X'
    assert stored.find_one(1) == {'_id': 1, 'name': 'Ariel L1'}


def test_query(project, stored):
    users = project.collection(stored)
    assert sorted(d['_id'] for d in users.query({'last': {'$in': ['L3', 'L4']}})) == [3, 4]
    assert list(users.query({}, {'_id': 0, 'last': 1}, sort=[('_id', -1)], skip=1, limit=2)) == [
        {'last': 'L8'}, {'last': 'L7'}]
    assert list(users.query({'_id': 3})) == [shape(3)]
    assert users.query({'last': 'L3'}).to_list() == [shape(3)]
    answer = users.query({'first': 'Ariel'}, sort=[('_id', 1)])
    assert answer[4] == shape(4) and answer.alive and next(answer) == next(copy.copy(answer)) == shape(0)
    assert [d['_id'] for d in answer.clone()[2:5]] == [2, 3, 4]
    answer.rewind()
    assert answer.to_list() == [shape(i) for i in range(10)] and not answer.alive


def test_a_collection_that_the_migrations_call_otherwise(project, stored):
    stored.database.users.aggregate([{'$match': {'_id': {'$gte': 4}}}, {'$out': 'people'}])
    people = project.collection(stored.database.people, name='users')
    assert list(people.query({'first': 'Ariel'}, sort='_id')) == [shape(i) for i in range(4, 10)]
    assert list(people.aggregate([{'$count': 'n'}])) == [{'n': 6}]
    assert people.find_one_and_update({'last': 'L5'}, {'$set': {'x': 1}})['_id'] == 5


def test_aggregate_sees_the_target(project, stored):
    users = project.collection(stored)
    assert list(users.aggregate([{'$match': {'last': {'$gt': 'L4'}}}, {'$count': 'n'}])) == [{'n': 5}]
    assert list(users.aggregate([{'$group': {'_id': '$first', 'n': {'$sum': 1}}}])) == [{'_id': 'Ariel', 'n': 10}]
    with pytest.raises(InvalidOperation):
        users.aggregate([{'$collStats': {}}])


def test_a_chain_with_a_function_is_not_queried_on_the_server(stored):
    project = eclose.Project(functions={'users': {1: lambda document: None}})
    users = project.collection(stored)
    with pytest.raises(eclose.EcloseError):
        users.query({'last': 'L3'})
    assert users.find_one_and_update({'_id': 3}, {'$set': {'x': 1}})['schema_version'] == 1


def test_writes_are_stamped(project, db):
    users = project.collection(db.users)
    document = {'first': 'A', 'last': 'B'}
    assert users.insert_one(document).inserted_id == document['_id']
    users.insert_many([{'_id': 2}, {'_id': 3}])
    users.replace_one({'_id': 2}, {'last': 'C'})
    users.replace_one({'_id': 4}, {'last': 'D'}, upsert=True)
    users.bulk_write([InsertOne({'_id': 5}), ReplaceOne({'_id': 3}, {'last': 'E'}), DeleteOne({'_id': 4})])
    assert list(db.users.find({'_id': {'$type': 'number'}}, sort=[('_id', 1)])) == [
        {'_id': 2, 'last': 'C', 'schema_version': 2}, {'_id': 3, 'last': 'E', 'schema_version': 2},
        {'_id': 5, 'schema_version': 2}]
    assert db.users.find_one(document['_id']) == {**document, 'schema_version': 2}


def test_what_upserts_insert_is_stamped(project, db, stored):
    users = project.collection(stored)
    users.update_one({'_id': 20}, {'$set': {'last': 'X'}, '$setOnInsert': {'new': True}}, upsert=True)
    users.update_many({'_id': 21}, {'$set': {'last': 'X'}}, True)
    users.bulk_write([UpdateOne({'_id': 22}, {'$set': {'last': 'X'}}, upsert=True),
                      UpdateMany({'_id': 23}, {'$set': {'last': 'X'}}, upsert=True),
                      UpdateOne({'_id': 1}, {'$set': {'login': 'a'}}, upsert=True)])
    assert list(db.users.find({'_id': {'$gte': 20}}, sort=[('_id', 1)])) == [
        {'_id': i, 'last': 'X', 'schema_version': 2, **({'new': True} if i == 20 else {})} for i in range(20, 24)]
    assert stored.find_one(1) == {'_id': 1, 'name': 'Ariel L1', 'login': 'a'}  # was there, and stays what it is
    users.update_one({'_id': 24}, {'$set': {'schema_version': 1, 'name': 'A B'}}, upsert=True)
    assert stored.find_one(24)['schema_version'] == 1  # says it itself
    for refused in (lambda: users.update_one({'_id': 25}, [{'$set': {'last': 'X'}}], upsert=True),
                    lambda: users.bulk_write([UpdateOne({'_id': 25}, [{'$set': {'last': 'X'}}], upsert=True)])):
        with pytest.raises(InvalidOperation, match='find_one_and_update'):
            refused()
    users.find_one_and_update({'_id': 25}, [{'$set': {'last': 'X'}}], upsert=True)
    assert stored.find_one(25) == {'_id': 25, 'last': 'X', 'schema_version': 2}
    assert users.update_one({'_id': 3}, [{'$set': {'login': 'x'}}]).modified_count == 1  # inserts nothing


def test_what_upserts_insert_has_its_version_where_that_lies_deep(db):
    settings = '{collections: {users: {version_field: meta.v, version_format: dotted}}}'
    project = eclose.Project(files={'eclose.yaml': settings, 'users/1.2.0_x.yaml': 'to: 1.2.0\nup: [{$set: {n: 1}}]'})
    users = project.collection(db.users)
    users.update_one({'_id': 1}, {'$set': {'meta.by': 'me'}}, upsert=True)
    assert db.users.find_one(1) == {'_id': 1, 'meta': {'by': 'me', 'v': '1.2.0'}} == users.find_one(1)
    assert users.find_one_and_update({'_id': 2, 'meta.by': 'me'}, {'$set': {'n': 2}}, upsert=True) is None
    assert db.users.find_one(2) == {'_id': 2, 'meta': {'by': 'me', 'v': '1.2.0'}, 'n': 2}


def test_edit(project, stored):
    users = project.collection(stored)
    with users.edit({'_id': 1}) as user:
        user['last'] = 'X'
    assert stored.find_one(1) == {**shape(1), 'last': 'X'}
    with pytest.raises(eclose.ConflictError) as caught, users.edit(1) as user:
        stored.update_one({'_id': 1}, {'$set': {'last': 'theirs'}})
        user['last'] = 'mine'
    assert caught.value.current['last'] == 'theirs' == stored.find_one(1)['last']
    with pytest.raises(ZeroDivisionError), users.edit(1) as user:
        user['last'] = 'mine'
        1 / 0
    assert stored.find_one(1)['last'] == 'theirs'
    with pytest.raises(LookupError), users.edit(99):
        pass


def test_an_older_program_edits_only_where_nothing_is_lost(project, stored):
    old = project.collection(stored, target=1)
    with old.edit(4) as user:
        user['name'] = 'Kim Lund'
    assert project.collection(stored).find_one(4) == {'_id': 4, 'first': 'Kim', 'last': 'Lund', 'schema_version': 2}
    stored.update_one({'_id': 6}, {'$set': {'last': 'two words'}})
    with pytest.raises(eclose.LossyError), old.edit(6) as user:
        user['name'] = 'Kim Lund'


def test_what_does_not_upgrade_is_refused_and_the_rest_is_the_originals(project, stored):
    users = project.collection(stored)
    with pytest.raises(AttributeError, match='stored'):
        users.find_raw_batches()
    with pytest.raises(AttributeError, match='stored'):
        users.aggregate_raw_batches([])
    for option in ('return_key', 'show_record_id'):
        with pytest.raises(InvalidOperation, match=option):
            users.find({}, **{option: True})
    assert users.count_documents({}) == 10 and users.name == 'users' and users.stored is stored
    with pytest.raises(TypeError):
        project.collection(bson)


def test_the_asynchronous_half_of_pymongo_is_refused(project):
    database = AsyncMongoClient(connect=False).shop
    with pytest.raises(TypeError, match='blocking'):
        project.collection(database.users)
    with pytest.raises(TypeError, match='blocking'):
        project.migrate(database)
    with pytest.raises(TypeError, match='blocking'):
        project.leader(database)
    with pytest.raises(TypeError, match='blocking'):
        project.upgrade('users', {'_id': 1, 'name': 'Kim Lund'}, database=database)
    with pytest.raises(TypeError, match='to_list'):  # it would pass for an empty one
        eclose.Project(files=FILES, documents=database.eclose_catalog.find())

    class Collection:  # of a driver that only looks like pymongo, as mongomock's does
        name = 'users'

    with pytest.raises(TypeError, match=rf'not {__name__}\..*Collection'):
        project.collection(Collection())


def test_aggregate_in_all_forms(project, stored):
    users = project.collection(stored)
    match = {'$match': {'last': {'$in': ['L1', 'L2', 'L3']}}}
    assert sorted(d['_id'] for d in users.aggregate([match])) == [1, 2, 3]
    assert users.aggregate([match, {'$sort': {'_id': 1}}]).to_list() == [shape(1), shape(2), shape(3)]
    assert len(users.aggregate([]).to_list()) == 10
    assert users.aggregate([{'$sort': {'_id': -1}}, {'$limit': 1}], batchSize=2).next() == shape(9)
    assert list(users.aggregate([{'$project': {'_id': 0, 'last': 1}}, {'$match': {'last': 'L5'}}])) == [{'last': 'L5'}]
    assert [d['_id'] for d in users.aggregate([match, {'$sort': {'_id': 1}}], batchSize=1, comment='why')] == [1, 2, 3]
    with stored.database.client.start_session() as session:
        assert len(users.aggregate([match], session=session).to_list()) == 3
    with users.aggregate([match, {'$group': {'_id': None, 'names': {'$addToSet': '$first'}}}]) as cursor:
        assert next(cursor) == {'_id': None, 'names': ['Ariel']}


def test_aggregate_is_carried_out_at_once(project, stored):
    users = project.collection(stored)
    users.aggregate([{'$match': {'_id': 3}}, {'$out': 'copies'}])
    assert list(stored.database.copies.find()) == [shape(3)]
    with pytest.raises(OperationFailure):
        users.aggregate([{'$noSuchStage': {}}])


def test_answers_refuse_what_comes_too_late(project, stored):
    users = project.collection(stored)
    answer = users.query({'first': 'Ariel'}, sort='_id')
    with pytest.raises(AttributeError, match='argument'):
        answer.sort('_id', -1)
    next(answer)
    for option in (answer.skip, answer.limit):
        with pytest.raises(InvalidOperation):
            option(1)
    assert answer.cursor_id is not None and answer.rewind().limit(1).to_list() == [shape(0)]


def test_lookups_of_a_batch_are_one_query(db):
    project = eclose.Project(files={
        'devices/0001_tags.yaml': '''
to: 1
up:
  - $lookup: {from: products, localField: product, foreignField: _id, as: product}
  - $set: {tags: {$first: $product.tags}}
'''})
    db.products.insert_many([{'_id': i, 'tags': [str(i)]} for i in range(5)])
    db.devices.insert_many([{'_id': i, 'product': i % 5} for i in range(50)])
    devices = project.collection(db.devices)
    queries = []
    load = devices._load
    devices._load = lambda collection, filter: queries.append(collection) or load(collection, filter)
    assert all(d['tags'] == [str(d['_id'] % 5)] for d in devices.find())
    assert queries == ['products']


def test_lookups_find_what_is_stored_in_an_older_shape(db):
    def colleagues(document, context):
        document['colleagues'] = sorted(found['_id'] for found in context.find('users', 'last', document['last']))

    project = eclose.Project(files=FILES, functions={'people': {1: colleagues}, 'users': {}})
    db.users.insert_many([{'_id': 1, 'name': 'Ariel Lund'}, {'_id': 2, 'last': 'Lund', 'schema_version': 2},
                          {'_id': 3, 'name': 'Kim Bo'}])
    db.people.insert_many([{'_id': 1, 'last': 'Lund'}, {'_id': 2, 'last': 'Bo'}])
    assert [d['colleagues'] for d in project.collection(db.people).find().sort('_id', 1)] == [[1, 2], [3]]
    project = eclose.Project(functions={'people': {1: colleagues}, 'users': {1: lambda document: None}})
    with pytest.raises(eclose.UpgradeError, match='function') as caught:
        project.upgrade('people', {'_id': 1, 'last': 'Lund'}, database=db)
    assert isinstance(caught.value.__cause__, eclose.EcloseError)


def test_drain(project, stored):
    users = project.collection(stored)
    stored.insert_one({'_id': 'bad', 'name': 3})
    assert eclose.drain(users, limit=2) == 4
    assert eclose.drain(users, batch=2) == 1  # the one that fails
    assert stored.count_documents({'schema_version': 2}) == 10


def test_threads_share_a_collection(project, db):
    db.users.insert_many([{'_id': i, 'name': f'Ariel L{i}'} for i in range(2000)])
    users = project.collection(db.users)
    wrong = []

    def read():
        try:
            wrong.extend(d for d in users.find(batch_size=100) if d != shape(d['_id']))
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_reads_in_a_session(project, stored):
    with stored.database.client.start_session() as session:
        assert project.collection(stored).find_one(3, session=session) == shape(3)
    assert isinstance(project.collection(stored).stored, Collection)
