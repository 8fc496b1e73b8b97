"""The throttle against a server whose answers are late, or that says it lags: what slows is named, writes become smaller
and fewer, and all of that is over when it is calm. How fast it falls and comes back is asserted in virtual time (unit
test throttle); here it is printed."""

import json
from datetime import timedelta

import pytest

from test_jobs import backfill, things
from works import put, wait_for

N = 12000
LAG = 'replSetGetStatus'


def lagging(seconds):
    """The answer of a primary with a secondary that is so far behind."""
    def how(answer):
        now = answer['date']
        return dict(answer, members=[
            {'_id': 0, 'name': 'a:1', 'health': 1.0, 'state': 1, 'stateStr': 'PRIMARY', 'optimeDate': now},
            {'_id': 1, 'name': 'b:1', 'health': 1.0, 'state': 2, 'stateStr': 'SECONDARY',
             'optimeDate': now - timedelta(seconds=seconds)}])
    return how


def refused(answer):
    return {'ok': 0.0, 'errmsg': 'not authorized on admin', 'code': 13, 'codeName': 'Unauthorized'}


def late_majority(seconds):
    def how(answer):
        last = answer['lastWrite']['lastWriteDate']
        return dict(answer, lastWrite=dict(answer['lastWrite'], majorityWriteDate=last - timedelta(seconds=seconds)))
    return how


def writes(relay, since=0):
    return [c for c in relay.commands(since) if c.collection == 'things' and c.name == 'update']


# What is in the answer to a command, and in no other.
MARKS = {LAG: 'myState', 'hello': 'lastWrite', 'serverStatus': 'uptimeMillis'}


def change(relay, name, how):
    """Answers to that command are others from now on."""
    relay.changes[MARKS[name]] = how


def edit(relay):
    relay.changes = {}

    def answer(document):
        return next((how(document) for mark, how in relay.changes.items() if mark in document), None)

    relay.edit(answer)


def asked(relay, name, since=0):
    return sum(c.name == name for c in relay.commands(since))


def sizes(commands):
    """Documents of each batch, in client mode."""
    return [len(c.document['updates']) for c in commands]


def rate(commands):
    """Documents a second."""
    if len(commands) < 2:
        return 0.0
    return sum(sizes(commands)[1:]) / max(commands[-1].at - commands[0].at, 0.001)


@pytest.fixture
def slowed(eclose, db, relay):
    """Starts a backfill here over the relay; slowed() then says what slows it, as `backfill status` does."""
    things(eclose, db, N)
    edit(relay)

    def start(*args):
        child = eclose.start('backfill', 'start', 'things', '--mode', 'client', '--range-docs', N,
                             '--max-rate', N // 20, *args, env={'ECLOSE_URI': relay.uri})
        wait_for(lambda: len(writes(relay)) >= 10)
        return child

    def slowed():
        """What its worker wrote down of it; None where there is none."""
        held = db.eclose_chunks.find_one({'holder': {'$ne': None}})
        return held.get('slowed', '') if held else None

    slowed.start, slowed.relay = start, relay
    return slowed


def named(eclose, slowed, what):
    """It is what slows, and `backfill status` says so."""
    wait_for(lambda: what in (slowed() or ''))
    told = json.loads(eclose('backfill', 'status', 'things', '--format', 'json', rc=0).out)
    assert what in told['workers'][0]['slowed'], told
    assert f'; slowed: {what}' in eclose('backfill', 'status', 'things', rc=0).out


def goes_on(eclose, db, child, slowed, what):
    """It is calm again: nothing but the rate slows, that is told after three seconds, and the job ends."""
    wait_for(lambda: what not in (slowed() or '') or child.poll() is not None, seconds=90)
    mark = len(slowed.relay.commands())
    wait_for(lambda: sum(c.collection == 'eclose_jobs' for c in slowed.relay.commands(mark)) >= 5 or
             child.poll() is not None)  # looked at about once a second
    eclose('backfill', 'set', 'things', '--max-rate', 'none')  # or it has ended by now
    err = eclose.wait(child).err
    assert db.things.count_documents({'schema_version': 2}) == N
    return err


@pytest.mark.parametrize('how', ['members', pytest.param('majority', marks=pytest.mark.long)])
def test_replication_lag_stops_it(eclose, db, relay, slowed, how):
    """Four times over its limit it stops: not one write until the lag is back at the limit. Whoever may not ask for
    the members' states sees the majority's."""
    name, lag = (LAG, lagging) if how == 'members' else ('hello', late_majority)
    if how == 'majority':
        change(relay, LAG, refused)
    child = slowed.start('--max-latency', 1000)
    before = writes(relay)
    change(relay, name, lag(45))
    named(eclose, slowed, 'replication lag 45')
    mark = len(relay.commands())
    wait_for(lambda: asked(relay, name, mark) >= 3)
    assert writes(relay, mark) == []
    # Still above the limit: it stays stopped, though it would not have begun to.
    change(relay, name, lag(15))
    mark = len(relay.commands())
    wait_for(lambda: 'replication lag 15' in (slowed() or ''))
    assert writes(relay, mark) == []
    change(relay, name, lag(0))
    err = goes_on(eclose, db, child, slowed, 'lag')
    assert 'things: stopped until it is calm: replication lag 45' in err, err
    assert 'goes on' in err, err
    print(f'documents a second: {rate(before):.0f} before, none at a lag of 45 s, {rate(writes(relay, mark)):.0f} after')


@pytest.mark.long
def test_replication_lag_slows_it(eclose, db, relay, slowed):
    """Over the limit, but not far: it goes on in a ninth of its time."""
    child = slowed.start('--max-latency', 1000)
    before = writes(relay)
    change(relay, LAG, lagging(30))
    named(eclose, slowed, 'replication lag 30')
    mark = len(relay.commands())
    wait_for(lambda: len(writes(relay, mark)) >= 3)
    during = writes(relay, mark)
    change(relay, LAG, lagging(2))
    mark = len(relay.commands())
    goes_on(eclose, db, child, slowed, 'lag')
    print(f'documents a second: {rate(before):.0f} before, {rate(during):.0f} at a lag of 30 s, limit 10, '
          f'{rate(writes(relay, mark)):.0f} after')


def test_flow_control(eclose, db, relay, slowed):
    child = slowed.start('--max-latency', 1000)
    change(relay, 'serverStatus', lambda answer: dict(answer, flowControl={'enabled': True, 'isLagged': True}))
    # It was asked once before, and this server did not tell: who does not tell is not asked again.
    assert asked(relay, 'serverStatus') == 1
    mark = len(relay.commands())
    wait_for(lambda: asked(relay, LAG, mark) >= 3)
    assert asked(relay, 'serverStatus', mark) == 0
    child.kill()
    child.wait()


@pytest.mark.long
def test_flow_control_is_named(eclose, db, relay, slowed):
    change(relay, 'serverStatus', lambda answer: dict(answer, flowControl={'enabled': True, 'isLagged': False}))
    child = slowed.start('--max-latency', 1000)
    change(relay, 'serverStatus', lambda answer: dict(answer, flowControl={'enabled': True, 'isLagged': True}))
    named(eclose, slowed, 'flow control')
    change(relay, 'serverStatus', lambda answer: dict(answer, flowControl={'enabled': True, 'isLagged': False}))
    goes_on(eclose, db, child, slowed, 'flow')


@pytest.mark.long
def test_late_answers(eclose, db, relay, slowed):
    """The latency of its own writes, which is all there is through mongos. Against what it was when all was calm."""
    child = slowed.start('--max-latency', 2)
    wait_for(lambda: len(writes(relay)) >= 20)
    before = writes(relay)
    relay.delay(500)
    mark = len(relay.commands())
    named(eclose, slowed, 'writes take')
    # The first one may have been on its way, and it takes two to believe it; then they shrink.
    wait_for(lambda: min(sizes(writes(relay, mark)), default=N) * 2 <= max(sizes(before)))
    during = writes(relay, mark)
    print(f'documents a second: {rate(before):.0f} before, {rate(during):.0f} while each answer is half a second late; '
          f'batches of {sizes(before)[-5:]}, {sizes(during)}')
    relay.delay(0)
    mark = len(relay.commands())
    err = goes_on(eclose, db, child, slowed, 'writes take')
    after = writes(relay, mark)
    assert 'writes take' in err
    both = sizes(during + after)
    smallest = both.index(min(both))
    assert max(both[smallest:]) >= 2 * both[smallest]
    print(f'{rate(after):.0f} after, batches of {sizes(after)[:8]} ...')


def test_a_command_that_says_wait_stops_it(eclose, db, relay, slowed, tmp_path):
    flag = tmp_path / 'wait'
    child = slowed.start('--max-latency', 1000, '--throttle-command', f'test ! -e {flag} || {{ echo wait: backup; exit 1; }}')
    flag.write_text('')
    named(eclose, slowed, 'the throttle command says wait: backup')
    mark = len(relay.commands())
    wait_for(lambda: asked(relay, LAG, mark) >= 3)
    assert writes(relay, mark) == []
    flag.unlink()
    goes_on(eclose, db, child, slowed, 'command')


def test_what_it_cannot_see_is_said_once(eclose, db, relay):
    """By the process: not by each of its workers, and not for each collection."""
    n, rate = 800, 100
    names = ('others', 'things')
    things(eclose, db, n)
    put(eclose.folder, 'eclose.yaml', 'unversioned: 1\n')
    put(eclose.folder, 'migrations/others/0002_step.yaml', 'to: 2\nup:\n  - $set: {b: 1}\n')
    db.others.insert_many([{'_id': i, 'schema_version': 1} for i in range(n)])
    edit(relay)
    change(relay, LAG, refused)
    change(relay, 'serverStatus', refused)
    child = eclose.start('up', '--workers', 2, '--range-docs', n // 2, '--max-rate', rate, env={'ECLOSE_URI': relay.uri})
    err = eclose.wait(child).err
    assert [db[name].count_documents({'schema_version': 2}) for name in names] == [n, n]
    for said in ('replSetGetStatus cannot be read, so replication lag is that of the majority, from hello',
                 'flow control is not known here and slows nothing'):
        assert err.count(f'throttle: {said} (not authorized on admin)\n') == 1, err
        assert err.count(said) == 1, err


def test_set_pause_resume_and_cancel_reach_a_worker(eclose, db, relay):
    """That they do, on the wire; that it takes no longer than the batch at hand or two seconds is asserted in virtual time
    (tests/sim, story workers)."""
    things(eclose, db, 5000)
    child = eclose.start('backfill', 'start', 'things', '--mode', 'client', '--max-latency', 1000, '--max-rate', 10,
                         '--range-docs', 5000, env={'ECLOSE_URI': relay.uri})
    wait_for(lambda: len(writes(relay)) >= 2)
    assert max(sizes(writes(relay))[1:]) <= 10

    def held():
        return db.eclose_chunks.count_documents({'holder': {'$ne': None}})

    mark = len(relay.commands())
    backfill(eclose, 'pause', 'things')
    wait_for(lambda: not held())
    print(f'batches after `pause`: {len(writes(relay, mark))}')
    mark = len(relay.commands())
    # It looks at the job three times, and does nothing.
    wait_for(lambda: sum(c.collection == 'eclose_jobs' for c in relay.commands(mark)) >= 3)
    assert not writes(relay, mark) and not held() and child.poll() is None
    backfill(eclose, 'resume', 'things')
    wait_for(lambda: len(writes(relay, mark)) >= 2)
    mark = len(relay.commands())
    backfill(eclose, 'set', 'things', '--max-rate', 200)
    wait_for(lambda: any(n > 10 for n in sizes(writes(relay, mark))))
    print(f'sizes of batches after `set`: {sizes(writes(relay, mark))}')
    mark = len(relay.commands())
    backfill(eclose, 'cancel', 'things')
    assert 'cancelled' in eclose.wait(child, rc=1).err
    assert not held() and db.things.count_documents({'schema_version': 1}) > 0
    print(f'batches after `cancel`: {len(writes(relay, mark))}')
