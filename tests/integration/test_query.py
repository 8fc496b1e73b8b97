"""eclose query and eclose view on a server; and that indexes, old ones too, are used."""

import json

import pytest

from works import change, put

RENAME = '''to: 2
up: [{$set: {full: $name, plan: 0}}, {$unset: name}]
down: [{$set: {name: $full}}, {$unset: [full, plan]}]
'''
COMPUTED = '''to: 3
up: [{$set: {upper: {$toUpper: $full}}}]
down: [{$unset: upper}]
'''


@pytest.fixture
def users(eclose, db):
    put(eclose.folder, 'eclose.yaml', 'collections: {users: {unversioned: 1}}\n')
    put(eclose.folder, 'migrations/users/0002_rename.yaml', RENAME)
    put(eclose.folder, 'migrations/users/0003_upper.yaml', COMPUTED)
    return db.users


def found(result):
    return [json.loads(line) for line in result.out.splitlines()]


def mixed(users):
    users.insert_many([
        {'_id': 1, 'name': 'a', 'age': 30},
        {'_id': 2, 'full': 'b', 'plan': 5, 'age': 40, 'schema_version': 2},
        {'_id': 3, 'full': 'c', 'plan': 7, 'upper': 'C', 'age': 50, 'schema_version': 3},
    ])


def test_query_gives_one_shape(eclose, users):
    mixed(users)
    rows = found(eclose('query', 'users', '{}', '--sort', '{_id: 1}', '--relaxed', rc=0))
    assert rows == [
        {'_id': 1, 'age': 30, 'full': 'a', 'plan': 0, 'upper': 'A', 'schema_version': 3},
        {'_id': 2, 'full': 'b', 'plan': 5, 'age': 40, 'schema_version': 3, 'upper': 'B'},
        {'_id': 3, 'full': 'c', 'plan': 7, 'upper': 'C', 'age': 50, 'schema_version': 3},
    ]
    assert list(users.find({'_id': 1})) == [{'_id': 1, 'name': 'a', 'age': 30}]


@pytest.mark.parametrize('filter_text, ids', [
    ('{full: a}', [1]),
    ('{upper: B}', [2]),
    ('{plan: {$gte: 1}}', [2, 3]),
    ('{plan: 0}', [1]),
    ('{$or: [{full: a}, {plan: 7}]}', [1, 3]),
    ('{full: {$in: [a, b]}, age: {$lt: 35}}', [1]),
    ('{name: {$exists: true}}', []),
    ('{plan: {$ne: 0}}', [2, 3]),
    ('{$expr: {$gt: [$plan, 5]}}', [3]),
])
def test_filters_on_the_new_shape(eclose, users, filter_text, ids):
    mixed(users)
    rows = found(eclose('query', 'users', filter_text, '--sort', '{_id: 1}', '--relaxed', rc=0))
    assert [row['_id'] for row in rows] == ids


def test_an_update_cannot_take_the_id_away(eclose, users):
    put(eclose.folder, 'migrations/users/0002_rename.yaml', RENAME.replace('{$unset: name}]', '{$unset: [_id, name]}]'))
    mixed(users)
    for filter_text, ids in (('{_id: 1}', [1]), ('{_id: {$gte: 2}}', [2, 3])):
        rows = found(eclose('query', 'users', filter_text, '--sort', '{_id: 1}', '--relaxed', rc=0))
        assert [row['_id'] for row in rows] == ids


def test_sort_skip_limit_project(eclose, users):
    mixed(users)
    result = eclose('query', 'users', '{}', '--sort', '{age: -1}', '--skip', 1, '--limit', 1, '--project', '{upper: 1}',
                    '--relaxed', rc=0)
    assert found(result) == [{'_id': 2, 'upper': 'B'}]


def test_more_than_one_batch(eclose, users):
    users.insert_many([{'_id': i, 'name': 'x'} if i % 2 else {'_id': i, 'full': 'x', 'schema_version': 2}
                       for i in range(2500)])
    assert len(found(eclose('query', 'users', '{full: x}', rc=0))) == 2500


def test_older_shape_and_no_way(eclose, users):
    mixed(users)
    rows = found(eclose('query', 'users', '{name: c}', '--to', 1, '--relaxed', rc=0))
    assert rows == [{'_id': 3, 'age': 50, 'schema_version': 1, 'name': 'c'}]
    change(eclose.folder, 'migrations/users/0003_upper.yaml', '[{$unset: upper}]', 'irreversible')
    assert 'irreversible' in eclose('query', 'users', '{}', '--to', 1, rc=1).err


def test_replaced_documents_keep_their_id(eclose, users):
    put(eclose.folder, 'migrations/users/0004_whole.yaml', 'to: 4\nup: [{$replaceWith: {who: $upper}}]\n')
    mixed(users)
    rows = found(eclose('query', 'users', '{who: A}', '--relaxed', rc=0))
    assert rows == [{'_id': 1, 'who': 'A', 'schema_version': 4}]
    assert list(rows[0]) == ['_id', 'who', 'schema_version']


def test_what_is_refused(eclose, users):
    assert '$where' in eclose('query', 'users', '{$where: "1"}', rc=1).err
    assert '$text' in eclose('query', 'users', '{$text: {$search: x}}', rc=1).err
    assert 'no collection' in eclose('query', 'user', '{}', rc=1).err
    for reads in ('$_id', '{$getField: _id}', '{$getField: {$literal: _id}}', '{$getField: {$concat: [_, id]}}'):
        put(eclose.folder, 'migrations/users/0004_id.yaml',
            f'to: 4\nup: [{{$replaceWith: {{a: 1}}}}, {{$set: {{b: {reads}}}}}]\n')
        assert 'with _id can be said in an update' in eclose('query', 'users', '{}', rc=1).err
    for reads in ('{$getField: a}', '{$getField: {$literal: $a}}', '{$getField: {field: _id, input: $a}}'):
        put(eclose.folder, 'migrations/users/0004_id.yaml',
            f'to: 4\nup: [{{$replaceWith: {{a: 1}}}}, {{$set: {{b: {reads}}}}}]\n')
        eclose('query', 'users', '{}', rc=0)


def branches(eclose, *args):
    """The first $match of each part of the pipeline, without the filter of versions."""
    pipeline = json.loads(eclose('query', 'users', *args, '--pipeline', rc=0).out)
    parts = [pipeline[0], *(stage['$unionWith']['pipeline'][0] for stage in pipeline if '$unionWith' in stage)]
    return [part['$match']['$and'][0] for part in parts if '$and' in part['$match']], len(parts)


def test_the_filter_is_said_of_old_fields(eclose, users):
    first, parts = branches(eclose, '{full: x}')
    assert (first, parts) == ([{'full': 'x'}, {'name': 'x'}, {'full': 'x'}], 3)
    # plan is 0 after the first step: nothing at version 1 can match.
    first, parts = branches(eclose, '{plan: 5}')
    assert (first, parts) == ([{'plan': 5}, {'plan': 5}], 2)
    first, parts = branches(eclose, '{plan: 0, full: x}')
    assert first == [{'plan': 0, 'full': 'x'}, {'name': 'x'}, {'$and': [{'plan': 0}, {'full': 'x'}]}]
    first, parts = branches(eclose, '{full: x, upper: X}')
    assert first == [{'full': 'x', 'upper': 'X'}, {'name': 'x'}, {'full': 'x'}] and parts == 3


def scans(plan):
    """The names of the indexes and the number of collection scans anywhere in a plan."""
    names, full = [], 0
    if isinstance(plan, dict):
        full += plan.get('stage') == 'COLLSCAN'
        names += [plan['indexName']] if 'indexName' in plan else []
    for value in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
        more, scanned = scans(value)
        names, full = names + more, full + scanned
    return names, full


def first_match_plan(users, pipeline):
    """How the server finds what a pipeline's first $match asks for: as a find."""
    return users.database.command('explain', {'find': users.name, 'filter': pipeline[0]['$match']},
                                  verbosity='queryPlanner')


@pytest.mark.parametrize('filter_text, old_index', [('{full: x}', 'name_1'), ('{plan: 0, age: 30}', 'age_1')])
def test_indexes_serve(eclose, users, server, filter_text, old_index):
    """A rename, and a constant: the branch of the oldest version goes through an index of an old field."""
    server.differs('py', 'takes an index only for a filter that is one field alone; on MongoDB an index serves any '
                   'condition of an $and (manual, $and and db.collection.explain; db/query/planner_ixselect.cpp)')
    for field in ('name', 'full', 'age'):
        users.create_index(field)
    users.insert_many([{'_id': i, 'name': str(i), 'age': i} for i in range(100)])
    users.insert_many([{'_id': 100 + i, 'full': str(i), 'age': i, 'plan': 0, 'schema_version': 3} for i in range(100)])
    whole = json.loads(eclose('query', 'users', filter_text, '--pipeline', rc=0).out)
    parts = [whole, *(stage['$unionWith']['pipeline'] for stage in whole if '$unionWith' in stage)]
    for part, index in zip(parts, ['full_1' if old_index == 'name_1' else 'age_1', old_index]):
        names, full = scans(first_match_plan(users, part))
        assert index in names and not full, (part[0], names, full)
    # And the whole of it, as the server plans an aggregate.
    plan = json.loads(eclose('query', 'users', filter_text, '--explain', rc=0).out)
    names, _ = scans(plan)
    assert ('full_1' if old_index == 'name_1' else 'age_1') in names, plan


def test_view(eclose, users, db):
    mixed(users)
    assert eclose('view', 'users', '--version', 2, rc=0).out == 'users_v2\n'
    assert list(db.users_v2.find({'full': 'a'})) == [{'_id': 1, 'age': 30, 'full': 'a', 'plan': 0, 'schema_version': 2}]
    assert db.users_v2.count_documents({}) == 3 and db.users_v2.count_documents({'upper': {'$exists': True}}) == 0
    assert eclose('view', 'users', '--version', 2, rc=0).out == 'users_v2\n'
    assert eclose('view', 'users', '--version', 2, '--drop', rc=0).out == 'users_v2\n'
    assert 'users_v2' not in db.list_collection_names()
    eclose('view', 'users', '--version', 2, '--drop', rc=0)
    db.users_v3.insert_one({})
    assert 'no view of users' in eclose('view', 'users', rc=1).err
    assert 'no view of users' in eclose('view', 'users', '--drop', rc=1).err
    assert db.users_v3.count_documents({}) == 1
    eclose('view', 'users', '--version', 9, rc=2)


def test_a_reader_that_goes_away(eclose, server, users):
    server.differs('rs', 'has no $unionWith, which MongoDB has since 4.4')
    users.insert_many({'_id': i, 'full': 'x' * 100, 'upper': 'X', 'schema_version': 3} for i in range(3000))
    child = eclose.start('query', 'users', '{}')
    child.stdout.readline()
    child.stdout.close()
    assert (child.stderr.read(), child.wait(60)) == ('', 1)
