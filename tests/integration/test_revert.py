"""`eclose revert`: which ones, what is refused, and one that is killed on its way down."""

import signal

import pytest

from test_misfortune import data_writes
from works import FAST, docs, record, wait_for, write

LOG = ('up: [{{insert: {{collection: log, document: {{_id: {0}}}}}}}]\n'
       'down: [{{insert: {{collection: undone, document: {{_id: {0}}}}}}}, '
       '{{deleteOne: {{collection: log, filter: {{_id: {0}}}}}}}]\n')


def three(eclose, **other):
    write(eclose.folder, **{**{name: LOG.format(name) for name in 'abc'}, **other})
    eclose('up', rc=0)


def logged(db):
    return [d['_id'] for d in docs(db.log)]


def states(db):
    return [r['state'] for r in docs(db.eclose_changelog)]


def test_one_by_its_name(eclose, db):
    three(eclose)
    assert '20260101_b: reverted in ' in eclose('revert', '20260101_b', rc=0).out
    assert logged(db) == ['a', 'c'] and states(db) == ['applied', 'reverted', 'applied']
    again = eclose('revert', '20260101_b', rc=1)
    assert '20260101_b is not applied: there is nothing to take back' in again.err
    assert 'did you mean "20260101_c"?' in eclose('revert', '20260101_cc', rc=1).err
    assert 'a NAME and --steps exclude each other' in eclose('revert', '20260101_a', '--steps', 2, rc=2).err
    assert logged(db) == ['a', 'c']
    # It is pending again, and late.
    assert 'arrived late' in eclose('up', rc=0).err
    assert logged(db) == ['a', 'b', 'c'] and record(db, '20260101_b')['attempts'] == 3


def test_so_many_the_last_one_first(eclose, db, relay):
    three(eclose)
    out = eclose('revert', '--steps', 2, rc=0, env={'ECLOSE_URI': relay.uri}).out
    assert [line.split(':')[0] for line in out.splitlines()] == ['20260101_c', '20260101_b']
    assert [c.document['documents'][0]['_id'] for c in data_writes(relay.commands()) if c.name == 'insert'] == ['c', 'b']
    assert logged(db) == ['a'] and states(db) == ['applied', 'reverted', 'reverted']
    eclose('revert', rc=0)
    assert logged(db) == []
    assert 'nothing is applied: there is nothing to take back' in eclose('revert', rc=0).err
    assert eclose('revert', '--steps', 0, rc=2).err


@pytest.mark.parametrize('down, why', [
    ('down: irreversible\n', 'revert: 20260101_b: it has no way down: it says that it is irreversible'),
    ('', 'revert: 20260101_b: it has no way down\n'),
])
def test_what_has_no_way_down_is_refused(eclose, db, down, why):
    up = LOG.format('b').split('down:')[0]
    three(eclose, b=up + down)
    before = record(db, '20260101_b')
    failed = eclose('revert', '20260101_b', rc=1)
    assert why in failed.err
    # Those behind it are taken back, then that is the end of it.
    assert why in eclose('revert', '--steps', 3, rc=1).err
    assert logged(db) == ['a', 'b'] and record(db, '20260101_b') == before
    assert states(db) == ['applied', 'applied', 'reverted']


WAY_DOWN = '''
up: [{insert: {collection: log, document: {_id: up}}}]
down:
  - insert: {collection: log, document: {_id: first}}
  - foreach: {find: rows, filter: {undone: {$exists: false}}}
    let: {id: $_id, v: $v}
    do:
      - insert: {collection: back, document: {_id: $$id, v: $$v}}
      - updateOne: {collection: rows, filter: {_id: $$id}, update: {$set: {undone: true}}}
  - deleteMany: {collection: log, filter: {}}
'''


@pytest.mark.parametrize('k, lost', [(1, False), (2, True), (5, False)])
def test_killed_on_its_way_down_and_run_again(eclose, db, relay, k, lost):
    """Killed when its k-th write was on its way, which arrives or does not."""
    db.rows.insert_many([{'_id': i, 'v': i} for i in range(2500)])
    write(eclose.folder, a=WAY_DOWN, b=LOG.format('b'))
    eclose('up', rc=0)
    relay.catch(lambda c: data_writes([c]), k)
    child = eclose.start('revert', '20260101_a', env=dict(FAST, ECLOSE_URI=relay.uri))
    wait_for(relay.caught)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=30)
    if lost:
        relay.cut()
    relay.go()
    entry = record(db, '20260101_a')
    assert (entry['state'], entry['direction']) == ('running', 'down') and entry['steps'] == (0 if k == 1 else 1)
    # Nobody runs it up from there, and nobody takes it for done.
    refused = eclose('up', '--wait', rc=1, env=FAST)
    assert '20260101_a is on its way down: `eclose revert 20260101_a` ends that' in refused.err
    eclose('up', '--only', '20260101_b', rc=0)  # which is not about it
    status = eclose('status', '--check', rc=3).out
    assert 'reverting 20260101_a' in status and 'database migrations: 1 of 2 applied' in status
    assert '20260101_a is on its way down: `eclose revert 20260101_a` ends that' in eclose('plan', rc=1).err
    assert record(db, '20260101_a')['direction'] == 'down'
    eclose('revert', '20260101_a', '--wait', rc=0, env=FAST)
    assert docs(db.back) == [{'_id': i, 'v': i} for i in range(2500)]
    assert db.rows.count_documents({'undone': True}) == 2500 and docs(db.log) == []
    assert record(db, '20260101_a')['state'] == 'reverted'
    # And up again: b was applied all the while.
    eclose('up', rc=0)
    assert logged(db) == ['up'] and record(db, '20260101_b')['attempts'] == 1
