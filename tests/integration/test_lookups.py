"""$lookup in document migrations: up, down, plan and verify carry out what an upgrade reads from other collections."""

import json
import threading

from works import put

DEVICES = '''to: 1
up:
  - $lookup: {from: products, localField: product, foreignField: _id, as: found}
  - $set: {tags: {$ifNull: [{$first: $found.labels}, [none]]}}
  - $unset: found
down:
  - $lookup: {from: products, localField: product, foreignField: _id, as: found}
  - $set: {old_tags: $found.labels}
  - $unset: [tags, found]
schema: {required: [tags]}
'''
# By a field that products have only since version 1, and with the makers of what is found.
BY_SKU = '''to: 1
up:
  - $lookup:
      from: products
      let: {sku: $sku}
      pipeline: [{$match: {$expr: {$eq: [$sku, $$sku]}}}, {$project: {_id: 0, labels: 1, maker: 1}}]
      as: found
'''
PRODUCTS = '''to: 1
up: [{$set: {labels: [$label], sku: $code}}, {$unset: [label, code]}]
down: irreversible
'''
MAKER = '''to: 2
up:
  - $lookup: {from: makers, localField: maker, foreignField: _id, as: maker}
  - $set: {maker: {$first: $maker.name}}
'''


def write(eclose, devices, *products):
    files = {'devices': [devices], 'products': products}
    for collection, texts in files.items():
        for i, text in enumerate(texts):
            put(eclose.folder, f'migrations/{collection}/{i + 1:04d}_step.yaml', text)
    put(eclose.folder, 'eclose.yaml', 'unversioned: 0\n')


def up(eclose, *args, rc=0):
    return json.loads(eclose('up', 'devices', *args, '--format', 'json', rc=rc).out.splitlines()[-1])


def load(db, n):
    db.products.insert_many([{'_id': i, 'label': f'p{i}', 'code': f'c{i}'} for i in range(0, 20, 2)])
    db.products.insert_many([{'_id': i, 'labels': [f'p{i}'], 'sku': f'c{i}', 'schema_version': 1}
                             for i in range(1, 20, 2)])
    db.devices.insert_many([{'_id': i, 'product': i % 25, 'sku': f'c{i % 25}', 'n': 0} for i in range(n)])


def test_devices_get_the_tags_of_their_products(eclose, db):
    write(eclose, DEVICES, PRODUCTS)
    load(db, 2500)
    planned = json.loads(eclose('plan', 'devices', '--format', 'json', rc=0).out.splitlines()[-1])
    assert planned['mode'] == 'client' and 'other collections' in planned['why']
    assert all('diff' in sample for sample in planned['samples']), planned
    assert 'pushed down' in eclose('up', 'devices', '--mode', 'pushdown', rc=1).err
    done = up(eclose)
    assert (done['changed'], done['quarantined'], done['mode']) == (2500, 0, 'client')
    for device in db.devices.find():
        product = device['product']
        assert device == {'_id': device['_id'], 'product': product, 'sku': f'c{product}', 'n': 0,
                          'tags': [f'p{product}'] if product < 20 else ['none'], 'schema_version': 1}
    # What is looked up is upgraded for the reader, not saved.
    assert db.products.count_documents({'schema_version': {'$exists': False}}) == 10
    eclose('verify', 'devices', '--all', rc=0)
    assert up(eclose)['wrote'] is False
    eclose('down', 'devices', '--to', 0, rc=0)
    device = db.devices.find_one({'_id': 3})
    assert device == {'_id': 3, 'product': 3, 'sku': 'c3', 'n': 0, 'schema_version': 0, 'old_tags': [['p3']]}


def test_verify_looks_up_for_documents_that_are_not_there_yet(eclose, db):
    write(eclose, DEVICES.replace('[none]', '$$REMOVE'), PRODUCTS)
    load(db, 600)
    bad = [json.loads(line) for line in eclose('verify', 'devices', '--all', '--format', 'json', rc=5).out.splitlines()]
    assert bad[-1] == {'collection': 'devices', 'documents': 600, 'bad': 120, 'hybrids': 0, 'schema': True}
    assert {b['id'] % 25 for b in bad[:-1]} == {20, 21, 22, 23, 24}


def test_by_a_field_that_was_renamed_and_through_two_collections(eclose, db):
    write(eclose, BY_SKU, PRODUCTS, MAKER)
    load(db, 500)
    db.products.update_many({}, {'$set': {'maker': 'm'}})
    db.makers.insert_one({'_id': 'm', 'name': 'Maker'})
    up(eclose)
    for device in db.devices.find():
        i = device['product']
        assert device['found'] == ([{'maker': 'Maker', 'labels': [f'p{i}']}] if i < 20 else []), device


def test_by_a_field_that_is_computed(eclose, db):
    write(eclose, BY_SKU, PRODUCTS.replace('sku: $code', 'sku: {$concat: [$code, ""]}'))
    load(db, 500)
    up(eclose)
    for device in db.devices.find():
        i = device['product']
        assert device['found'] == ([{'labels': [f'p{i}']}] if i < 20 else []), device


def test_what_is_looked_up_and_cannot_be_upgraded_fails_those_that_want_it(eclose, db):
    write(eclose, DEVICES, PRODUCTS.replace('[$label]', '[{$trim: {input: $label}}]'))
    load(db, 500)
    db.products.update_one({'_id': 4}, {'$set': {'label': 7}})
    db.products.update_one({'_id': 5}, {'$set': {'schema_version': 99}})
    done = up(eclose, rc=5)
    assert (done['changed'], done['quarantined']) == (460, 40)
    reasons = {q['_id']['id'] % 25: q['error']['message'] for q in db.eclose_quarantine.find()}
    assert sorted(reasons) == [4, 5] and all('products' in r and 'looked up' in r for r in reasons.values()), reasons
    db.products.update_one({'_id': 4}, {'$set': {'label': 'p4'}})
    db.products.update_one({'_id': 5}, {'$set': {'schema_version': 1}})
    assert up(eclose)['changed'] == 40
    assert db.eclose_quarantine.count_documents({}) == 0


def test_a_key_that_no_query_takes_fails_its_document_alone(eclose, db):
    """As an import leaves it that stores Extended JSON as it is written: a server refuses {$in: [{$oid: ...}]}."""
    write(eclose, DEVICES, PRODUCTS)
    load(db, 50)
    db.devices.update_one({'_id': 7}, [{'$set': {'product': {'$literal': {'$oid': '5f00'}}}}])
    done = up(eclose, rc=5)
    assert (done['changed'], done['quarantined']) == (49, 1)
    assert 'no query takes that value' in db.eclose_quarantine.find_one()['error']['message']


def test_no_write_of_an_application_is_lost(eclose, db):
    """Devices change their product, and a field that the migration does not read, all the time."""
    write(eclose, DEVICES, PRODUCTS)
    n = 1500
    load(db, n)
    db.devices.update_many({'_id': {'$mod': [7, 0]}}, {'$set': {'tags': [{'n': [1]}]}})  # these go through a transaction
    end, added, failures = threading.Event(), {}, []

    def work():
        i = 0
        try:
            while not end.is_set():
                i = (i + 7) % n
                device = db.devices.find_one_and_update({'_id': i}, {'$inc': {'n': 1}})
                added[i] = added.get(i, 0) + 1
                if 'schema_version' not in device:
                    db.devices.update_one({'_id': i, 'schema_version': {'$exists': False}},
                                          {'$set': {'product': (device['product'] + 1) % 25}})
        except Exception as e:  # noqa: BLE001
            failures.append(e)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        up(eclose)
    finally:
        end.set()
        worker.join()
    assert added and not failures, failures
    up(eclose)
    for device in db.devices.find():
        assert device['n'] == added.get(device['_id'], 0)
        assert device['tags'] == ([f'p{device["product"]}'] if device['product'] < 20 else ['none']), device
    assert db.devices.count_documents({'schema_version': 1}) == n
