"""Documents of mongoengine that change their shape."""

import datetime
import pickle
import uuid

import pytest
from bson import Binary, ObjectId
from mongoengine import DateTimeField, Document, IntField, ListField, ReferenceField, StringField, UUIDField
from mongoengine.errors import InvalidQueryError

import eclose
from eclose.mongoengine import Conflict, EvolvingDocument, drain


class Product(Document):
    name = StringField()
    tags = ListField(StringField())


def add_tags_from_product(device):
    product = Product.objects(id=device.get('product')).first()
    device['tags'] = product.tags if product else []


class IoTDevice(EvolvingDocument):
    name = StringField(required=True)
    product = ReferenceField(Product)
    tags = ListField(StringField())
    count = IntField(default=0)
    schema_updates = {2: add_tags_from_product, 3: [{'$unset': 'legacy'}]}


class Human(EvolvingDocument):
    id = IntField(primary_key=True)
    name = StringField()
    meta = {'allow_inheritance': True, 'version_field': '_v'}
    schema_updates = {
        1: [{'$set': {'_cls': {'$switch': {
            'branches': [{'case': {'$ne': ['$_cls', 'Human.Jedi']}, 'then': '$_cls'},
                         {'case': '$dark_side', 'then': 'Human.BadSith'}],
            'default': 'Human.GoodJedi'}}}}, {'$unset': 'dark_side'}],
    }


class GoodJedi(Human):
    master = StringField()


class BadSith(Human):
    pass


class Sensor(EvolvingDocument):
    name = StringField()


class Reading(Document):
    device = ReferenceField(IoTDevice)


@pytest.fixture
def device(db, mongo):
    product = Product(name='lamp', tags=['light', 'e27']).save()
    db.io_t_device.insert_one({'_id': product.id, 'name': 'a', 'product': product.id, 'legacy': 1})
    return product.id


def test_loads_upgraded_and_writes_nothing(db, device):
    before = db.io_t_device.find_one()
    found = IoTDevice.objects.get(id=device)
    assert found.tags == ['light', 'e27'] and found.name == 'a' and not hasattr(found, 'legacy')
    assert IoTDevice.objects.first().tags == ['light', 'e27']
    assert IoTDevice.objects[0].tags == ['light', 'e27']
    assert IoTDevice.objects.in_bulk([device])[device].tags == ['light', 'e27']
    assert [d.tags for d in IoTDevice.objects[0:1]] == [['light', 'e27']]
    assert IoTDevice.objects.as_pymongo().first()['tags'] == ['light', 'e27']
    assert db.io_t_device.find_one() == before


def test_query_sets_without_a_cache(db, device):
    for objects in (IoTDevice.objects.no_cache(), IoTDevice.objects.no_cache().cache()):
        assert isinstance(objects._cursor, eclose.Cursor)
        assert [d.tags for d in objects] == [['light', 'e27']] and [d.name for d in objects.filter(name='a')] == ['a']
    found = IoTDevice.objects.no_cache().get(id=device)
    found.save()
    assert db.io_t_device.find_one()['schema_version'] == 3


def test_save_writes_the_shape_and_the_version(db, device):
    found = IoTDevice.objects.get(id=device)
    found.count = 5
    found.save()
    assert db.io_t_device.find_one() == {
        '_id': device, 'name': 'a', 'product': device, 'tags': ['light', 'e27'], 'count': 5, 'schema_version': 3}
    # the next change is mongoengine's own: only that field
    found.name = 'b'
    found.save()
    assert db.io_t_device.find_one()['name'] == 'b'
    assert db.io_t_device.find_one()['schema_version'] == 3


def test_save_without_a_change_saves_the_upgrade(db, device):
    IoTDevice.objects.get(id=device).save()
    assert db.io_t_device.find_one()['schema_version'] == 3


def test_changes_reach_into_lists_and_unset(db, device):
    found = IoTDevice.objects.get(id=device)
    found.tags[1] = 'e14'
    found.product = None
    found.save()
    stored = db.io_t_device.find_one()
    assert stored['tags'] == ['light', 'e14'] and 'product' not in stored


def test_never_over_somebody_elses_change(db, device):
    found = IoTDevice.objects.get(id=device)
    db.io_t_device.update_one({}, {'$set': {'name': 'theirs'}})
    found.name = 'mine'
    with pytest.raises(Conflict):
        found.save()
    assert db.io_t_device.find_one()['name'] == 'theirs'
    found.reload()
    found.name = 'mine'
    found.save()
    assert db.io_t_device.find_one()['name'] == 'mine'


def test_never_into_a_newer_document(db, device):
    found = IoTDevice.objects.get(id=device).save()
    db.io_t_device.update_one({}, {'$set': {'schema_version': 4, 'title': 'a'}, '$unset': {'name': 1}})
    found.name = 'mine'
    with pytest.raises(Conflict):
        found.save()
    assert 'name' not in db.io_t_device.find_one()


def test_pickled_between_load_and_save(db, device):
    found = pickle.loads(pickle.dumps(IoTDevice.objects.get(id=device)))
    found.save()
    assert db.io_t_device.find_one()['schema_version'] == 3


def test_new_documents_are_of_the_last_version(db, mongo):
    IoTDevice(name='new').save()
    IoTDevice.objects.insert([IoTDevice(name='newer')])
    assert [d['schema_version'] for d in db.io_t_device.find()] == [3, 3]
    assert sorted(d.name for d in IoTDevice.objects) == ['new', 'newer']


def test_deleted_meanwhile_is_saved_as_by_mongoengine(db, device):
    found = IoTDevice.objects.get(id=device).save()
    db.io_t_device.delete_many({})
    found.name = 'again'
    found.save()
    stored = db.io_t_device.find_one()
    assert stored['name'] == 'again' and stored['schema_version'] == 3


def test_updates_of_what_is_stored_in_another_shape_are_refused(db, device):
    found = IoTDevice.objects.get(id=device)
    for call in (found.update, found.modify):
        with pytest.raises(eclose.EcloseError, match='save'):
            call(name='x')
    found.save()
    found.update(name='x')
    assert db.io_t_device.find_one()['name'] == 'x'


def test_references_are_upgraded(db, device):
    db.reading.insert_one({'device': device})
    assert Reading.objects.first().device.tags == ['light', 'e27']


class Badge(EvolvingDocument):
    key = UUIDField()
    seen = DateTimeField()
    n = IntField()
    schema_updates = {1: [{'$set': {'n': 1}}]}


class Badges(Document):
    badge = ReferenceField(Badge)


def test_references_have_the_types_of_the_connection(db, mongo):
    key, seen = uuid.uuid4(), datetime.datetime(2026, 1, 2)
    db.badge.insert_one({'_id': ObjectId(), 'key': Binary.from_uuid(key), 'seen': seen})
    db.badges.insert_one({'badge': db.badge.find_one()['_id']})
    for badge in (Badge.objects.first(), Badges.objects.first().badge, Badge.objects.modify(set__n=5)):
        assert (badge.key, badge.seen, badge.n) == (key, seen, 1)
        badge.validate()


def test_a_version_field_is_one_field(mongo):
    class Deep(EvolvingDocument):
        meta = {'version_field': 'meta.version'}
        schema_updates = {1: []}

    class Double(EvolvingDocument):
        schema_version = IntField()
        schema_updates = {1: []}

    for wrong, name in ((Deep, 'meta.version'), (Double, 'schema_version')):
        with pytest.raises(TypeError, match=name):
            wrong.objects.first()


def test_only_and_exclude(db, device):
    found = IoTDevice.objects.only('tags').first()
    assert found.tags == ['light', 'e27'] and found.name is None
    assert IoTDevice.objects.exclude('tags').first().tags == []
    assert IoTDevice.objects.scalar('name', 'tags').first() == ('a', ['light', 'e27'])
    with pytest.raises(InvalidQueryError):
        IoTDevice.objects.fields(slice__tags=1).first()


def test_parts_of_documents_are_upgraded_from_whole_ones(db, device):
    found = IoTDevice.objects.only('name').in_bulk([device])
    assert found[device].name == 'a' and db.io_t_device.find_one()['legacy']
    assert IoTDevice.objects.only('tags').in_bulk([device])[device].tags == ['light', 'e27']
    with pytest.raises(InvalidQueryError, match='whole'):
        IoTDevice.objects.only('name').modify(set__name='x')


def test_what_upserts_insert_is_of_the_last_version(db, mongo):
    new = [ObjectId() for _ in range(4)]
    IoTDevice.objects(id=new[0]).update_one(upsert=True, set__name='a', set__tags=['mine'])
    assert IoTDevice.objects(id=new[1]).upsert_one(set__name='a', set__tags=['mine']).tags == ['mine']
    made = IoTDevice.objects(id=new[2]).modify(upsert=True, new=True, set__name='a', set__tags=['mine'],
                                               __raw__={'$setOnInsert': {'count': 3}})
    assert made.tags == ['mine'] and made.count == 3
    IoTDevice.objects(id=new[3]).update(True, set_on_insert__name='a', set__tags=['mine'])
    assert [d['tags'] for d in db.io_t_device.find({'schema_version': 3, 'name': 'a'})] == [['mine']] * 4
    assert [d.tags for d in IoTDevice.objects] == [['mine']] * 4
    with pytest.raises(InvalidQueryError, match='version'):
        IoTDevice.objects(id=ObjectId()).update(upsert=True, __raw__=[{'$set': {'name': 'a'}}])


class Counter(EvolvingDocument):
    id = IntField(primary_key=True)
    n = IntField()
    schema_updates = {1: [{'$set': {'n': {'$add': ['$n', 1]}}}]}


def test_evolved_never_meets_what_is_stored(db, mongo):
    stored = [{'_id': 1, 'n': 5}, {'_id': 2, 'n': 6}, {'_id': 3, 'n': 6, 'schema_version': 1}]
    db.counter.insert_many(stored)
    asked = Counter.objects(n=6).evolved()
    options = Counter.objects(n=6).hint('_id_').comment('why').batch_size(1).collation({'locale': 'simple'})
    assert {c.id for c in asked} == {c.id for c in options.evolved()} == {1, 3}
    assert (asked.count(), asked.limit(1).count(True), asked.skip(1).count(True), asked[5:9].count(True)) == (2, 1, 1, 0)
    assert Counter.objects(n=99).evolved().count() == 0 and Counter.objects.evolved().none().count() == 0
    assert [c.id for c in asked.clone().order_by('id').no_cache()] == [1, 3]
    for wrong in (asked.delete, lambda: asked.update(set__n=1), lambda: asked.update_one(set__n=1),
                  lambda: asked.filter(id=2).upsert_one(set__n=1), lambda: asked.modify(set__n=1),
                  lambda: asked.modify(remove=True), lambda: asked.aggregate([]), lambda: asked.sum('n'),
                  lambda: asked.average('n'), lambda: asked.distinct('n'), lambda: asked.item_frequencies('n'),
                  lambda: asked.in_bulk([1]), asked.explain):
        with pytest.raises(InvalidQueryError, match='stored'):
            wrong()
    assert list(db.counter.find(sort=[('_id', 1)])) == stored
    assert Counter.objects(n=6).sum('n') == 12 and Counter.objects(n=6).delete() == 2  # as they are stored


def test_what_fails_says_which(db, device):
    class Failing(EvolvingDocument):
        meta = {'collection': 'failing'}
        schema_updates = {1: lambda document: document['not there']}

    db.failing.insert_one({'_id': 5})
    with pytest.raises(eclose.UpgradeError, match='failing, _id 5') as caught:
        list(Failing.objects)
    assert isinstance(caught.value.__cause__, KeyError)


def test_functions_may_return_a_document_and_use_the_context(db, mongo):
    calls = []

    def describe(document, context):
        calls.append(document['_id'])
        found = context.find('product', '_id', document['product'])
        return {**document, 'description': found[0]['name']}

    class Described(EvolvingDocument):
        product = IntField()
        description = StringField()
        meta = {'collection': 'described'}
        schema_updates = {2: describe}

    db.product.insert_many([{'_id': i, 'name': f'product {i}'} for i in range(3)])
    db.described.insert_many([{'_id': i, 'product': i % 3} for i in range(9)])
    assert {d.id: d.description for d in Described.objects} == {i: f'product {i % 3}' for i in range(9)}


def test_inheritance(db, mongo):
    db.human.insert_many([{'_id': 1, '_cls': 'Human.Jedi', 'name': 'Obi-Wan', 'dark_side': False},
                          {'_id': 2, '_cls': 'Human.Jedi', 'name': 'Anakin', 'dark_side': True},
                          {'_id': 3, '_cls': 'Human', 'name': 'Han'}])
    assert [type(h) for h in Human.objects.order_by('_id')] == [GoodJedi, BadSith, Human]
    Human.objects.get(id=2).save()
    assert db.human.find_one(2) == {'_id': 2, '_cls': 'Human.BadSith', 'name': 'Anakin', '_v': 1}
    assert BadSith.objects.count() == 1
    assert [type(h) for h in Human.objects.no_cache().order_by('_id')] == [GoodJedi, BadSith, Human]
    # filters of inherited classes meet what is stored, unless they are asked in the new shape
    assert [h.name for h in GoodJedi.objects] == []
    assert [h.name for h in GoodJedi.objects.evolved()] == ['Obi-Wan']
    assert [h.name for h in GoodJedi.objects(name='Obi-Wan').order_by('name').limit(1).evolved()] == ['Obi-Wan']

    class Rebel(Human):
        schema_updates = {2: []}

    with pytest.raises(TypeError, match='belongs to Human'):
        list(Rebel.objects)


def test_classes_without_updates_are_as_ever(db, mongo):
    Sensor(name='a').save()
    assert Sensor.objects.first().name == 'a' and set(db.sensor.find_one()) == {'_id', 'name'}


def test_drain(db, mongo):
    product = Product(name='lamp', tags=['light']).save()
    db.io_t_device.insert_many([{'_id': i, 'name': str(i), 'product': product.id} for i in range(25)])
    assert drain(IoTDevice, limit=10) == 15
    assert db.io_t_device.count_documents({'schema_version': 3, 'tags': ['light']}) == 10
    assert drain(IoTDevice, delay=0.001, batch=4) == 0
    assert db.io_t_device.count_documents({'schema_version': 3}) == 25


def test_versions_are_integers(mongo):
    class Wrong(EvolvingDocument):
        schema_updates = {'2': []}

    with pytest.raises(TypeError, match='integer'):
        list(Wrong.objects)
