"""Steps of database migrations, one by one: what waits, what goes to the server and how, what is refused."""

import json
import signal
import time

import pymongo
import pytest

from works import docs, put, record, wait_for, write

NAME = '20260101_a'


def sent(relay, *names, collection=None):
    return [c for c in relay.commands() if c.name in names and (not collection or c.collection == collection)]


def options(db, collection):
    found, = db.list_collections(filter={'name': collection})
    return found['options']


# ---- wait ----

WAIT = '''
up:
  - wait: {collection: jobs, filter: {open: true}, seconds: %d}
  - insert: {collection: after, document: {_id: 1}}
'''


def looks(relay):
    return len(sent(relay, 'find', collection='jobs'))


def test_wait_waits_until_somebody_else_removed_the_last_match(eclose, db, relay):
    db.jobs.insert_many([{'_id': 1, 'open': True}, {'_id': 2, 'open': True}, {'_id': 3, 'open': False}])
    write(eclose.folder, a=WAIT % 60)
    child = eclose.start('up', env={'ECLOSE_URI': relay.uri})
    for i in (1, 2):
        seen = looks(relay)
        wait_for(lambda seen=seen: looks(relay) >= seen + 2)
        assert record(db, NAME)['state'] == 'running' and db.after.count_documents({}) == 0
        db.jobs.delete_one({'_id': i})
    eclose.wait(child)
    assert docs(db.after) == [{'_id': 1}] and docs(db.jobs) == [{'_id': 3, 'open': False}]
    # The insert came after the last look.
    order = [c.name for c in relay.commands() if c.collection in ('jobs', 'after')]
    assert set(order[:-1]) == {'find'} and order[-1] == 'insert'


def test_wait_that_takes_too_long_fails_and_goes_on_later(eclose, db):
    db.jobs.insert_one({'_id': 1, 'open': True})
    write(eclose.folder, a=WAIT % 1)
    failed = eclose('up', rc=1)
    assert 'a.yaml:3:5: wait: after 1 seconds a document of jobs still matches the filter' in failed.err
    assert record(db, NAME)['state'] == 'failed' and record(db, NAME)['steps'] == 0 and docs(db.after) == []
    db.jobs.delete_one({'_id': 1})
    eclose('up', rc=0)
    assert docs(db.after) == [{'_id': 1}] and record(db, NAME)['state'] == 'applied'


def test_wait_ends_when_asked_to(eclose, db, relay):
    db.jobs.insert_one({'_id': 1, 'open': True})
    write(eclose.folder, a=WAIT % 600)
    child = eclose.start('up', env={'ECLOSE_URI': relay.uri})
    wait_for(lambda: looks(relay))
    child.send_signal(signal.SIGTERM)
    assert 'ended as asked for' in eclose.wait(child, rc=1).err
    assert record(db, NAME)['state'] == 'failed' and db.eclose_lease.find_one()['holder'] is None


# ---- transactions where there are none ----

def standalone(reply):
    """A hello as of a server that is no replica set."""
    of_a_set = {'setName', 'setVersion', 'hosts', 'primary', 'me', 'electionId', 'secondary', 'lastWrite'}
    return {k: v for k, v in reply.items() if k not in of_a_set} if 'setName' in reply else None


@pytest.mark.parametrize('text, place', [
    ('transaction: true\nup: [{insert: {collection: a, document: {x: 1}}}]\n', '1:1: transaction'),
    ('up:\n  - insert: {collection: a, document: {_id: 1}}\n'
     '  - transaction: [{insert: {collection: a, document: {x: 1}}}]\n', '3:5: transaction'),
    ('up:\n  - foreach: {find: a, transaction: true}\n    let: {id: $_id}\n'
     '    do: [{deleteOne: {collection: a, filter: {_id: $$id}}}]\n', '2:5: foreach'),
])
def test_transactions_are_refused_where_there_are_none(eclose, db, relay, text, place):
    relay.edit(standalone)
    write(eclose.folder, a=text)
    db.a.insert_one({'_id': 'there'})
    failed = eclose('up', rc=1, env={'ECLOSE_URI': relay.uri})
    assert f'migrations/{NAME}.yaml:{place}: this server has no transactions: it is no replica set' in failed.err
    # Before its first step, and before it counts as begun.
    assert docs(db.a) == [{'_id': 'there'}] and record(db, NAME) is None
    assert not sent(relay, 'insert', 'update', 'delete', collection='a')


def test_all_else_runs_where_there_are_no_transactions(eclose, db, relay):
    relay.edit(standalone)
    write(eclose.folder, a='''
up:
  - insert: {collection: a, document: {_id: 1}}
  - updateMany: {collection: a, filter: {x: {$exists: false}}, update: {$set: {x: 1}}}
''')
    eclose('up', rc=0, env={'ECLOSE_URI': relay.uri})
    assert docs(db.a) == [{'_id': 1, 'x': 1}] and record(db, NAME)['state'] == 'applied'


# ---- validators ----

def refused(collection, document):
    try:
        collection.insert_one(document)
    except pymongo.errors.WriteError as e:
        assert e.code == 121, e
        return True
    return False


def test_a_validator_has_level_and_action(eclose, db, relay):
    write(eclose.folder, a='''
up:
  - validator: {collection: d, schema: {required: [x]}, level: moderate, action: warn}
''', b='up: [{wait: {collection: held, filter: {}, seconds: 0}}, {validator: {collection: d, level: strict, action: error}}]\n')
    env = {'ECLOSE_URI': relay.uri}
    eclose('up', '--steps', 1, rc=0, env=env)
    rule = {'$jsonSchema': {'required': ['x']}}
    assert options(db, 'd') == {'validator': rule, 'validationLevel': 'moderate', 'validationAction': 'warn'}
    assert not refused(db.d, {'_id': 'warned of'})
    eclose('up', rc=0, env=env)
    # The rule is that of before: only what the step says is sent.
    assert options(db, 'd') == {'validator': rule, 'validationLevel': 'strict', 'validationAction': 'error'}
    mod, = sent(relay, 'collMod')
    assert {k: mod.document[k] for k in mod.document if k.startswith('valid')} == {
        'validationLevel': 'strict', 'validationAction': 'error'}
    assert refused(db.d, {'_id': 1}) and not refused(db.d, {'_id': 2, 'x': 1})
    write(eclose.folder, c='up: [{validator: {collection: d, level: hard}}]\n')
    assert 'level must be strict, moderate or off' in eclose('lint', rc=1).out


def test_while_versions_are_mixed_each_has_its_own_schema(eclose, db):
    write(eclose.folder, a='''
up: [{validator: {collection: users, mixed: true}}]
down: [{validator: {collection: users, filter: {}}}]
''')
    for version, field in ((1, 'm'), (2, 'k')):
        put(eclose.folder, f'migrations/users/000{version}_{field}.yaml',
            f'to: {version}\nup: [{{$set: {{{field}: 1}}}}]\ndown: [{{$unset: {field}}}]\n'
            f'schema: {{required: [{field}], properties: {{{field}: {{bsonType: int}}}}}}\n')
    eclose('up', '--steps', 1, rc=0)
    branches = options(db, 'users')['validator']['$or']
    assert len(branches) == 3 and [b['$and'][1] for b in branches if '$and' in b] == [
        {'$jsonSchema': {'required': [f], 'properties': {f: {'bsonType': 'int'}}}} for f in 'mk']
    for document in ({}, {'anything': 1}, {'v': 0}, {'v': 1, 'm': 1}, {'v': 2, 'k': 1}, {'v': 2, 'k': 1, 'm': 'x'}):
        assert not refused(db.users, dict(document)), document
    for document in ({'v': 1}, {'v': 1, 'm': 'x'}, {'v': 1, 'k': 1}, {'v': 2, 'm': 1}, {'v': 2, 'k': 'x'}, {'v': 3, 'k': 1}):
        assert refused(db.users, dict(document)), document
    eclose('revert', rc=0)
    assert not refused(db.users, {'v': 3})


# ---- ranges, on the wire ----

def flat(query):
    parts = query.get('$and') or [query]
    return {k: v for p in parts for k, v in p.items()}


def bounds(statement):
    """The first and the last _id of the range that a statement names."""
    named = flat(statement['q'])['_id']
    if not isinstance(named, dict):
        return named, named  # of one document
    assert set(named) <= {'$gte', '$lte', '$eq'}, named
    return named.get('$gte', named.get('$eq')), named.get('$lte', named.get('$eq'))


@pytest.mark.parametrize('step, name, list_name', [
    ('updateMany: {collection: a, filter: {n: {$gte: 100}}, update: {$set: {m: 1}}%s}', 'update', 'updates'),
    ('deleteMany: {collection: a, filter: {n: {$gte: 100}}%s}', 'delete', 'deletes'),
])
@pytest.mark.parametrize('at_once', [False, True])
def test_many_go_by_ranges_unless_told_otherwise(eclose, db, relay, step, name, list_name, at_once):
    db.a.insert_many([{'_id': i, 'n': i} for i in range(3000)])
    write(eclose.folder, a='up:\n  - ' + step % (', at_once: true' if at_once else '') + '\n')
    eclose('up', rc=0, env={'ECLOSE_URI': relay.uri})
    writes = sent(relay, name, collection='a')
    statements = [s for c in writes for s in c.document[list_name]]
    assert db.a.count_documents({'n': {'$gte': 100}, 'm': {'$exists': False}}) == 0
    assert db.a.count_documents({'n': {'$lt': 100}, 'm': {'$exists': False}}) == 100
    assert all(c.document['writeConcern']['w'] == 'majority' for c in writes)
    if at_once:
        assert [s['q'] for s in statements] == [{'n': {'$gte': 100}}]
        return
    assert len(writes) >= 3 and len(statements) == len(writes)
    last = 99
    for statement in statements:
        low, high = bounds(statement)
        # Each names both its ends, begins behind the one before it, and holds no more than a part of all.
        assert last < low <= high and high - low < 2000 and {'n': {'$gte': 100}}.items() <= flat(statement['q']).items()
        last = high
    assert last == 2999


# ---- commands ----

def test_a_command_goes_to_admin_where_it_says_so(eclose, db, relay):
    db.old.insert_one({'_id': 1})
    write(eclose.folder, a='''
up:
  - command: {renameCollection: $$database.old, to: $$database.new, dropTarget: false}
    database: admin
    repeatable: because it runs once here
  - command: {insert: new, documents: [{_id: $$database.x}]}
    repeatable: because the document has an _id
''')
    plan = eclose('plan', rc=0).out
    assert '  1 command: sent to the database admin\n  2 command: sent as it stands\n' in plan
    steps = json.loads(eclose('plan', '--format', 'json', rc=0).out.splitlines()[0])['steps']
    assert steps[0]['what'] == {'renameCollection': f'{db.name}.old', 'to': f'{db.name}.new', 'dropTarget': False}
    eclose('up', rc=0, env={'ECLOSE_URI': relay.uri})
    rename, = sent(relay, 'renameCollection')
    assert rename.document['$db'] == 'admin'
    # In a command for the database itself nothing is filled in.
    assert docs(db.new) == [{'_id': '$$database.x'}, {'_id': 1}] or docs(db.new) == [{'_id': 1}, {'_id': '$$database.x'}]
    assert 'old' not in db.list_collection_names() and record(db, NAME)['state'] == 'applied'


# ---- who may run ----

def test_up_says_whose_lease_it_is(eclose, db):
    """Without --wait at once; with --wait=SECONDS when they are over; nothing is run either way."""
    write(eclose.folder, a=WAIT % 600)
    db.jobs.insert_one({'_id': 1, 'open': True})
    child = eclose.start('up', env={'ECLOSE_RELEASE': 'r17'})
    wait_for(lambda: record(db, NAME))
    whose = f'process {child.pid}, user '
    at_once = eclose('up', rc=4)
    assert 'somebody else holds the lease "migrations": ' in at_once.err
    assert whose in at_once.err and 'release r17, since 2' in at_once.err and 'waiting' not in at_once.err
    began = time.monotonic()
    late = eclose('up', '--wait=2', rc=4)
    assert time.monotonic() - began >= 2
    assert 'waiting for the lease, which has: ' in late.err
    assert whose in late.err.split('somebody else holds the lease')[1]
    assert eclose('revert', rc=4).err and record(db, NAME)['attempts'] == 1
    # One that waits long enough succeeds, with nothing left to do.
    waiting = eclose.start('up', '--wait=60')
    assert 'waiting for the lease' in waiting.stderr.readline()
    db.jobs.delete_one({'_id': 1})
    assert waiting.wait(timeout=60) == 0 and child.wait(timeout=60) == 0
    assert docs(db.after) == [{'_id': 1}] and record(db, NAME)['attempts'] == 1


# ---- pace ----

def test_the_projects_throttle_counts_for_migrations_and_for_jobs_that_begin(eclose, db):
    put(eclose.folder, 'eclose.yaml',
        'version_field: v\nthrottle: {max_rate: 400, batch_time: 20, max_lag: 3, min_window: 5, max_latency: 9}\n')
    put(eclose.folder, 'migrations/users/0001_m.yaml', 'to: 1\nup: [{$set: {m: $n}}]\ndown: [{$unset: m}]\n')
    db.a.insert_many([{'_id': i} for i in range(500)])
    db.users.insert_many([{'_id': i, 'n': i} for i in range(50)])
    write(eclose.folder, a='''
up:
  - updateMany: {collection: a, filter: {x: {$exists: false}}, update: {$set: {x: 1}}}
  - backfill: {collection: users, to: 1}
''')

    def took(name):
        return record(db, name)['duration'] / 1000

    def settings():
        return db.eclose_jobs.find_one(sort=[('started', -1)])['settings']

    eclose('up', rc=0)
    # A rate is kept or not reached: the first range goes at once, the others at 400 a second. By the server's clock.
    assert took(NAME) > 0.5
    given = {'batch_time': 20, 'max_lag': 3000, 'min_window': 300000, 'max_latency': 9, 'max_documents': 400}
    assert settings().items() >= given.items(), settings()
    db.eclose_jobs.delete_many({})
    db.users.insert_one({'_id': 'new'})
    eclose('backfill', 'run', 'users', rc=0)
    assert settings().items() >= given.items(), settings()
    # An option is worth more than the file, in this and nothing else.
    db.eclose_jobs.delete_many({})
    eclose('down', 'users', '--to', 0, '--max-rate', 'none', '--max-lag', 7, rc=0)
    assert settings().items() >= {**given, 'max_documents': 0, 'max_lag': 7000}.items(), settings()
    db.a.update_many({}, {'$unset': {'x': ''}})
    write(eclose.folder, b='up: [{updateMany: {collection: a, filter: {x: {$exists: false}}, update: {$set: {x: 1}}}}]\n')
    eclose('up', '--only', '20260101_b', '--max-rate', 200, rc=0)
    assert took('20260101_b') > 1
