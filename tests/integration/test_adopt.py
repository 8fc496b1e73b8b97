"""eclose adopt, on histories that the other tools made themselves on the same server."""

import datetime
import json
import os
import subprocess
import sys

import pytest

from works import put

NOW = datetime.datetime(2026, 1, 1)
BIN = os.path.dirname(sys.executable)  # of the virtual environment: the tools' own programs


def run(*args, cwd, env=None, rc=0):
    done = subprocess.run([str(a) for a in args], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=90, env=dict(os.environ, **(env or {})), check=False)
    assert done.returncode == rc, done.stdout + done.stderr
    return done.stdout


def project(eclose, *names):
    put(eclose.folder, 'eclose.yaml', 'version_field: v\n')
    for name in names:
        put(os.path.join(eclose.folder, 'migrations'), name + '.yaml',
            f'up: [{{insert: {{collection: ran, document: {{_id: {name}}}}}}}]\n')


def entries(eclose, *args):
    return [json.loads(line) for line in eclose('adopt', '--format', 'json', *args, rc=0).out.splitlines()]


def seen(eclose):
    return [(e['entry'], e['name'], 'file' in e, e['state']) for e in entries(eclose)]


def everything(db, collection):
    return list(db[collection].find().sort('_id', 1))


def recorded(db):
    return {r['_id']: r for r in db.eclose_changelog.find()}


def check_adoption(eclose, db, tool, collection, expected, times):
    """Shown first, nothing written; then marked, theirs untouched; then nothing more to do."""
    before = everything(db, collection)
    shown = eclose('adopt', rc=0)
    assert f'{collection}: the history of {tool}' in shown.out and 'nothing was written' in shown.err
    assert seen(eclose) == expected
    assert 'eclose_changelog' not in db.list_collection_names()
    new = [e for e in expected if e[3] == 'new']
    assert f'{len(new)} marked as applied' in eclose('adopt', '--yes', rc=0).err
    records = recorded(db)
    assert sorted(records) == sorted(e[1] for e in new)
    for entry, name, has_file, _ in new:
        record = records[name]
        assert record['state'] == 'applied' and record['origin'] == f'adopted from {tool} ({collection}: {entry})'
        assert ('checksum' in record) == has_file and record['ended'] == times[entry]
    assert everything(db, collection) == before
    assert '0 marked as applied' in eclose('adopt', '--yes', rc=0).err
    assert [e[3] for e in seen(eclose)] == ['recorded' if e[3] == 'new' else e[3] for e in expected]
    # What has no file here is no noise, and does not make the next one late.
    status = eclose('status', rc=0)
    without = sum(not e[2] for e in new)
    assert f'{without} adopted from other tools' in status.out and 'gone' not in status.out
    up = eclose('up', rc=0)
    assert 'late' not in up.err
    return {d['_id'] for d in db.ran.find()}


def migrate_mongo(npm, folder, server, db, *args, rc=0):
    put(folder, 'migrate-mongo-config.js', f'''module.exports = {{
  mongodb: {{ url: {str(server)!r}, databaseName: {db.name!r}, options: {{}} }},
  migrationsDir: 'theirs', changelogCollectionName: 'changelog', lockCollectionName: 'changelog_lock', lockTtl: 0,
  migrationFileExtension: '.js', useFileHash: {'true' if 'hash' in args else 'false'}, moduleSystem: 'commonjs',
}};
''')
    return run(os.path.join(npm, 'node_modules/.bin/migrate-mongo'), *[a for a in args if a != 'hash'], cwd=folder, rc=rc)


JS = 'module.exports = { async up(db) { await db.collection("log").insertOne({}); }, async down() {} };\n'


@pytest.mark.parametrize('more', [[], ['hash']])
def test_migrate_mongo(eclose, db, server, npm, more):
    folder = eclose.folder
    for name in ('20200101000000-one', '20200102000000-two-words', '20200103000000-three', '20200104000000-four'):
        put(os.path.join(folder, 'theirs'), name + '.js', JS)
    migrate_mongo(npm, folder, server, db, 'up', *more)
    migrate_mongo(npm, folder, server, db, 'down', *more)  # takes the last one back
    put(os.path.join(folder, 'theirs'), '20200101000000-one.js', JS + '// changed\n')
    migrate_mongo(npm, folder, server, db, 'up', *more)  # with hashes the changed one runs again: two rows of its name
    migrate_mongo(npm, folder, server, db, 'down', *more)
    assert db.changelog.count_documents({}) == (4 if more else 3)
    project(eclose, '20200102000000_two-words', '20200104000000_four', '20210101_ours')
    times = {row['fileName']: row['appliedAt'] for row in db.changelog.find().sort('appliedAt', 1)}
    expected = [('20200101000000-one.js', '20200101000000-one', False, 'new'),
                ('20200102000000-two-words.js', '20200102000000_two-words', True, 'new'),
                ('20200103000000-three.js', '20200103000000-three', False, 'new')]
    expected.sort(key=lambda e: times[e[0]])
    ran = check_adoption(eclose, db, 'migrate-mongo', 'changelog', expected, times)
    assert ran == {'20200104000000_four', '20210101_ours'}


PYMONGO = '''name = {name!r}
dependencies = [{after}]


def upgrade(db):
    db.log.insert_one({{}})


def downgrade(db):
    pass
'''


def test_pymongo_migrate(eclose, db, server):
    theirs = os.path.join(eclose.folder, 'theirs')
    names = ['20200101_one', '20200102_two', 'three']
    for name, after in zip(names, ['', "'20200101_one'", "'20200102_two'"]):
        put(theirs, name + '.py', PYMONGO.format(name=name, after=after))
    tool = [os.path.join(BIN, 'pymongo-migrate')]
    where = ['-u', server, '-d', db.name, '-m', theirs]
    run(*tool, 'migrate', *where, cwd=eclose.folder)
    run(*tool, 'downgrade', *where, '20200102_two', cwd=eclose.folder)
    assert db.pymongo_migrate.count_documents({'applied': None}) == 1
    project(eclose, '20200101_one', '20200103_ours')
    times = {row['name']: row['applied'] for row in db.pymongo_migrate.find()}
    expected = [('three', 'three', False, 'not applied'), ('20200101_one', '20200101_one', True, 'new'),
                ('20200102_two', '20200102_two', False, 'new')]
    assert check_adoption(eclose, db, 'pymongo-migrate', 'pymongo_migrate', expected, times) == {'20200103_ours'}


MONGODB = '''from mongodb_migrations.base import BaseMigration


class Migration(BaseMigration):
    def upgrade(self):
        self.db.log.insert_one({})

    def downgrade(self):
        pass
'''


def test_mongodb_migrations(eclose, db, server):
    theirs = os.path.join(eclose.folder, 'theirs')
    for name in ('20200101000000_one', '20200102000000_two', '20200103000000_three'):
        put(theirs, name + '.py', MONGODB)
    uri = str(server).replace('/?', f'/{db.name}?') if '/?' in str(server) else f'{server}/{db.name}'
    tool = [os.path.join(BIN, 'mongodb-migrate'), '--url', uri, '--migrations', theirs]
    run(*tool, cwd=eclose.folder)
    run(*tool, '--downgrade', '--to_datetime', '20200102000000', cwd=eclose.folder)
    assert db.database_migrations.count_documents({}) == 2
    project(eclose, '20200101000000_one', '20200103000000_three', '20210101_ours')
    times = {row['migration_datetime']: row['created_at'] for row in db.database_migrations.find()}
    expected = [('20200101000000', '20200101000000_one', True, 'new'), ('20200102000000', '20200102000000', False, 'new')]
    ran = check_adoption(eclose, db, 'mongodb-migrations', 'database_migrations', expected, times)
    assert ran == {'20200103000000_three', '20210101_ours'}


BEANIE = '''class Forward:
    pass


class Backward:
    pass
'''


def test_beanie(eclose, db, server):
    theirs = os.path.join(eclose.folder, 'theirs')
    for name in ('20200101_one', '20200102_two', 'rename', 'zap'):
        put(theirs, name + '.py', BEANIE)
    tool = [os.path.join(BIN, 'beanie'), 'migrate', '-uri', server, '-db', db.name, '-p', theirs, '--no-use-transaction']
    run(*tool, cwd=eclose.folder)
    run(*tool, '--backward', '-d', 2, cwd=eclose.folder)  # two is the last one
    run(*tool, '--forward', '-d', 1, cwd=eclose.folder)
    log = list(db.migrations_log.find().sort([('ts', 1), ('_id', 1)]))
    assert sorted(row['name'] for row in log) == ['20200101_one.py', '20200102_two.py', '20200102_two.py', 'rename.py',
                                                  'rename.py', 'rename.py', 'zap.py']
    project(eclose, '20200102_two', '20210101_ours')
    times = {row['name']: row['ts'] for row in reversed(log)}
    expected = [('20200101_one.py', '20200101_one', False, 'new'), ('20200102_two.py', '20200102_two', True, 'new'),
                ('rename.py', 'rename', False, 'new')]
    assert check_adoption(eclose, db, 'beanie', 'migrations_log', expected, times) == {'20210101_ours'}
    # Nothing of theirs is left applied: nothing to take over.
    db.eclose_changelog.drop()
    run(*tool, '--backward', cwd=eclose.folder)
    assert entries(eclose) == []
    run(*tool, '--forward', '-d', 1, cwd=eclose.folder)
    assert [e['entry'] for e in entries(eclose)] == ['20200101_one.py']
    run(*tool, '--backward', '-d', 1, cwd=eclose.folder)  # back to the one before: there is none
    assert entries(eclose) == []


def test_shape_decides(eclose, db):
    """Names say nothing; a collection with one other document is no history; a collection may be named."""
    project(eclose, '20200101_one')
    time = datetime.datetime(2020, 1, 1)
    db.changelog.insert_one({'version': 3})
    db.migrations.insert_one({'name': 'x', 'state': 'up', 'createdAt': time})
    assert 'no history' in eclose('adopt', rc=0).err
    db.odd.insert_one({'_id': 1, 'fileName': '20200101-one.js', 'appliedAt': time})
    assert 'no history' not in eclose('adopt', '--collection', 'odd', rc=0).err
    assert [e['name'] for e in entries(eclose, '--collection', 'odd')] == ['20200101_one']
    db.odd.insert_one({'_id': 2, 'fileName': 3})
    shown = eclose('adopt', rc=0)
    assert 'its document 2 is none of such a history' in shown.err and shown.out == ''
    assert 'its document 2' in eclose('adopt', '--collection', 'odd', rc=1).err
    assert 'holds no history' in eclose('adopt', '--collection', 'changelog', rc=1).err


def test_what_is_not_clear_is_refused(eclose, db):
    project(eclose, '20200101_one', '20200102_a-b', '20200102_a_b')
    time = datetime.datetime(2020, 1, 1)
    db.changelog.insert_many([{'fileName': '20200101-one.js', 'appliedAt': time},
                              {'fileName': '20200103-x.js', 'appliedAt': time}])
    db.blocker.insert_one({})
    put(os.path.join(eclose.folder, 'migrations'), '20200101_one.yaml', '''
up:
  - insert: {collection: ran, document: {_id: 1}}
  - assert: {collection: blocker, filter: {}, count: 0}
''')
    eclose('up', '--only', '20200101_one', rc=1)
    refused = eclose('adopt', '--yes', rc=1)
    assert 'began to run here and did not end' in refused.out and 'nothing is marked' in refused.err
    assert sorted(recorded(db)) == ['20200101_one']
    db.eclose_changelog.drop()
    db.changelog.update_one({'fileName': '20200103-x.js'}, {'$set': {'fileName': '20200102-a-b.js'}})
    refused = eclose('adopt', '--yes', rc=1)
    assert 'several files here could be it' in refused.out and recorded(db) == {}
    os.unlink(os.path.join(eclose.folder, 'migrations', '20200102_a_b.yaml'))
    eclose('adopt', '--yes', rc=0)
    assert sorted(recorded(db)) == ['20200101_one', '20200102_a-b']
    # What another tool applied is not ours to take back.
    db.changelog.insert_one({'fileName': 'zz.js', 'appliedAt': time})
    eclose('adopt', '--yes', rc=0)
    assert 'only that one knows its way down' in eclose('revert', 'zz', rc=1).err


def test_a_cursor_that_is_lost_in_its_middle(eclose, db, relay):
    """The history is read anew: no entry twice."""
    project(eclose, '20210101_ours')
    db.changelog.insert_many([{'fileName': f'{i:04}.js', 'appliedAt': NOW + datetime.timedelta(seconds=i)}
                              for i in range(1500)])
    lost = []

    def lose(command, _reply):
        if command is not None and (command.name, command.collection) == ('getMore', 'changelog') and not lost:
            lost.append(command)
            raise ConnectionResetError

    relay.change(lose)
    eclose.env['ECLOSE_URI'] = relay.uri
    assert [e['entry'] for e in entries(eclose)] == [f'{i:04}.js' for i in range(1500)] and lost
