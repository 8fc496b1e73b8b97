"""Database migrations on a live server: every kind of step, the two stories, programs, and who may run them."""

import contextlib
import datetime
import json
import os
import random
import re
import shutil
import stat
import sys
import threading
import time

import pymongo
import pytest
from bson import Int64, ObjectId

from conftest import ROOT
from test_jobs import wait_for

EXAMPLES = os.path.join(ROOT, 'examples')
FAST = {'ECLOSE_LEASE_TIME': '1500', 'ECLOSE_MAX_CLOCK_SKEW': '300'}


def write(folder, **files):
    os.makedirs(os.path.join(folder, 'migrations'), exist_ok=True)
    config = os.path.join(folder, 'eclose.yaml')
    if not os.path.exists(config):
        with open(config, 'w', encoding='utf-8') as f:
            f.write('version_field: v\n')
    for name, text in files.items():
        with open(os.path.join(folder, 'migrations', '20260101_' + name + '.yaml'), 'w', encoding='utf-8') as f:
            f.write(text)


def program(folder, name, text):
    write(folder)
    path = os.path.join(folder, 'migrations', name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def docs(collection):
    return list(collection.find().sort('_id', 1))


def record(db, name):
    return db.eclose_changelog.find_one({'_id': name})


def test_every_kind_of_step(eclose, db):
    db.a.insert_many([{'_id': i, 'n': i} for i in range(1200)])
    db.old.insert_one({'_id': 1})
    db.gone.insert_one({'_id': 1})
    write(eclose.folder, kinds='''
up:
  - insert: {collection: b, document: {_id: 1, z: 1, a: 2}}
  - insert: {collection: b, documents: [{_id: 2}, {_id: 3, s: $text}]}
  - updateOne: {collection: b, filter: {_id: 2}, update: {$set: {x: 1}}}
  - updateOne: {collection: b, filter: {_id: 9}, update: {$set: {x: 1}}, upsert: true}
  - updateMany: {collection: a, filter: {m: {$exists: false}}, update: [{$set: {m: {$add: [$n, 1]}}}]}
  - deleteMany: {collection: a, filter: {n: {$gte: 1000}}}
  - deleteMany: {collection: a, filter: {n: 0}, at_once: true}
  - replaceOne: {collection: b, filter: {_id: 9}, replacement: {y: 1}}
  - bulkWrite:
      collection: b
      operations:
        - insertOne: {document: {_id: 20}}
        - updateOne: {filter: {_id: 20}, update: {$set: {k: 1}}}
        - deleteOne: {filter: {_id: 3}}
  - aggregate: {collection: b, pipeline: [{$match: {_id: {$lt: 10}}}, {$merge: {into: c}}]}
  - createIndex: {collection: c, keys: {x: 1, y: -1}, options: {unique: false}}
  - createIndex: {collection: c, keys: {z: 1}}
  - dropIndex: {collection: c, keys: {z: 1}}
  - dropIndex: {collection: c, index: never_was}
  - createCollection: {collection: d}
  - createCollection: {collection: d}
  - validator: {collection: d, schema: {required: [x]}}
  - renameCollection: {from: old, to: new}
    repeatable: because nothing writes to it
  - dropCollection: {collection: gone}
  - dropCollection: {collection: never_was}
  - wait: {collection: b, filter: {never: 1}, seconds: 5}
  - wait: {seconds: 1}
  - assert: {collection: a, filter: {}, count: 999}
  - command: {ping: 1}
''')
    out = eclose('up', rc=0)
    assert 'applied' in out.out
    assert docs(db.b) == [{'_id': 1, 'z': 1, 'a': 2}, {'_id': 2, 'x': 1}, {'_id': 9, 'y': 1}, {'_id': 20, 'k': 1}]
    assert list(docs(db.b)[0]) == ['_id', 'z', 'a']
    assert db.a.count_documents({}) == 999 and db.a.find_one({'_id': 7})['m'] == 8
    assert docs(db.c) == docs(db.b)[:3]
    assert sorted(db.c.index_information()) == ['_id_', 'x_1_y_-1']
    assert 'd' in db.list_collection_names() and 'gone' not in db.list_collection_names()
    assert docs(db.new) == [{'_id': 1}] and 'old' not in db.list_collection_names()
    with pytest.raises(Exception, match='(?i)validation'):
        db.d.insert_one({'y': 1})
    entry = record(db, '20260101_kinds')
    assert entry['state'] == 'applied' and entry['steps'] == 24 and entry['duration'] >= 0
    # Once is once.
    assert eclose('up', rc=0).out == ''
    assert '20260101_kinds' in eclose('history', rc=0).out


def test_what_fails_is_known_and_goes_on_from_there(eclose, db):
    write(eclose.folder, one='''
up:
  - insert: {collection: a, document: {_id: 1}}
  - assert: {collection: ready, filter: {}, min: 1, message: not ready}
  - insert: {collection: a, document: {_id: 2}}
''', two='up: [{insert: {collection: a, document: {_id: 3}}}]\n')
    failed = eclose('up', rc=1)
    assert 'migrations/20260101_one.yaml:4:5: assert: not ready: 0 documents of ready match, expected at least 1' in failed.err
    entry = record(db, '20260101_one')
    assert (entry['state'], entry['steps']) == ('failed', 1) and 'not ready' in entry['error']
    assert docs(db.a) == [{'_id': 1}]
    db.ready.insert_one({})
    db.a.delete_one({'_id': 1})  # a finished step is not repeated
    eclose('up', rc=0)
    assert docs(db.a) == [{'_id': 2}, {'_id': 3}]
    assert record(db, '20260101_one')['state'] == 'applied'


def test_a_double_key_is_no_success(eclose, db):
    db.a.insert_one({'_id': 1, 'mine': True})
    write(eclose.folder, one='up: [{insert: {collection: a, document: {_id: 1}}}]\n')
    assert 'E11000' in eclose('up', rc=1).err or 'duplicate' in eclose('up', rc=1).err
    assert docs(db.a) == [{'_id': 1, 'mine': True}]


def test_values_of_rows_are_data(eclose, db):
    db.src.insert_many([{'_id': 1, 'v': '$a', 'w': {'y': '$$ROOT'}}, {'_id': 2, 'v': '$$keep'}])
    db.dst.insert_many([{'_id': 1, 'a': 'wrong'}, {'_id': 2, 'a': 'wrong'}])
    write(eclose.folder, one='''
up:
  - foreach: {find: src, sort: {_id: 1}}
    let: {id: $_id, value: $v, more: $w}
    do:
      - updateOne: {collection: dst, filter: {_id: $$id}, update: [{$set: {b: $$value, c: $a, root: {$type: $$ROOT}}}]}
        repeatable: because the type stays
      - updateOne: {collection: dst, filter: {_id: $$id}, update: {$set: {plain: $$value, more: $$more}}}
''')
    # "$$ROOT" stands in an expression: it is the server's.
    eclose('up', rc=0)
    assert docs(db.dst) == [
        {'_id': 1, 'a': 'wrong', 'b': '$a', 'c': 'wrong', 'root': 'object', 'plain': '$a', 'more': {'y': '$$ROOT'}},
        {'_id': 2, 'a': 'wrong', 'b': '$$keep', 'c': 'wrong', 'root': 'object', 'plain': '$$keep'}]


def test_a_filter_never_grows_because_a_value_is_missing(eclose, db):
    db.src.insert_one({'_id': 1})
    db.dst.insert_many([{'_id': 1}, {'_id': 2}])
    write(eclose.folder, one='''
up:
  - foreach: {find: src}
    let: {id: $nothing}
    do: [{deleteMany: {collection: dst, filter: {_id: $$id}}}]
''')
    assert 'would match more than was meant' in eclose('up', rc=1).err
    assert db.dst.count_documents({}) == 2


def test_a_document_without_the_id_that_it_was_to_have_is_not_inserted(eclose, db):
    db.src.insert_many([{'_id': 1, 'ref': 'a'}, {'_id': 2}])
    write(eclose.folder, one='''
up:
  - foreach: {find: src, sort: {_id: 1}}
    let: {ref: $ref}
    do: [{insert: {collection: dst, document: {_id: $$ref, x: 1}}}]
''')
    assert 'has no _id' in eclose('up', rc=1).err
    assert docs(db.dst) in ([], [{'_id': 'a', 'x': 1}])


def test_transaction_is_all_or_nothing(eclose, db):
    db.create_collection('a')
    write(eclose.folder, one='''
transaction: true
up:
  - insert: {collection: a, document: {x: 1}}
  - updateOne: {collection: a, filter: {x: 1}, update: {$inc: {n: 1}}}
  - assert: {collection: ready, filter: {}, count: 1}
down:
  - deleteMany: {collection: a, filter: {x: 1}}
''')
    eclose('up', rc=1)
    assert docs(db.a) == []
    db.ready.insert_one({})
    eclose('up', rc=0)
    assert [d['n'] for d in docs(db.a)] == [1]
    assert record(db, '20260101_one')['steps'] == 1
    eclose('revert', rc=0)
    assert docs(db.a) == [] and record(db, '20260101_one')['state'] == 'reverted'
    eclose('up', rc=0)
    assert len(docs(db.a)) == 1


def test_a_transaction_that_met_a_double_key_runs_when_that_is_gone(eclose, db):
    db.b.insert_one({'_id': 1})
    write(eclose.folder, one='''
transaction: true
up:
  - insert: {collection: a, document: {x: 1}}
  - updateOne: {collection: a, filter: {x: 1}, update: {$inc: {n: 1}}}
  - insert: {collection: b, document: {_id: 1}}
down: irreversible
''')
    assert 'E11000' in eclose('up', rc=1).err
    assert docs(db.a) == []
    db.b.delete_one({'_id': 1})
    eclose('up', rc=0)
    assert [d['n'] for d in docs(db.a)] == [1] and docs(db.b) == [{'_id': 1}]


def test_a_unique_index_of_the_users_is_an_answer_at_once(eclose, db):
    db.b.create_index('x', unique=True)
    db.b.insert_many([{'_id': i, 'x': i} for i in range(3)])
    write(eclose.folder, one='''
up:
  - updateOne: {collection: b, filter: {_id: 1}, update: {$set: {x: 2}}}
''')
    began = time.monotonic()
    assert 'E11000' in eclose('up', rc=1).err
    assert time.monotonic() - began < 30  # it is not asked for a minute
    assert record(db, '20260101_one')['state'] == 'failed'


def test_times_of_the_lease_are_checked(eclose, db):
    write(eclose.folder, one='up: [{insert: {collection: a, document: {_id: 1}}}]\n')
    for command in ('up', 'lock', 'status'):
        assert 'ECLOSE_LEASE_TIME: expected milliseconds' in eclose(command, env={'ECLOSE_LEASE_TIME': '30s'}, rc=1).err
    assert 'ECLOSE_MAX_CLOCK_SKEW' in eclose('up', env={'ECLOSE_MAX_CLOCK_SKEW': '-1'}, rc=1).err
    eclose('lock', env=FAST, rc=0)


ROWS = '''
up:
  - foreach: {find: orders, filter: {booked: {$exists: false}}, transaction: true}
    let: {id: $_id, account: $account, amount: $amount}
    do:
      - updateOne: {collection: accounts, filter: {_id: $$account}, update: {$inc: {balance: $$amount, n: 1}}}
      - insert: {collection: entries, document: {order: $$id, amount: $$amount}}
      - updateOne: {collection: orders, filter: {_id: $$id}, update: {$set: {booked: true}}}
        unless: {collection: held, filter: {_id: $$id}}
'''


def test_a_transaction_for_each_row_takes_effect_once(eclose, db):
    """$inc and inserts without _id, which nothing else would make repeatable; killed on the way, and again."""
    db.accounts.insert_many([{'_id': i, 'balance': 0, 'n': 0} for i in range(5)])
    db.orders.insert_many([{'_id': i, 'account': i % 5, 'amount': i} for i in range(300)])
    db.create_collection('entries')
    write(eclose.folder, one=ROWS)
    for part in (40, 120, 200):
        child = eclose.start('up', '--wait', env=FAST)
        wait_for(lambda: db.orders.count_documents({'booked': True}) > part)  # noqa: B023
        child.kill()
        child.wait(timeout=30)
        assert db.entries.count_documents({}) == sum(a['n'] for a in db.accounts.find())
    db.held.insert_one({'_id': 299})
    child = eclose.start('up', '--wait', env=FAST)
    # A transaction that the killed one left open, with the lease in it, is ended by the next: the server has a minute.
    wait_for(lambda: db.orders.count_documents({'booked': True}) == 299)
    assert db.entries.count_documents({'order': 299}) == 0  # nothing of a row that is held back
    db.held.delete_one({'_id': 299})
    _, err = child.communicate(timeout=90)
    assert child.returncode == 0, err
    assert sorted(e['order'] for e in db.entries.find()) == list(range(300))
    assert [(a['n'], a['balance']) for a in docs(db.accounts)] == [
        (60, sum(range(i, 300, 5))) for i in range(5)]


def test_a_transaction_left_open_with_the_lease_in_it_is_ended(eclose, db):
    """A dead holder's: as long as it is open nobody can be granted the lease."""
    write(eclose.folder, one='up: [{insert: {collection: a, document: {_id: 1}}}]\n')
    with db.client.start_session() as session:
        db.eclose_lease.insert_one({
            '_id': 'migrations', 'token': Int64(3), 'holder': {'id': ObjectId(), 'host': 'gone', 'pid': 1},
            'expires': datetime.datetime(2026, 1, 1), 'beat': Int64(1), 'sessions': [session.session_id['id']], 'doomed': []})
        session.start_transaction()
        db.eclose_lease.update_one({'_id': 'migrations'}, {'$inc': {'touched': 1}}, session=session)
        eclose('up', env=FAST, rc=0)
        with pytest.raises(pymongo.errors.OperationFailure):
            session.commit_transaction()
    assert record(db, '20260101_one')['token'] == 4


def test_order_and_choice(eclose, db):
    for name in ('a', 'b', 'd'):
        write(eclose.folder, **{name: f'up: [{{insert: {{collection: log, document: {{_id: {name}}}}}}}]\n'
                                      f'down: [{{deleteOne: {{collection: log, filter: {{_id: {name}}}}}}}]\n'})
    eclose('up', '--steps', 1, rc=0)
    assert [d['_id'] for d in docs(db.log)] == ['a']
    eclose('up', '--only', '20260101_d', rc=0)
    assert [d['_id'] for d in docs(db.log)] == ['a', 'd']
    assert 'arrived late' in eclose('up', '--strict-order', rc=1).err
    assert 'arrived late' in eclose('up', '--to-migration', '20260101_b', rc=0).err
    assert [d['_id'] for d in docs(db.log)] == ['a', 'b', 'd']
    eclose('revert', '--steps', 2, rc=0)
    assert [d['_id'] for d in docs(db.log)] == ['a']
    assert 'did you mean "20260101_d"' in eclose('up', '--only', '20260101_dd', rc=1).err
    eclose('baseline', '20260101_b', rc=0)
    eclose('up', rc=0)
    assert [d['_id'] for d in docs(db.log)] == ['a', 'd'] and record(db, '20260101_b')['origin'] == 'baseline'
    lines = [json.loads(line) for line in eclose('history', '--format', 'json', rc=0).out.splitlines()]
    assert [(line['name'], line['state']) for line in lines] == [
        ('20260101_a', 'applied'), ('20260101_b', 'applied'), ('20260101_d', 'applied')]


def test_a_changed_file_is_refused(eclose, db):
    write(eclose.folder, a='up: [{insert: {collection: log, document: {_id: 1}}}]\n')
    eclose('up', rc=0)
    write(eclose.folder, a='up: [{insert: {collection: log, document: {_id: 2}}}]\n')
    assert 'the file is another by now' in eclose('up', rc=1).err
    assert 'the file is another by now' in eclose('status', rc=1).err
    eclose('lint', rc=0)  # which asks no server
    eclose('lint', rc=0, env={'ECLOSE_URI': 'mongodb://127.0.0.1:1/'})
    lint = eclose('lint', '--server', rc=1)
    assert lint.out.startswith('migrations/20260101_a.yaml: was applied to ' + db.name) and 'eclose repair' in lint.out
    assert json.loads(eclose('lint', '--server', '--format', 'json', rc=1).out)['file'] == 'migrations/20260101_a.yaml'
    write(eclose.folder, b='up: [{insert: {colection: log}}]\n')
    assert 'the server was not asked' in eclose('lint', '--server', rc=1).err
    os.unlink(os.path.join(eclose.folder, 'migrations', '20260101_b.yaml'))
    eclose('repair', rc=0)
    assert 'no problems' in eclose('lint', '--server', rc=0).out
    eclose('up', rc=0)
    assert docs(db.log) == [{'_id': 1}]


def test_repair_keeps_what_a_program_said(eclose, db):
    write(eclose.folder)
    path = os.path.join(eclose.folder, 'migrations', '20260101_a.sh')

    def program(text):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'#!/bin/sh\necho {text}\n')
        os.chmod(path, 0o755)

    program('what was said')
    eclose('up', rc=0)
    program('something else')
    eclose('up', rc=1)
    eclose('repair', '20260101_a', rc=0)
    eclose('up', rc=0)
    kept = db.eclose_changelog.find_one()
    assert kept['state'] == 'applied' and 'what was said' in kept['output']


def test_backfill_verify_and_mixed_validator(eclose, db):
    os.makedirs(os.path.join(eclose.folder, 'migrations', 'users'))
    with open(os.path.join(eclose.folder, 'migrations', 'users', '0001_n.yaml'), 'w', encoding='utf-8') as f:
        f.write('to: 1\nup: [{$set: {m: $n}}, {$unset: n}]\nschema: {required: [m]}\n')
    db.users.insert_many([{'_id': i, 'n': i} for i in range(50)])
    write(eclose.folder, a='''
up:
  - validator: {collection: users}
  - backfill: {collection: users, to: 1}
  - verify: {collection: users}
''')
    eclose('up', rc=0)
    assert db.users.count_documents({'v': 1, 'm': {'$exists': True}}) == 50
    db.users.insert_one({'_id': 'old', 'n': 1})
    with pytest.raises(Exception, match='(?i)validation'):
        db.users.insert_one({'_id': 'bad', 'v': 1})
    write(eclose.folder, b='up: [{validator: {collection: users, schema: {required: [m, x]}}}]\n')
    eclose('up', '--only', '20260101_b', rc=0)
    db.users.insert_many([{'_id': 'older', 'n': 1}, {'_id': 'good', 'v': 1, 'm': 1, 'x': 1}])
    with pytest.raises(Exception, match='(?i)validation'):
        db.users.insert_one({'_id': 'bad', 'v': 1, 'm': 1})
    write(eclose.folder, c='up: [{validator: {collection: users, mixed: false}}]\n')
    eclose('up', '--only', '20260101_c', rc=0)
    db.users.insert_one({'_id': 'free', 'm': 1})
    with pytest.raises(Exception, match='(?i)validation'):
        db.users.insert_one({'_id': 'bad', 'n': 1})


def test_a_step_that_verifies_goes_on_where_its_cursor_is_lost(eclose, db, relay):
    """By ranges of _id, from what the majority has, and no document is left out or looked at twice."""
    os.makedirs(os.path.join(eclose.folder, 'migrations', 'users'))
    with open(os.path.join(eclose.folder, 'migrations', 'users', '0001_n.yaml'), 'w', encoding='utf-8') as f:
        f.write('to: 1\nup: [{$set: {m: $n}}]\nschema: {required: [m]}\n')
    db.users.insert_many([{'_id': i, 'v': 1, 'm': i} for i in range(1700)])
    db.users.insert_many([{'_id': 'bad', 'v': 1}, {'_id': 'worse', 'v': 1}])
    write(eclose.folder, a='up: [{verify: {collection: users}}]\n')

    def reads(command):
        return command.name in ('find', 'getMore') and command.collection == 'users'

    for k in (2, 3):
        db.eclose_changelog.delete_many({})
        before = len(relay.commands())
        relay.catch(reads, k)
        child = eclose.start('up', env={'ECLOSE_URI': relay.uri})
        wait_for(lambda: relay.caught() or child.poll() is not None)
        relay.cut()
        relay.go()
        out, err = child.communicate(timeout=60)
        assert child.returncode == 1, out + err
        assert '2 of 1702 documents of users are not as they should be' in err
        finds = [c.document for c in relay.commands(before) if c.name == 'find' and reads(c)]
        assert len(finds) == 2 and all(f['sort'] == {'_id': 1} for f in finds)
        assert all(f['readConcern'] == {'level': 'majority'} for f in finds)
    db.users.delete_many({'_id': {'$in': ['bad', 'worse']}})
    eclose('up', rc=0)


# ---- programs ----

SCRIPT = '''#!/bin/sh
echo "$ECLOSE_DIRECTION $ECLOSE_MIGRATION $ECLOSE_DATABASE $ECLOSE_TOKEN"
echo "${ECLOSE_URI%%:*}" >&2
exit ${CODE:-0}
'''


def test_programs(eclose, db):
    program(eclose.folder, '20260101_script.sh', SCRIPT)
    failed = eclose('up', rc=1, env={'CODE': '7'})
    assert 'ended with status 7' in failed.err
    assert record(db, '20260101_script')['state'] == 'failed'
    eclose('up', rc=0)
    entry = record(db, '20260101_script')
    assert entry['output'].splitlines() == [f'up 20260101_script {db.name} {entry["token"]}', 'mongodb']
    assert f'down 20260101_script {db.name}' in eclose('revert', rc=0).err
    assert 'mongodb' in eclose('history', '20260101_script', rc=0).out


def test_history_tells_all_that_is_known(eclose, db):
    program(eclose.folder, '20260101_script.sh', SCRIPT)
    write(eclose.folder, steps='''
description: Two steps
up:
  - insert: {collection: a, document: {_id: 1}}
  - assert: {collection: ready, filter: {}, min: 1}
''')
    eclose('up', rc=1, env={'ECLOSE_RELEASE': '1.2.3'})

    def told(name):
        lines = eclose('history', name, rc=0).out.splitlines()
        pairs = [line.split(None, 1) for line in lines[1:] if line.startswith('  ')]
        return lines, {pair[0]: pair[1] if len(pair) > 1 else '' for pair in pairs}

    entry = record(db, '20260101_script')
    lines, script = told('20260101_script')
    when = entry['started'].strftime('%Y-%m-%d %H:%M:%SZ')
    assert lines[0] == '20260101_script'
    assert script | {'ended': '', 'duration': ''} == {
        'state': 'applied', 'direction': 'up', 'steps': f'{entry["steps"]} done', 'attempts': '1', 'started': when, 'ended': '',
        'duration': '', 'host': entry['host'], 'pid': str(entry['pid']), 'user': entry['user'],
        'release': '1.2.3', 'token': str(entry['token']), 'checksum': entry['checksum'], 'output': ''}
    assert script['ended'] == entry['ended'].strftime('%Y-%m-%d %H:%M:%SZ') and script['duration'] != '-'
    assert lines[-2:] == entry['output'].splitlines()
    lines, steps = told('20260101_steps')
    assert lines[0] == '20260101_steps: Two steps'
    assert steps['state'] == 'failed' and steps['steps'] == '1 of 2 done'
    assert steps['error'] == record(db, '20260101_steps')['error']
    write(eclose.folder, old='up: []\n')
    eclose('baseline', '20260101_old', rc=0)
    assert told('20260101_old')[1]['origin'] == 'baseline'
    write(eclose.folder, steps='up: []\n')
    assert 'the file is another by now' in eclose('history', '20260101_steps', rc=0).out


def test_the_end_of_long_output_is_kept(eclose, db):
    program(eclose.folder, '20260101_long.sh', '#!/bin/sh\nseq 1 100000\n')
    eclose('up', rc=0)
    output = record(db, '20260101_long')['output']
    assert output.endswith('99999\n100000\n') and 60000 < len(output) <= 65536


# ---- the stories ----

def example(eclose, name):
    shutil.copytree(os.path.join(EXAMPLES, name), eclose.folder, dirs_exist_ok=True)


def run_killed(eclose, delays):
    for delay in delays:
        child = eclose.start('up', '--wait', env=FAST)
        time.sleep(delay)
        child.kill()
        child.wait()
    eclose('up', '--wait', rc=0, env=FAST)


class Hooks:
    """Applications beside the migration of the webhooks: what they were told is there, and readers who want to see it."""

    def __init__(self, db, pause):
        self.db, self.pause = db, pause
        self.known = {i: {f'http://h/{i}/{k % 3}' for k in range(i % 6)} for i in range(800)}
        self.lock, self.end, self.old_ended = threading.Lock(), threading.Event(), threading.Event()
        self.wrong, self.seen, self.twice = [], 0, 0
        db.creators.insert_many([{'_id': i, 'webhookUrls': [f'http://h/{i}/{k % 3}' for k in range(i % 6)]} for i in range(800)])
        self.threads = [threading.Thread(target=self.run, args=(what, seed)) for seed, what in enumerate(
            [self.read, self.read, self.write_new, self.write_old])]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.old_ended.set()
        for thread in self.threads:
            thread.join()

    def run(self, what, seed):
        chance, n = random.Random(seed), 0
        try:
            while not (self.old_ended if what == self.write_old else self.end).is_set():
                what(chance.randrange(800), n)
                n += 1
        except Exception as e:  # noqa: BLE001
            self.wrong.append(repr(e))

    def read(self, creator, _n):
        """As examples/webhooks/README.md says: documents, then the list, in time, or once more."""
        while True:
            with self.lock:
                known = set(self.known[creator])
            began = time.monotonic()
            documents = [hook['url'] for hook in self.db.webhooks.find({'creatorId': creator, 'event': 'post-created'})]
            listed = set(self.db.creators.find_one({'_id': creator}).get('webhookUrls', []))
            if time.monotonic() - began <= self.pause:
                break
        if not known <= listed | set(documents) or len(documents) != len(set(documents)):
            self.wrong.append((creator, known, documents, listed))
        self.seen += 1
        self.twice += bool(listed & set(documents))

    def wrote(self, creator, url):
        with self.lock:
            self.known[creator].add(url)
        time.sleep(0.005)

    def write_new(self, creator, n):
        url = f'http://h/{creator}/{n % 5}'
        self.db.webhooks.update_one({'creatorId': creator, 'event': 'post-created', 'url': url},
                                    {'$setOnInsert': {'_id': f'own {creator} {n}', 'name': 'Mine', 'secret': 's'}}, upsert=True)
        self.wrote(creator, url)

    def write_old(self, creator, n):
        url = f'http://h/{creator}/{n % 7}'
        self.db.creators.update_one({'_id': creator}, {'$addToSet': {'webhookUrls': url}})
        self.wrote(creator, url)


def test_webhooks(eclose, db):
    example(eclose, 'webhooks')
    pause = 2
    for name in os.listdir(os.path.join(eclose.folder, 'migrations')):
        path = os.path.join(eclose.folder, 'migrations', name)
        with open(path, encoding='utf-8') as f:
            text = f.read()
        assert text.count('seconds: 60') == 1
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text.replace('seconds: 60', f'seconds: {pause}'))
    rest = os.path.join(eclose.folder, 'migrations', '20261129T1000_webhooks_rest.yaml')
    os.rename(rest, os.path.join(eclose.folder, 'later'))
    # A hook that the application has under an _id of its own already, and as it wants it.
    db.webhooks.create_index([('creatorId', 1), ('event', 1), ('url', 1)], unique=True)
    mine = {'_id': 'mine', 'creatorId': 5, 'event': 'post-created', 'name': 'Mine', 'secret': 's', 'url': 'http://h/5/0'}
    db.webhooks.insert_one(mine)
    with Hooks(db, pause) as hooks:
        run_killed(eclose, [0.1, 0.4, 1])
        left = db.creators.count_documents({'webhookUrls': {'$exists': True}})
        # The next release: nobody writes lists any more, and what stayed is moved.
        hooks.old_ended.set()
        hooks.threads[-1].join()
        os.rename(os.path.join(eclose.folder, 'later'), rest)
        run_killed(eclose, [0.2])
    assert not hooks.wrong, hooks.wrong[:3]
    print(f'{hooks.seen} readers, {hooks.twice} of them saw a hook in both places; {left} lists stayed for the second')
    assert hooks.seen and hooks.twice
    assert db.creators.count_documents({'$or': [{'webhookUrls': {'$exists': True}}, {'webhooksCopied': {'$exists': True}}]}) == 0
    found = [(h['creatorId'], h['url']) for h in db.webhooks.find()]
    assert len(found) == len(set(found))
    assert set(found) == {(creator, url) for creator, urls in hooks.known.items() for url in urls}
    assert db.webhooks.find_one({'_id': 'mine'}) == mine
    moved = db.webhooks.find_one({'name': 'Webhook'}, {'_id': 0})
    assert moved == {'creatorId': moved['creatorId'], 'event': 'post-created', 'name': 'Webhook', 'secret': None, 'url': moved['url']}
    eclose('revert', '--steps', 2, rc=0)
    assert db.webhooks.count_documents({}) == 0
    assert {c['_id']: set(c.get('webhookUrls', [])) for c in db.creators.find()} == hooks.known


# ---- many at once ----

# Once in effect, however often it is begun: what it writes is the same each time, and says under which token it was.
ONCE = f'''#!{sys.executable}
import os
import pymongo

db = pymongo.MongoClient(os.environ['ECLOSE_URI'])[os.environ['ECLOSE_DATABASE']]
db.runs.insert_one({{'token': int(os.environ['ECLOSE_TOKEN']), 'name': os.environ['ECLOSE_MIGRATION']}})
db.log.update_one({{'_id': 'd'}}, {{'$set': {{'n': 1}}}}, upsert=True)
print('done')
'''


def rounds(eclose, db, seed):
    chance = random.Random(seed)
    program(eclose.folder, '20260101_d.py', ONCE)
    for name in ('a', 'b', 'c'):
        write(eclose.folder, **{name: f'''
up:
  - insert: {{collection: log, document: {{_id: {name}}}}}
  - transaction:
      - insert: {{collection: times, document: {{of: {name}}}}}
      - updateOne: {{collection: log, filter: {{_id: {name}}}, update: {{$inc: {{n: 1}}}}}}
  - foreach: {{find: rows, filter: {{{name}: {{$exists: false}}}}}}
    let: {{id: $_id}}
    do: [{{updateOne: {{collection: rows, filter: {{_id: $$id}}, update: {{$set: {{{name}: 1}}}}}}}}]
'''})
    db.rows.insert_many([{'_id': i} for i in range(300)])
    children = [eclose.start('up', '--wait', env=FAST) for _ in range(20)]
    time.sleep(chance.uniform(0, 1.5))
    victim = chance.choice(children)
    victim.kill()
    for child in children:
        out, err = child.communicate(timeout=120)
        assert child is victim or child.returncode == 0, (out, err)
    eclose.children.clear()
    assert docs(db.log) == [{'_id': name, 'n': 1} for name in 'abcd']
    assert sorted(d['of'] for d in db.times.find()) == ['a', 'b', 'c']
    assert db.rows.count_documents({'a': 1, 'b': 1, 'c': 1}) == 300
    assert [e['state'] for e in docs(db.eclose_changelog)] == ['applied'] * 4
    runs = [r['token'] for r in db.runs.find().sort('token', 1)]
    entry = record(db, '20260101_d')
    # The last of them is the one that the changelog tells of; another one only where the one that was killed began it.
    assert runs[-1] == entry['token'] and len(runs) in (1, 2) and len(set(runs)) == len(runs), (runs, entry)
    assert entry['output'] == 'done\n'


@pytest.mark.parametrize('seed', range(5))
def test_twenty_at_once_and_one_is_killed(eclose, db, seed):
    rounds(eclose, db, seed)


@pytest.mark.long
@pytest.mark.parametrize('seed', range(5, 50))
def test_twenty_at_once_often(eclose, db, seed):
    rounds(eclose, db, seed)


def test_without_wait_the_second_ends_with_four(eclose, db):
    program(eclose.folder, '20260101_slow.sh', '#!/bin/sh\nsleep 600\n')
    child = eclose.start('up')
    wait_for(lambda: record(db, '20260101_slow'))
    assert eclose('up', rc=4).err
    child.terminate()
    assert child.wait(timeout=60) == 1
    assert record(db, '20260101_slow')['state'] == 'failed'


# ---- a server that goes away; memory ----

def test_server_goes_away_and_comes_back(own_eclose, own_server, own_db):
    own_db.src.insert_many([{'_id': i, 'v': i} for i in range(20000)])
    write(own_eclose.folder, a='''
up:
  - foreach: {find: src, filter: {done: {$exists: false}}}
    let: {id: $_id, v: $v}
    do:
      - insert: {collection: dst, document: {_id: $$id, v: $$v}}
      - updateOne: {collection: src, filter: {_id: $$id}, update: {$set: {done: true}}}
''')
    child = own_eclose.start('up')
    wait_for(lambda: own_db.dst.estimated_document_count() > 500)
    own_server.kill()
    own_server.restart()
    out, err = child.communicate(timeout=150)
    assert child.returncode == 0 or 'eclose up:' in err, (out, err)
    own_eclose('up', '--wait', rc=0, env=FAST)
    assert own_db.dst.count_documents({}) == 20000 and own_db.src.count_documents({'done': True}) == 20000


def foreach_over(eclose, db, n):
    """Runs a foreach over so many rows; the peak of its memory in KiB, and what it said."""
    for first in range(0, n, 20000):
        db.src.insert_many([{'_id': i, 'v': 'x' * 100} for i in range(first, min(first + 20000, n))])
    write(eclose.folder, a='''
up:
  - foreach: {find: src}
    let: {id: $_id, v: $v}
    do: [{insert: {collection: dst, document: {_id: $$id, v: $$v}}}]
''')
    child = eclose.start('up')
    peak = 0
    while child.poll() is None:
        with contextlib.suppress(OSError), open(f'/proc/{child.pid}/status', encoding='utf-8') as f:
            peak = max([peak] + [int(line.split()[1]) for line in f if line.startswith('VmHWM')])
        time.sleep(0.02)
    out, err = child.communicate()
    assert child.returncode == 0, (out, err)
    assert db.dst.count_documents({}) == n
    return peak, err


def sanitized(eclose):
    with open(eclose.binary, 'rb') as f:
        return b'__asan_init' in f.read()


def test_foreach_has_bounded_memory(eclose, db):
    peak, _ = foreach_over(eclose, db, 40000)
    # The rows alone are more than half of it; a build under the sanitizers keeps what is freed for a while.
    assert 0 < peak <= (512 if sanitized(eclose) else 32) * 1024, peak


@pytest.mark.long
def test_foreach_over_many_rows_has_bounded_memory(eclose, db):
    peak, err = foreach_over(eclose, db, 300000)
    print(f'peak: {peak} KiB')
    assert 0 < peak <= 64 * 1024, peak
    assert re.search(r'step 1 of 1, foreach src: [0-9,]+', err), err


# ---- plan ----

def dump(db):
    return {name: docs(db[name]) for name in sorted(db.list_collection_names())}


def plan_of_all_kinds(eclose, db):
    """A migration with each kind of step, one that is a program, and a collection with a chain."""
    db.posts.insert_many([{'_id': i, 'categoryId': i % 10, 'n': i} for i in range(1000)])
    db.categories.insert_many([{'_id': i, 'label': f'label {i % 4}'} for i in range(10)])
    db.old.insert_one({'_id': 1})
    os.makedirs(os.path.join(eclose.folder, 'migrations', 'users'))
    with open(os.path.join(eclose.folder, 'migrations', 'users', '0001_n.yaml'), 'w', encoding='utf-8') as f:
        f.write('to: 1\nup: [{$set: {m: $n}}]\n')
    db.users.insert_many([{'_id': i, 'n': i} for i in range(5)])
    write(eclose.folder, a='''
description: Merge categories
up:
  - insert: {collection: b, documents: [{_id: 1}, {_id: 2}]}
  - updateOne: {collection: posts, filter: {categoryId: 3}, update: {$set: {x: 1}}}
  - updateOne: {collection: b, filter: {_id: 9}, update: {$set: {x: 1}}, upsert: true}
  - updateMany: {collection: posts, filter: {categoryId: 3}, update: {$set: {x: 1}}}
  - deleteMany: {collection: posts, filter: {n: {$gte: 998}}, at_once: true}
  - replaceOne: {collection: b, filter: {_id: 9}, replacement: {y: 1}}
  - bulkWrite:
      collection: posts
      operations:
        - insertOne: {document: {_id: 2000}}
        - deleteOne: {filter: {_id: 3}}
  - foreach: {aggregate: categories, pipeline: [{$sort: {_id: 1}}, {$group: {_id: $label, ids: {$push: $_id}}},
        {$sort: {_id: 1}}]}
    let: {keep: {$first: $ids}, rest: {$slice: [$ids, 1, 9]}}
    do:
      - updateMany: {collection: posts, filter: {categoryId: {$in: $$rest}}, update: {$set: {categoryId: $$keep}}}
      - deleteMany: {collection: categories, filter: {_id: {$in: $$rest}}}
        unless: {collection: posts, filter: {categoryId: {$in: $$rest}}}
  - transaction:
      - updateOne: {collection: posts, filter: {_id: 1}, update: {$inc: {n: 1}}}
      - assert: {collection: posts, filter: {n: 5}, count: 1}
  - aggregate: {collection: posts, pipeline: [{$match: {n: {$lt: 10}}}, {$merge: {into: c}}]}
  - createIndex: {collection: posts, keys: {n: 1}, options: {unique: true}}
  - dropIndex: {collection: posts, index: never_was}
  - createCollection: {collection: posts}
  - renameCollection: {from: old, to: posts}
    repeatable: because nothing writes to it
  - dropCollection: {collection: old}
  - validator: {collection: posts, filter: {n: {$lt: 990}}}
  - backfill: {collection: users, to: 1}
  - verify: {collection: users}
  - wait: {collection: posts, filter: {n: 5}}
  - assert: {collection: posts, filter: {n: {$lt: 5}}, min: 6}
  - command: {ping: 1}
  - updateMany: {collection: posts, filter: {$nope: 1}, update: {$set: {x: 1}}}
  - wait: {seconds: 60}
''')
    program(eclose.folder, '20260102_program.sh', '#!/bin/sh\n')


def test_plan_counts_and_writes_nothing(eclose, db):
    plan_of_all_kinds(eclose, db)
    before = dump(db)
    text = eclose('plan', rc=0).out
    assert dump(db) == before
    for line in ('  1 insert b: inserts 2 documents\n',
                 '  2 updateOne posts: changes one of 100 that match\n',
                 '  3 updateOne b: nothing matches: inserts one\n',
                 '  4 updateMany posts: changes 100 documents, by ranges of _id\n',
                 '  5 deleteMany posts: deletes 2 documents, all at once\n',
                 '  6 replaceOne b: replaces no document\n',
                 '  7 bulkWrite posts: 2 operations\n      insert posts: inserts 1 document\n'
                 '      deleteOne posts: deletes 1 document\n',
                 '  8 foreach categories: 4 rows\n      row {"keep": 0, "rest": [4, 8]}\n'
                 '        updateMany posts {"filter": {"categoryId": {"$in": [4, 8]}}, "update": {"$set": {"categoryId": 0}}}: '
                 'changes 200 documents\n'
                 '        deleteMany categories {"filter": {"_id": {"$in": [4, 8]}}}: '
                 'held back while 200 documents of posts match\n      row {"keep": 1',
                 '  9 transaction\n      updateOne posts: changes 1 document\n      assert posts: holds: 1 document matches\n',
                 '  10 aggregate posts: 10 documents into c\n',
                 '  11 createIndex posts: n_1, on 1000 documents; fails where two have the same\n',
                 '  12 dropIndex posts: never_was is not there\n',
                 '  13 createCollection posts: is there already\n',
                 '  14 renameCollection old: to posts: there is one of that name already\n',
                 '  15 dropCollection old: drops 1 document\n',
                 '  16 validator posts: 10 documents would not pass, when written again\n',
                 '  17 backfill users: 5 documents to version 1\n',
                 '  18 verify users: reads 5 documents\n',
                 '  19 wait posts: would wait: 1 document matches\n',
                 '  20 assert posts: would fail as things are: 5 documents match\n',
                 '  21 command: sent as it stands\n',
                 '  22 updateMany posts: the server refuses its filter: ', '  23 wait: 60 seconds\n',
                 '  1 program: what it would touch only itself knows\n', 'users: 5 documents to version 1'):
        assert line in text, line + text
    assert text.count('      row {') == 3  # of four
    plans = [json.loads(line) for line in eclose('plan', '--format', 'json', rc=0).out.splitlines()]
    steps = plans[0]['steps']
    assert plans[0]['migration'] == '20260101_a' and plans[1]['migration'] == '20260102_program'
    assert [s['documents'] for s in steps if s['kind'] == 'step' and 'documents' in s] == [
        2, 1, 1, 100, 2, 0, 4, 10, 1000, 1, 1, 10, 5, 5, 1, 5]
    assert [s['what'] for s in steps if s['kind'] == 'row'][0] == {'keep': 0, 'rest': [4, 8]}
    assert [s['step'] for s in steps if s.get('fails')] == [14, 19, 20, 22]
    assert dump(db) == before and 'eclose_changelog' not in before


def test_plan_says_what_is_there_and_what_is_not(eclose, db):
    db.posts.insert_many([{'_id': i, 'n': i} for i in range(10)])
    db.posts.create_index('n')
    db.old.insert_one({'_id': 1})
    write(eclose.folder, a='''
up:
  - createIndex: {collection: posts, keys: {n: 1}}
  - createIndex: {collection: posts, keys: {m: -1}, options: {name: mine}}
  - dropIndex: {collection: posts, keys: {n: 1}}
  - createCollection: {collection: fresh}
  - dropCollection: {collection: never_was}
  - renameCollection: {from: never_was, to: other}
    repeatable: because nothing writes to it
  - renameCollection: {from: old, to: other}
    repeatable: because nothing writes to it
  - renameCollection: {from: old, to: posts, dropTarget: true}
    repeatable: because nothing writes to it
  - validator: {collection: posts, schema: {required: [n]}}
  - validator: {collection: posts, level: moderate}
  - validator: {collection: posts, filter: {$nope: 1}}
  - wait: {collection: posts, filter: {n: 99}}
  - assert: {collection: posts, filter: {}, min: 5, max: 20}
  - assert: {collection: posts, filter: {}, count: 3}
  - foreach: {find: posts, filter: {n: 99}}
    do: [{deleteOne: {collection: b, filter: {_id: 1}}}]
  - foreach: {find: posts, filter: {n: {$nope: 1}}}
    do: [{deleteOne: {collection: b, filter: {_id: 1}}}]
  - foreach: {find: posts, filter: {n: {$lt: 2}}, sort: {_id: 1}}
    let: {id: $_id, gone: $gone}
    do:
      - insert: {collection: b, documents: [{_id: $$id}, {_id: {of: $$id}}]}
      - deleteMany: {collection: posts, filter: {x: $$gone}}
  - aggregate: {collection: posts, pipeline: [{$nope: 1}, {$merge: {into: c}}]}
  - aggregate: {collection: posts, pipeline: [{$match: {n: 1}}, {$out: {db: other, coll: c}}]}
  - deleteOne: {collection: posts, filter: {_id: 77}}
  - updateOne: {collection: posts, filter: {_id: 7}, update: {$set: {x: 1}}}
''')
    text = eclose('plan', rc=0).out
    for line in ('  1 createIndex posts: n_1 is there already\n',
                 '  2 createIndex posts: mine, on 10 documents\n',
                 '  3 dropIndex posts: n_1\n',
                 '  4 createCollection fresh: is new\n',
                 '  5 dropCollection never_was: is not there\n',
                 '  6 renameCollection never_was: to other: there is no such collection\n',
                 '  7 renameCollection old: to other: 1 document\n',
                 '  8 renameCollection old: to posts: 1 document\n',
                 '  9 validator posts: every document there is passes\n',
                 '  10 validator posts: changes level or action\n',
                 '  11 validator posts: the server refuses it: ',
                 '  12 wait posts: holds: no document matches\n',
                 '  13 assert posts: holds: 10 documents match\n',
                 '  14 assert posts: would fail as things are: 10 documents match\n',
                 '  15 foreach posts: no row\n',
                 '  16 foreach posts: the server refuses the query: ',
                 '  17 foreach posts: 2 rows\n      row {"id": 0}\n'
                 '        insert b {"documents": [{"_id": 0}, {"_id": {"of": 0}}]}: inserts 2 documents\n'
                 '        deleteMany posts: a row has no value for "$$gone"',
                 '  18 aggregate posts: the server refuses it: ',
                 '  19 aggregate posts: 1 document into ',
                 '  20 deleteOne posts: deletes no document\n',
                 '  21 updateOne posts: changes 1 document\n'):
        assert line in text, line + text


# What the server is asked by one that only looks; explain, because it says how a command would go.
LOOKS = {'hello', 'isMaster', 'ismaster', 'ping', 'buildInfo', 'connectionStatus', 'find', 'aggregate', 'count', 'distinct', 'explain',
         'listCollections', 'listIndexes', 'getMore', 'killCursors', 'endSessions', 'collStats', 'dbStats', 'serverStatus',
         'getParameter', 'currentOp', 'replSetGetStatus', 'getCmdLineOpts', 'hostInfo', 'saslStart', 'saslContinue'}


def assert_only_looked(relay):
    commands = relay.commands()
    assert commands and {c.name for c in commands} <= LOOKS, {c.name for c in commands} - LOOKS
    for command in commands:
        asked = command.document.get('explain', command.document) if command.name == 'explain' else command.document
        for stage in asked.get('pipeline', []):
            assert not {'$merge', '$out'} & set(stage), command
    return commands


def test_plan_sends_nothing_that_writes(eclose, db, relay):
    plan_of_all_kinds(eclose, db)
    before = dump(db)
    eclose('plan', rc=0, env={'ECLOSE_URI': relay.uri})
    eclose('plan', '--format', 'json', rc=0, env={'ECLOSE_URI': relay.uri})
    commands = assert_only_looked(relay)
    assert {c.collection for c in commands} >= {'posts', 'categories', 'users', 'b', 'old'}
    assert dump(db) == before


def test_plan_goes_on_where_a_run_ended(eclose, db):
    write(eclose.folder, a='''
up:
  - insert: {collection: a, document: {_id: 1}}
  - assert: {collection: ready, filter: {}, min: 1}
''')
    eclose('up', rc=1)
    assert eclose('plan', rc=0).out == ('20260101_a\n  goes on behind step 1 of 2\n'
                                        '  2 assert ready: would fail as things are: no document matches\n')
    db.ready.insert_one({})
    eclose('up', rc=0)
    assert eclose('plan', rc=0).out == ''
    write(eclose.folder, a='up: []\n')
    assert 'the file is another by now' in eclose('plan', rc=1).err
