"""Projects and single documents; no server."""

import datetime
import gc
import threading
import weakref
from pathlib import Path

import bson
import pytest
from bson import Decimal128, Int64

import eclose
from eclose import _native

EXAMPLES = Path(__file__).resolve().parents[3] / 'examples'


def test_from_a_folder_and_from_its_migrations():
    for folder in (EXAMPLES / 'users', EXAMPLES / 'users' / 'migrations', str(EXAMPLES / 'users')):
        project = eclose.Project(folder)
        assert project.collections == ['users'] and project.version_field('users') == 'schema_version'
        out = project.upgrade('users', {'_id': 1, 'login': 'ariel', 'name': 'Ariel Whiteaker', 'phone': '+45751700142'})
        assert out == {'_id': 1, 'login': 'ariel', 'last_name': 'Whiteaker', 'first_name': 'Ariel',
                       'contacts': [{'type': 'phone', 'value': '+45751700142'}], 'schema_version': 2}


def test_migrations_without_a_project_file(tmp_path):
    folder = tmp_path / 'migrations' / 'users'
    folder.mkdir(parents=True)
    (folder / '0001_enabled.yaml').write_text('to: 1\nup: [{$set: {enabled: true}}]\n')
    project = eclose.Project(tmp_path / 'migrations')
    assert project.upgrade('users', {'_id': 1}) == {'_id': 1, 'enabled': True, 'schema_version': 1}
    with pytest.raises(FileNotFoundError):
        eclose.Project(tmp_path / 'nothing')


def test_a_current_document_is_given_back_itself():
    project = eclose.Project(EXAMPLES / 'users')
    document = {'_id': 1, 'schema_version': 2}
    raw = bson.encode(document)
    assert project.upgrade('users', document) is document
    assert project.upgrade('users', raw) is raw
    assert project.upgrade('unknown', document) is document


def test_down_and_up():
    project = eclose.Project(EXAMPLES / 'users')
    old = {'_id': 1, 'schema_version': 1, 'login': 'a', 'name': 'A B', 'phone': '1'}
    new = project.upgrade('users', old)
    assert project.upgrade('users', new, target=1) == old
    with pytest.raises(eclose.EcloseError):
        project.upgrade('users', old, target=7)


def test_all_problems_are_told():
    with pytest.raises(eclose.ProjectError) as caught:
        eclose.Project(files={'a/0001_x.yaml': 'to: 1\nup: [{$wrong: 1}]', 'b/0001_x.yaml': 'to: 1\nup: 3'})
    assert {p['file'] for p in caught.value.problems} == {'a/0001_x.yaml', 'b/0001_x.yaml'}
    assert caught.value.problems[0]['line'] == 2


def test_functions_and_files_in_one_chain():
    def up(document, context):
        assert (context.collection, context.version) == ('users', '2')
        document['b'] = document['a'] * 2

    def down(document):
        return {k: v for k, v in document.items() if k != 'b'}

    project = eclose.Project(files={'users/0001_a.yaml': 'to: 1\nup: [{$set: {a: 1}}]\ndown: [{$unset: a}]',
                                    'users/0003_c.yaml': 'to: 3\nup: [{$set: {c: {$add: [$b, 1]}}}]\n'
                                                         'down: [{$unset: c}]'},
                             functions={'users': {2: (up, down)}})
    new = project.upgrade('users', {'_id': 1})
    assert new == {'_id': 1, 'a': 1, 'b': 2, 'c': 3, 'schema_version': 3}
    assert project.upgrade('users', new, target=0) == {'_id': 1, 'schema_version': 0}


def test_what_is_no_function_is_refused():
    async def later(document):
        pass

    for wrong in (later, 'text', (None, later)):
        with pytest.raises(TypeError, match='users, version 1'):
            eclose.Project(functions={'users': {1: wrong}})


def test_what_a_function_raises():
    kept = []

    def fails(document, context):
        kept.append(context)
        raise ValueError('no')

    project = eclose.Project(functions={'users': {1: fails}})
    with pytest.raises(eclose.UpgradeError, match='users, _id 7.*ValueError: no') as caught:
        project.upgrade('users', {'_id': 7})
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(RuntimeError):
        kept[0].version

    def interrupted(document):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eclose.Project(functions={'users': {1: interrupted}}).upgrade('users', {'_id': 7})
    with pytest.raises(eclose.UpgradeError, match='not a document'):
        eclose.Project(functions={'users': {1: lambda document: 5}}).upgrade('users', {'_id': 7})


def test_values_pass_functions_as_they_are():
    values = {'_id': 1, 'i': 1, 'l': Int64(1), 'd': 1.0, 'dec': Decimal128('1.00'), 'b': bson.Binary(b'x', 4),
              'date': datetime.datetime(2026, 1, 2, 3, 4, 5, 6000), 'far': bson.DatetimeMS(1 << 60),
              're': bson.Regex('a', 'i'), 'n': None, 'ts': bson.Timestamp(1, 2), 'id': bson.ObjectId(),
              'u': bson.Binary(b'0' * 16, 4), 'min': bson.MinKey(), 's': 'ä', 'o': {'a': [1, {}]}}
    raw = bson.encode(values)
    out = eclose.Project(functions={'users': {1: lambda document: None}}).upgrade('users', raw)
    assert out == bson.encode({**bson.decode(raw, eclose.project.FUNCTION_OPTIONS), 'schema_version': 1})


def test_lookups_need_a_database():
    project = eclose.Project(functions={'users': {1: lambda document, context: context.find('x', '_id', 1) and None}})
    with pytest.raises(eclose.UpgradeError, match='database'):
        project.upgrade('users', {'_id': 1})


def test_the_catalog_lets_an_older_program_read_newer_documents():
    newer = eclose.Project(EXAMPLES / 'users')
    older = eclose.Project(files={'eclose.yaml': 'collections: {users: {unversioned: 1}}'},
                           documents=newer.documents)
    new = newer.upgrade('users', {'_id': 1, 'login': 'a', 'name': 'A B', 'phone': '1'})
    assert older.upgrade('users', new, target=1) == {'_id': 1, 'login': 'a', 'schema_version': 1, 'name': 'A B',
                                                     'phone': '1'}


def test_bytes_that_are_no_documents():
    upgrader = _native.Upgrader(eclose.Project(EXAMPLES / 'users')._native, 'users')
    whole = bson.encode({'_id': 1, 'schema_version': 2})
    for bad in (b'\0', whole[:-1], b'\xff\xff\xff\x7f' + whole[4:], whole + b'\1\0\0'):
        _, _, _, error = upgrader.run(bad, 0, lambda *_: b'', False)
        assert isinstance(error, eclose.EcloseError)
    out, end, stored, error = upgrader.run(whole + whole[:7], 0, lambda *_: b'', True)
    assert (out, end, stored) == (whole, len(whole) + 7, None) and error
    with pytest.raises(TypeError):
        upgrader.run(bytearray(whole), 0, None, False)


def test_an_upgrader_does_one_thing_at_a_time():
    inside = []

    def step(document):
        try:
            upgrader.run(bson.encode(document), 0, None, False)
        except RuntimeError as e:
            inside.append(str(e))

    project = eclose.Project(functions={'users': {1: step}})
    upgrader = _native.Upgrader(project._native, 'users')
    upgrader.run(bson.encode({'_id': 1}), 0, None, False)
    assert set(inside) == {'an upgrader does one thing at a time'}


def test_batches_release_the_gil():
    # Two batches wait for each other in their functions: with the GIL held they would never meet.
    meet = threading.Barrier(2, timeout=60)
    project = eclose.Project(functions={'users': {1: lambda document: meet.wait() and None or document}})
    done = []
    threads = [threading.Thread(target=lambda i=i: done.append(project.upgrade('users', {'_id': i}))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 2


def test_a_project_goes_when_nobody_has_it():
    def step(document):
        return document

    gone = weakref.ref(step)
    project = eclose.Project(functions={'users': {1: step}})
    project.upgrade('users', {'_id': 1})
    del project, step
    gc.collect()
    assert gone() is None


def test_same():
    assert _native.same(bson.encode({'a': 1, 'b': 2}), bson.encode({'b': 2, 'a': 1}))
    assert not _native.same(bson.encode({'a': 1}), bson.encode({'a': 1.0}))


def test_many_documents_that_look_things_up():
    def own(document, context):
        document['own'] = [found['n'] for found in context.find('teams', '_id', document['_id'])]

    asked = []

    def load(collection, filter):
        asked.append(bson.decode(filter))
        return b''.join(bson.encode({'_id': i, 'n': i + 1}) for i in asked[-1]['_id']['$in'])

    count = 5000
    batch = b''.join(bson.encode({'_id': i}) for i in range(count))
    out, end, _, error = eclose.Project(functions={'users': {1: own}}).upgraders('users').run(batch, 0, load)
    assert error is None and end == len(batch) and len(asked) == 2  # so many are announced at a time
    assert [document['own'] for document in bson.decode_all(out)] == [[i + 1] for i in range(count)]


@pytest.mark.parametrize('text', ['é' * 1000, 'x' + 'é' * 1000, 'xx' + '\U0001f600' * 1000, '\udcff', ''])
def test_long_messages_are_cut(text):
    def fail(document):
        raise ValueError(text)

    with pytest.raises(eclose.UpgradeError, match='ValueError') as caught:
        eclose.Project(functions={'users': {1: fail}}).upgrade('users', {'_id': 'é' * 500})
    assert caught.value.__cause__.args == (text,) and caught.value.details['collection'] == 'users'


@pytest.mark.parametrize('before', range(4))
def test_long_values_in_messages(before):
    project = eclose.Project(files={'users/0001_a.yaml': 'to: 1\nup: [{$set: {n: {$toInt: $n}}}]'})
    with pytest.raises(eclose.UpgradeError, match='\\$convert') as caught:
        project.upgrade('users', {'_id': 1, 'n': 'x' * before + '\u20ac' * 500})
    assert '\ufffd' not in str(caught.value)


def test_what_a_function_raised_goes_with_its_error():
    class Held:
        pass

    held = []

    def fail(document):
        there = Held()
        held.append(weakref.ref(there))
        raise ValueError

    project = eclose.Project(functions={'users': {1: fail}})
    with pytest.raises(eclose.UpgradeError):
        project.upgrade('users', {'_id': 1})
    gc.collect()
    assert held and not any(there() for there in held)
