"""Database migrations on a live server: every kind of step, programs, and who may run them."""

import datetime
import json
import os

import pymongo
import pytest
from bson import Int64, ObjectId

from works import FAST, docs, program, put, record, wait_for, write


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


def test_a_unique_index_of_the_users_is_an_answer_at_once(eclose, db, relay):
    """It is not asked again: that would be for a minute."""
    db.b.create_index('x', unique=True)
    db.b.insert_many([{'_id': i, 'x': i} for i in range(3)])
    write(eclose.folder, one='''
up:
  - updateOne: {collection: b, filter: {_id: 1}, update: {$set: {x: 2}}}
''')
    assert 'E11000' in eclose('up', rc=1, env={'ECLOSE_URI': relay.uri}).err
    assert [c.name for c in relay.commands() if c.collection == 'b' and c.name != 'find'] == ['update']
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
    eclose.wait(child)
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


def test_a_file_that_is_gone(eclose, db):
    write(eclose.folder, one='up: [{insert: {collection: a, document: {_id: 1}}}]\n')
    eclose('up', rc=0)
    os.remove(os.path.join(eclose.folder, 'migrations', '20260101_one.yaml'))
    told = 'gone 20260101_one: the changelog has it as applied, and the project has no file of it\n'
    assert told + 'database migrations: 0 of 0 applied\n' in eclose('status', '--check', rc=0).out


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


def test_repair_leaves_something_to_run(eclose, db):
    """Steps are counted: those that are done stay in the file."""
    write(eclose.folder, a="""
up:
  - insert: {collection: log, document: {_id: 1}}
  - insert: {collection: log, document: {_id: 2}}
  - assert: {collection: log, filter: {}, count: 9}
  - insert: {collection: log, document: {_id: 3}}
""")
    assert '9' in eclose('up', rc=1).err
    for rest in ('up: [{insert: {collection: log, document: {_id: 3}}}]\n',
                 'transaction: true\nup: [{insert: {collection: a, document: {}}}, {insert: {collection: b, document: {}}}]\n'):
        write(eclose.folder, a=rest)
        assert '2 of its steps are done, and this file has only 1' in eclose('repair', rc=1).err
        assert 'the file is another by now' in eclose('up', rc=1).err
    write(eclose.folder, a="""
up:
  - insert: {collection: log, document: {_id: 1}}
  - insert: {collection: log, document: {_id: 2}}
  - insert: {collection: log, document: {_id: 3}}
""")
    assert eclose('repair', rc=0).out == ('20260101_a: its file is accepted as it is now; '
                                          'up goes on behind 2 of its 3 steps\n')
    eclose('up', rc=0)
    assert [doc['_id'] for doc in docs(db.log)] == [1, 2, 3]


def test_repair_keeps_what_a_program_said(eclose, db):
    program(eclose.folder, '20260101_a.sh', '#!/bin/sh\necho what was said\n')
    eclose('up', rc=0)
    program(eclose.folder, '20260101_a.sh', '#!/bin/sh\necho something else\n')
    eclose('up', rc=1)
    eclose('repair', '20260101_a', rc=0)
    eclose('up', rc=0)
    kept = db.eclose_changelog.find_one()
    assert kept['state'] == 'applied' and 'what was said' in kept['output']


def test_backfill_verify_and_mixed_validator(eclose, db):
    put(eclose.folder, 'migrations/users/0001_n.yaml',
        'to: 1\nup: [{$set: {m: $n}}, {$unset: n}]\nschema: {required: [m]}\n')
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
    put(eclose.folder, 'migrations/users/0001_n.yaml', 'to: 1\nup: [{$set: {m: $n}}]\nschema: {required: [m]}\n')
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
        err = eclose.wait(child, rc=1).err
        assert '2 of 1702 documents of users are not as they should be' in err
        finds = [c.document for c in relay.commands(before) if c.name == 'find' and reads(c)]
        assert len(finds) == 2 and all(f['sort'] == {'_id': 1} for f in finds)
        assert all(f['readConcern']['level'] == 'majority' for f in finds)
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
