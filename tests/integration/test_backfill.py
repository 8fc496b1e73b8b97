"""up, down, plan, status and verify against a live server, in both modes, while applications write."""

import json
import os
import random
import sys
import threading

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from conftest import ROOT
from works import put, size

sys.path.insert(0, os.path.join(ROOT, 'examples', 'demo'))
from application import Application, upgraded, user_v1  # noqa: E402

MODES = pytest.mark.parametrize('mode', ['client', 'pushdown'])
EXAMPLES = os.path.join(ROOT, 'examples')


def example(eclose, name):
    """The project of an example, in place of a folder of the test's own."""
    eclose.folder = os.path.join(EXAMPLES, name)
    return eclose


def project(eclose, collection, steps, settings='unversioned: 1'):
    """A project with one collection; steps are the texts of migrations to 2, 3, …"""
    put(eclose.folder, 'eclose.yaml', f'database: none\ncollections:\n  {collection}: {{{settings}}}\n')
    for i, text in enumerate(steps):
        put(eclose.folder, f'migrations/{collection}/{i + 2:04d}_step.yaml', f'to: {i + 2}\ndescription: a step\n{text}')
    return eclose


def raw(collection):
    """All documents as bytes, in an order that no server has a say in."""
    options = CodecOptions(document_class=RawBSONDocument)
    return sorted(d.raw for d in collection.with_options(codec_options=options).find({}))


def up(eclose, collection, mode, rc=0, **kwargs):
    done = eclose('up', collection, '--mode', mode, '--format', 'json', rc=rc, **kwargs)
    return json.loads(done.out.splitlines()[-1])


def down(eclose, collection, to, mode, rc=0):
    return json.loads(eclose('down', collection, '--to', to, '--mode', mode, '--format', 'json', rc=rc).out)


def users(n, seed=3):
    rng = random.Random(seed)
    return [user_v1(i, rng) for i in range(n)]


class Writes:
    """Counts the commands that change something, as the client that watches the oplog cannot on every server."""

    def __init__(self, server):
        self.admin = server.client.admin

    def count(self):
        now = self.admin.command('serverStatus').get('opcounters', {})
        return {k: now.get(k, 0) for k in ('insert', 'update', 'delete')}


# ---- the proof


@MODES
def test_no_write_of_an_application_is_lost_though_eclose_is_killed(eclose, db, server, mode):
    example(eclose, 'users')
    n = size(server, 6000)
    application = Application(db.users, n, seed=7)
    application.load()
    application.run()
    child = eclose.start('up', '--mode', mode)
    while db.users.count_documents({'schema_version': 2}, limit=n // 4) < n // 4:
        assert child.poll() is None or db.users.count_documents({'schema_version': 2}) == n, child.stderr.read()
    child.kill()
    child.wait(timeout=30)
    second = up(eclose, 'users', mode)
    application.stop(1)
    up(eclose, 'users', mode)
    application.stop(2)
    assert application.lost() == []
    assert db.users.count_documents({'schema_version': 2}) == n
    assert second['quarantined'] == 0
    assert application.writes() > 50


@MODES
def test_two_at_once(eclose, db, server, mode):
    example(eclose, 'users')
    application = Application(db.users, size(server, 4000), seed=8)
    application.load()
    application.run()
    children = [eclose.start('up', '--mode', mode) for _ in range(2)]
    for child in children:
        eclose.wait(child)
    application.stop(1)
    up(eclose, 'users', mode)
    application.stop(2)
    assert application.lost() == []


@MODES
def test_second_run_sends_no_write(eclose, db, server, mode):
    example(eclose, 'users')
    db.users.insert_many(users(1500))
    assert up(eclose, 'users', mode)['changed'] == 1500
    jobs, bytes_before, writes = list(db.eclose_jobs.find()), raw(db.users), Writes(server)
    catalog = raw(db.eclose_catalog)
    before = writes.count()
    again = up(eclose, 'users', mode)
    assert again['wrote'] is False and again['total'] == 0
    assert writes.count() == before
    assert list(db.eclose_jobs.find()) == jobs and raw(db.users) == bytes_before
    assert raw(db.eclose_catalog) == catalog and len(catalog) == 2
    assert sorted(db.list_collection_names()) == [
        'eclose_catalog', 'eclose_chunks', 'eclose_jobs', 'eclose_lease', 'users']


NUMBER = '''up:
  - $set: {label: {$concat: [$unit, ":", {$type: $n}]}, twice: {$multiply: [$n, 2]}}
'''


@MODES
def test_changes_of_what_the_chain_reads(eclose, db, server, mode):
    """$inc, $push, whole replaces, and a number that becomes another type with the same value."""
    project(eclose, 'things', [NUMBER])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'n': 1, 'unit': 'a', 'log': []} for i in range(size(server, 3000))])
    end, counts, failures = threading.Event(), {}, []

    def work():
        try:
            i = 0
            while not end.is_set():
                i = (i + 7) % size(server, 3000)
                asked = {'_id': i, 'schema_version': 1}
                for write in ({'$inc': {'n': 1}}, {'$push': {'log': i}},
                              {'$set': {'n': float(1)}}, {'$set': {'n': Int64(5)}}):
                    if db.things.update_one(asked, write).matched_count:
                        counts.setdefault(i, []).append(write)
                whole = {'schema_version': 1, 'n': 2.0, 'unit': 'b', 'log': ['whole']}
                if db.things.replace_one(asked, whole).matched_count:
                    counts.setdefault(i, []).append(whole)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    result = up(eclose, 'things', mode)
    end.set()
    thread.join(timeout=60)
    assert not failures and result['quarantined'] == 0
    kinds = {int: 'int', float: 'double', Int64: 'long'}
    for thing in db.things.find():
        wanted = {'n': 1, 'unit': 'a', 'log': []}
        for write in counts.get(thing['_id'], []):
            if '$inc' in write:
                wanted['n'] = type(wanted['n'])(wanted['n'] + 1)
            elif '$push' in write:
                wanted['log'] = wanted['log'] + [thing['_id']]
            elif '$set' in write:
                wanted['n'] = write['$set']['n']
            else:
                wanted = {k: write[k] for k in ('n', 'unit', 'log')}
        assert thing['schema_version'] == 2
        assert {k: thing[k] for k in wanted} == wanted and type(thing['n']) is type(wanted['n'])
        assert thing['label'] == f"{wanted['unit']}:{kinds[type(wanted['n'])]}", thing
        assert thing['twice'] == 2 * wanted['n'] and type(thing['twice']) is type(wanted['n'])


# ---- both modes are one


IDS = [None, float('nan'), -1.5, 1, Int64(2**40), Decimal128('3.5'), 'a', 'ä', {'a': 1}, {'b': {'c': 1}}, Binary(b'x'),
       ObjectId('5f9d88b2a1e4c7b3d2f10001'), True, False, Timestamp(1, 1)]  # secantusd-rs: no MinKey, MaxKey, Code


def test_both_modes_leave_the_same_bytes(eclose, db, server):
    example(eclose, 'users')
    # secantusd-py takes no update with a pipeline of a document whose _id is NaN.
    ids = [i for i in IDS if i != 1 and (i == i or server.name != 'py')]
    start = users(size(server, 2300)) + [dict(users(1)[0], _id=i) for i in ids]
    left = {}
    for mode in ('client', 'pushdown'):
        db.users.drop()
        db.users.insert_many(start)
        assert up(eclose, 'users', mode)['changed'] == len(start)
        there = raw(db.users)
        down(eclose, 'users', 1, mode)
        left[mode] = (there, raw(db.users))
    assert left['client'][0] == left['pushdown'][0]
    if server.name != 'py':  # its $let makes null of a field of null, which on MongoDB is missing
        assert left['client'][1] == left['pushdown'][1]
    assert all(bson.decode(b)['schema_version'] == 2 for b in left['client'][0])
    assert all(bson.decode(b)['schema_version'] == 1 for b in left['client'][1])
    assert [len(part) for part in left['client']] == [len(start), len(start)]
    assert db.users.find_one({'_id': 5})['name'] == start[5]['name']


EXAMPLES_DATA = {
    'users': ('users', 'users'),
    'enabled': ('enabled', 'users'),
    'inheritance': ('inheritance', 'humans'),
    'orders': ('cleanups', 'orders'),
    'teams': ('cleanups', 'teams'),
    'posts': ('cleanups', 'posts'),
    'two-steps': ('two-steps', 'orders'),
}


@MODES
@pytest.mark.parametrize('name', EXAMPLES_DATA)
def test_examples_live(eclose, db, name, mode):
    """The examples as an application would have left them; what comes out is what `eclose eval` says of each step."""
    folder, collection = EXAMPLES_DATA[name]
    example(eclose, folder)
    documents = {
        'users': users(300),
        'enabled': [{'_id': i, 'login': f'u{i}'} for i in range(50)] + [{'_id': 99, 'login': 'off', 'enabled': False}],
        'inheritance': [{'_id': 1, '_cls': 'Human.Jedi', 'dark_side': True}, {'_id': 2, '_cls': 'Human.Jedi'},
                        {'_id': 3, '_cls': 'Human.Wookiee', 'fur': 1.0, 'dark_side': False},
                        {'_id': 4, '_cls': 'Human.Jedi', 'dark_side': False, 'n': Int64(1)}],
        'orders': [{'_id': i, 'status': 'rejceted' if i % 2 else 'open'} for i in range(40)],
        'teams': [{'_id': 1, 'ownerId': 5, 'memberIds': [6]}, {'_id': 2, 'ownerId': 5, 'memberIds': [5, 6]},
                  {'_id': 3, 'ownerId': 5}, {'_id': 4, 'ownerId': 7, 'memberIds': [], 'archived': True}],
        'posts': [{'_id': i, 'title': f't{i}', 'creatorId': i, 'creatorName': 'x', 'creatorEmail': 'y'}
                  for i in range(30)],
        'two-steps': [{'_id': 1, 'total': 100}, {'_id': 2, 'schema_version': 1, 'total': 5},
                      {'_id': 3, 'schema_version': 2, 'total': 5, 'currency': 'EUR'}],
    }[name]
    db[collection].insert_many(documents)
    result = up(eclose, collection, mode)
    assert result['changed'] == len(documents), result
    eclose('status', '--check', rc=0)
    assert up(eclose, collection, mode)['wrote'] is False
    if name == 'enabled':
        assert db.users.count_documents({'enabled': True}) == 50 and db.users.count_documents({'enabled': False}) == 1
    if name == 'users':
        assert db.users.find_one({'_id': 7}) == upgraded(documents[7])
    if name == 'inheritance':
        found = {d['_id']: d for d in db.humans.find()}
        assert (found[1]['_cls'], found[2]['_cls']) == ('Human.BadSith', 'Human.GoodJedi')
        assert 'dark_side' not in found[1] and found[3]['dark_side'] is False and type(found[3]['fur']) is float
    if name == 'orders':
        assert db.orders.count_documents({'status': 'rejected'}) == 20
    if name == 'two-steps':
        assert db.orders.count_documents({'schema_version': 4}) == 3


# ---- what cannot be carried over


@MODES
def test_ten_bad_documents_among_ten_thousand(eclose, db, server, mode):
    example(eclose, 'users')
    n = size(server, 10000)
    good = users(n)
    bad = {n // 20 + i * n // 11 for i in range(10)}
    for i in bad:
        good[i]['name'] = i
    db.users.insert_many(good)
    result = up(eclose, 'users', mode, rc=5)
    assert (result['changed'], result['quarantined']) == (n - 10, 10)
    records = list(db.eclose_quarantine.find())
    assert {r['_id']['id'] for r in records} == bad
    assert all(r['collection'] == 'users' and r['version'] == 1 and r['error']['file'].endswith('0002_split_name.yaml')
               and r['error']['line'] > 0 and '$trim' in r['error']['message'] for r in records)
    assert {d['_id'] for d in db.users.find({'schema_version': 1})} == bad
    # They are mended, carried over, and their records go.
    db.users.update_many({'schema_version': 1}, {'$set': {'name': 'Mended Now'}})
    assert up(eclose, 'users', mode)['changed'] == 10
    assert db.eclose_quarantine.count_documents({}) == 0
    eclose('status', '--check', rc=0)


@MODES
def test_unique_index_and_validator_refuse(eclose, db, mode):
    project(eclose, 'things', ['up:\n  - $set: {code: {$toLower: $code}, size: {$toInt: $size}}\n'])
    db.create_collection('things', validator={'$jsonSchema': {'properties': {'size': {'maximum': 50}}}})
    db.things.create_index('code', unique=True)
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'code': f'C{i}', 'size': str(i)} for i in range(50)])
    db.things.insert_many([{'_id': 100, 'schema_version': 1, 'code': 'x', 'size': '1'},
                           {'_id': 101, 'schema_version': 1, 'code': 'X', 'size': '1'},
                           {'_id': 102, 'schema_version': 1, 'code': 'y', 'size': '70'}])
    result = up(eclose, 'things', mode, rc=5)
    assert (result['changed'], result['quarantined']) == (51, 2)
    codes = {r['_id']['id']: r['error']['code'] for r in db.eclose_quarantine.find()}
    assert codes == {101: 11000, 102: 121} or codes == {100: 11000, 102: 121}
    told = json.loads(eclose('plan', '--format', 'json', rc=0).out)
    assert {o['what'] for o in told['obstacles']} == {'validator', 'unique index'}


def test_views_are_refused(eclose, db):
    project(eclose, 'v', ['up:\n  - $set: {a: 1}\n'])
    db.create_collection('v', viewOn='w', pipeline=[])
    assert 'view' in eclose('up', rc=1).err
    assert 'it is a view' in eclose('plan', rc=1).out


# ---- large, odd, collated


@MODES
def test_documents_of_15_mb(eclose, db, mode):
    project(eclose, 'big', ['up:\n  - $set: {title: {$toUpper: $title}}\n  - $unset: gone\n'])
    text = 'x' * (15 * 1024 * 1024)
    for i in range(3):
        db.big.insert_one({'_id': i, 'schema_version': 1, 'title': 'abc', 'text': text, 'gone': 1})
    result = up(eclose, 'big', mode)
    assert result['changed'] == 3 and result['transactions'] == 0
    for d in db.big.find():
        assert (d['title'], d['schema_version'], len(d['text'])) == ('ABC', 2, len(text)) and 'gone' not in d


def test_a_document_that_no_statement_can_hold(eclose, db):
    """The large field itself changes its name: the statement would hold it twice. (secantusd-rs has transactions of
    documents up to about 10 MB only.)"""
    project(eclose, 'big', ['up:\n  - $set: {body: $text}\n  - $unset: text\n'])
    text = 'x' * (8400 * 1024)
    db.big.insert_one({'_id': 1, 'schema_version': 1, 'text': text, 'n': 1.0})
    result = up(eclose, 'big', 'client')
    assert (result['changed'], result['transactions']) == (1, 1)
    assert db.big.find_one() == {'_id': 1, 'schema_version': 2, 'n': 1.0, 'body': text}


def test_collation_goes_through_transactions(eclose, db):
    project(eclose, 'words', ['up:\n  - $set: {same: {$eq: [$a, $b]}}\n'])
    db.create_collection('words', collation={'locale': 'en', 'strength': 2})
    db.words.insert_many([{'_id': f'w{i}', 'schema_version': 1, 'a': 'x', 'b': 'X'} for i in range(40)])
    assert 'collation' in eclose('up', 'words', '--mode', 'pushdown', rc=1).err
    result = up(eclose, 'words', 'auto')
    assert (result['mode'], result['changed'], result['transactions']) == ('client', 40, 40)
    assert db.words.count_documents({'same': False, 'schema_version': 2}) == 40


@pytest.mark.parametrize('item, transactions', [({'price': 1}, 0), ({'price': 1, 'sizes': [4]}, 300)])
def test_numbers_in_arrays_lose_no_write_either(eclose, db, item, transactions):
    """Those of documents in an array are compared by type in the statement; of arrays in an array a transaction does it."""
    project(eclose, 'carts', ['up:\n  - $set: {total: {$sum: $items.price}}\n'])
    db.carts.insert_many([{'_id': i, 'schema_version': 1, 'items': [item]} for i in range(300)])
    end, acknowledged, failures = threading.Event(), {}, []

    def work():
        try:
            i = 0
            while not end.is_set():
                i = (i + 11) % 300
                if db.carts.update_one({'_id': i, 'schema_version': 1},
                                       {'$push': {'items': {'price': 2.5}}}).matched_count:
                    acknowledged[i] = acknowledged.get(i, 0) + 1
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    result = up(eclose, 'carts', 'client')
    end.set()
    thread.join(timeout=60)
    assert not failures and result['transactions'] == transactions
    for cart in db.carts.find():
        n = acknowledged.get(cart['_id'], 0)
        assert len(cart['items']) == 1 + n and cart['total'] == 1 + 2.5 * n and cart['schema_version'] == 2


def test_detect_and_unreadable_versions(eclose, db):
    project(eclose, 'devices', ['up:\n  - $set: {tags: []}\n', 'up:\n  - $set: {n_tags: {$size: $tags}}\n'],
            settings='detect: [{version: 2, filter: {tags: {$exists: true}}}, {version: 1, filter: {}}]')
    for mode in ('client', 'pushdown'):
        db.devices.drop()
        db.devices.insert_many([{'_id': 1}, {'_id': 2, 'tags': ['a']}, {'_id': 3, 'schema_version': 3, 'n_tags': 9},
                                {'_id': 4, 'schema_version': 'new'}, {'_id': 5, 'schema_version': 9}])
        result = up(eclose, 'devices', mode, rc=5)
        assert (result['changed'], result['quarantined']) == (2, 2)
        assert list(db.devices.find()) == [
            {'_id': 1, 'tags': [], 'n_tags': 0, 'schema_version': 3},
            {'_id': 2, 'tags': ['a'], 'n_tags': 1, 'schema_version': 3}, {'_id': 3, 'schema_version': 3, 'n_tags': 9},
            {'_id': 4, 'schema_version': 'new'}, {'_id': 5, 'schema_version': 9}]


# ---- the other commands


def test_up_to_and_down(eclose, db):
    project(eclose, 'things', ['up:\n  - $set: {a: 2}\ndown:\n  - $unset: a\n', 'up:\n  - $set: {b: 3}\n'])
    db.things.insert_many([{'_id': i, 'schema_version': 1} for i in range(20)])
    eclose('up', 'things', '--to', 2, rc=0)
    assert db.things.count_documents({'schema_version': 2, 'a': 2, 'b': {'$exists': False}}) == 20
    told = json.loads(eclose('status', '--check', '--format', 'json', rc=3).out)
    assert told['pending'] == ['0003_step'] and told['documents_pending'] == 20
    eclose('up', rc=0)
    assert 'down' in eclose('down', 'things', '--to', 1, rc=1).err
    eclose('down', 'things', rc=2)
    eclose('up', '--to', 2, rc=2)


def test_plan_says_what_and_writes_nothing(eclose, db, server):
    example(eclose, 'users')
    db.users.insert_many(users(30))
    writes = Writes(server)
    before, there = writes.count(), raw(db.users)
    told = json.loads(eclose('plan', '--format', 'json', rc=0).out)
    assert told['mode'] == 'pushdown' and told['why']
    assert told['versions'] == [{'version': '1', 'documents': 30}, {'version': '2', 'documents': 0}]
    assert len(told['samples']) == 3 and all(s['diff'] for s in told['samples'])
    assert 'schema_version: 1' in eclose('plan', rc=0).out
    assert writes.count() == before and raw(db.users) == there and db.list_collection_names() == ['users']


def test_verify_finds_broken_rules_and_hybrids(eclose, db):
    example(eclose, 'users')
    db.users.insert_many(users(200))
    eclose('verify', rc=0)
    eclose('up', rc=0)
    eclose('verify', '--all', rc=0)
    db.users.update_one({'_id': 3}, {'$set': {'name': 'Old Release'}})
    db.users.update_one({'_id': 4}, {'$set': {'first_name': 5}})
    db.users.update_one({'_id': 5}, {'$unset': {'login': 1}})
    lines = [json.loads(x) for x in eclose('verify', '--all', '--format', 'json', rc=5).out.splitlines()]
    found = {(x['id'], x['problem'], x['path']) for x in lines if 'id' in x}
    assert found == {(3, 'hybrid', 'name'), (4, 'schema', 'first_name'), (5, 'schema', 'login')}
    assert lines[-1]['bad'] == 3 and lines[-1]['hybrids'] == 1


def test_plan_where_a_cursor_is_lost(eclose, db, relay):
    """Three samples are one reply, and no cursor stays open at the server."""
    example(eclose, 'users')
    db.users.insert_many(users(30))
    assert len(json.loads(eclose('plan', '--format', 'json', rc=0, env={'ECLOSE_URI': relay.uri}).out)['samples']) == 3
    assert not [c for c in relay.commands() if c.name in ('getMore', 'killCursors')]


def test_verify_for_a_reader_that_goes_away(eclose, db, relay):
    """A problem is told when it is found; who has seen enough of them is not read for."""
    example(eclose, 'users')
    n = 20000
    for at in range(0, n, 5000):
        db.users.insert_many([dict(user, first_name=5, schema_version=2) for user in users(n)[at:at + 5000]])
    child = eclose.start('verify', '--all', env={'ECLOSE_URI': relay.uri})
    child.stdout.readline()
    child.stdout.close()
    assert (child.stderr.read(), child.wait(60)) == ('', 1)
    assert len([c for c in relay.commands() if c.name == 'getMore']) < n // 500 // 2


def test_a_server_that_is_not_there(eclose):
    example(eclose, 'users')
    done = eclose('up', '--uri', 'mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500', rc=1)
    assert '127.0.0.1:9 does not answer: ' in done.err
    uri = eclose.env['ECLOSE_URI'].split('?')[0]
    done = eclose('status', '--uri', f'{uri}?replicaSet=nope&serverSelectionTimeoutMS=500', rc=1)
    assert 'the URI says replicaSet=nope, which each of them has to be in' in done.err
    done = eclose('status', '--uri', uri.replace('://', '://me:secret@'), rc=1)
    assert 'refuses the user me (name, password or authSource): ' in done.err and 'secret' not in done.err
    # The rest of the password is no name of a host that anybody wants to read in a log.
    done = eclose('status', '--uri', 'mongodb://me:sec@ret@127.0.0.1:9/', rc=1)
    assert '@ is written %40' in done.err and 'ret@' not in done.err


@pytest.mark.parametrize('command', [('up',), ('backfill', 'start', 'things'), ('status',)])
def test_a_server_without_pipelines_in_updates_is_refused(eclose, db, relay, command):
    relay.edit(lambda answer: dict(answer, maxWireVersion=7) if 'maxWireVersion' in answer else None)
    project(eclose, 'things', ['up:\n  - $set: {a: 1}\n'])
    db.things.insert_one({'_id': 1})
    failed = eclose(*command, rc=1, env={'ECLOSE_URI': relay.uri})
    assert failed.err.endswith('this server is older than MongoDB 4.2 (its wire version is 7): its updates take no '
                               'pipelines, which eclose cannot do without\n')
    assert db.list_collection_names() == ['things'] and db.things.find_one() == {'_id': 1}
