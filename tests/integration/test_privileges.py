"""The roles of docs/operations.md allow all that the commands send, to each collection what it needs."""

import os
import re

from test_backfill import MODES, project

STEP = 'up:\n  - $set: {b: {$add: [$a, 1]}}\ndown:\n  - $unset: b\nschema: {required: [b]}\n'
OPERATIONS = os.path.join(os.path.dirname(__file__), '..', '..', 'docs', 'operations.md')

# Anybody may, about himself and the server.
FREE = {'hello', 'isMaster', 'ismaster', 'ping', 'buildInfo', 'endSessions', 'getMore', 'killCursors', 'killSessions',
        'commitTransaction', 'abortTransaction'}
READS = {'find', 'count', 'aggregate'}


def granted():
    """{(database, collection): actions}; the cluster is None. `shop` is the database, `users` the collection."""
    with open(OPERATIONS, encoding='utf-8') as f:
        text = f.read()
    found = {}
    for resource, actions in re.findall(r'\{resource: \{(.*?)\},\s*actions: \[(.*?)\]\}', text):
        place = re.fullmatch(r"db: '(\w+)', collection: '([\w.]*)'", resource)
        assert place or resource == 'cluster: true', resource
        found[place.groups() if place else None] = set(re.findall(r"'(\w+)'", actions))
    assert len(found) > 10
    return found


def needed(command):
    """[(database, collection), action] of one command; with None for the cluster."""
    sent, name, collection = command.document, command.name, command.collection
    if name == 'explain':
        name, collection = next(iter(sent['explain'].items()))
    place = (sent['$db'], collection)
    if name in FREE:
        return []
    if name in READS:
        assert not {'$merge', '$out', '$currentOp'} & {k for s in sent.get('pipeline', ()) for k in s}
        return [(place, 'find')]
    if name in ('update', 'findAndModify'):
        upsert = sent.get('upsert') or any(u.get('upsert') for u in sent.get('updates', ()))
        actions = ['update'] + ['find'] * (name == 'findAndModify') + ['insert'] * bool(upsert)
        assert not sent.get('remove')
        return [(place, action) for action in actions]
    if name in ('insert', 'delete'):
        return [(place, {'insert': 'insert', 'delete': 'remove'}[name])]
    if name in ('listIndexes', 'collMod'):
        return [(place, name)]
    if name == 'listCollections':
        return [((sent['$db'], ''), name)]
    assert sent['$db'] == 'admin', sent
    return [(None, name)]


@MODES
def test_the_roles_allow_all_that_is_sent(eclose, db, relay, mode):
    project(eclose, 'things', [STEP])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 'bad' if i == 7 else i} for i in range(100)])
    at = {'env': {'ECLOSE_URI': relay.uri}}
    eclose('plan', rc=0, **at)
    eclose('up', 'things', '--mode', mode, '--workers', 2, '--range-docs', 20, '--throttle-command', 'true', rc=5, **at)
    for verb in (['list', 'things'], ['show', 'things', '--id', 7], ['drop', 'things']):
        eclose('quarantine', *verb, rc=0, **at)
    eclose('up', 'things', '--mode', mode, rc=5, **at)
    eclose('quarantine', 'retry', 'things', rc=5, **at)
    db.things.update_one({'_id': 7}, {'$set': {'a': 7}})
    eclose('up', rc=0, **at)
    eclose('status', '--check', rc=0, **at)
    eclose('verify', '--all', rc=0, **at)
    eclose('complete', 'things', rc=0, **at)
    eclose('down', 'things', '--to', 1, '--mode', mode, rc=0, **at)
    eclose('backfill', 'start', 'things', '--mode', mode, '--detach', rc=0, **at)
    for verb in (['set', '--max-rate', 50], ['pause'], ['resume'], ['status'], ['run', 'things'], ['work']):
        eclose('backfill', *verb, rc=0, **at)
    allowed = granted()
    since = len(relay.commands())
    for command in relay.commands():
        for place, action in needed(command):
            known = place and (place[0].replace(db.name, 'shop'), place[1].replace('things', 'users'))
            assert action in allowed.get(known, ()), (command.name, place, action)
    # What only `complete --validator` needs.
    eclose('complete', 'things', '--validator', rc=0, **at)
    more = {needed_one for command in relay.commands(since) for needed_one in needed(command)}
    assert {action for place, action in more if place == (db.name, 'things')} - allowed['shop', 'users'] == {'collMod'}
