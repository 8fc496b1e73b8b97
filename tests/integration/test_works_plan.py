"""What `eclose plan` says of database migrations, and that it only looks."""

import json

from works import docs, program, put, write


def dump(db):
    return {name: docs(db[name]) for name in sorted(db.list_collection_names())}


def plan_of_all_kinds(eclose, db):
    """A migration with each kind of step, one that is a program, and a collection with a chain."""
    db.posts.insert_many([{'_id': i, 'categoryId': i % 10, 'n': i} for i in range(1000)])
    db.categories.insert_many([{'_id': i, 'label': f'label {i % 4}'} for i in range(10)])
    db.old.insert_one({'_id': 1})
    put(eclose.folder, 'migrations/users/0001_n.yaml', 'to: 1\nup: [{$set: {m: $n}}]\n')
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


def test_plan_looks_as_the_step_will(eclose, db):
    """An aggregate with its options; an index by its keys, whatever its name is."""
    db.posts.insert_many([{'_id': i, 'n': i, 's': 'aA'[i % 2]} for i in range(10)])
    db.posts.create_index([('n', 1), ('s', -1)], name='mine')
    write(eclose.folder, a='''
up:
  - aggregate: {collection: posts, pipeline: [{$match: {$expr: {$lt: [$n, $$most]}}}, {$merge: {into: c}}],
      options: {let: {most: 3}}}
  - aggregate: {collection: posts, pipeline: [{$match: {s: a}}, {$merge: {into: d}}],
      options: {collation: {locale: en, strength: 2}}}
  - dropIndex: {collection: posts, keys: {n: 1, s: -1}}
  - dropIndex: {collection: posts, keys: {n: 1}}
''')
    text = eclose('plan', rc=0).out
    for line in ('  1 aggregate posts: 3 documents into c\n', '  2 aggregate posts: 10 documents into d\n',
                 '  3 dropIndex posts: mine\n', '  4 dropIndex posts: n_1 is not there\n'):
        assert line in text, line + text
    eclose('up', rc=0)
    assert db.c.count_documents({}) == 3 and db.d.count_documents({}) == 10
    assert list(db.posts.index_information()) == ['_id_']
