"""Backfills as jobs: ranges, several workers, what happens when they die, and what others tell them."""

import json
import signal
import time

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

from test_backfill import MODES, project, raw, size

STEP = 'up:\n  - $set: {b: {$add: [$a, 1]}}\ndown:\n  - $unset: b\n'


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f'not within {seconds} seconds')


def things(eclose, db, n, first=0):
    project(eclose, 'things', [STEP])
    for start in range(first, first + n, 10000):
        db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': i} for i in range(start, min(start + 10000, first + n))])


def job(db):
    return db.eclose_jobs.find_one(sort=[('started', -1)])


def backfill(eclose, *args, rc=0):
    """Not slowed by what else this machine does: that would take as long as that does."""
    calm = ['--max-latency', 1000] if args[0] in ('start', 'run') else []
    return eclose('backfill', *args, *calm, rc=rc)


def status(eclose, collection='things'):
    return json.loads(backfill(eclose, 'status', collection, '--format', 'json').out)


def at_target(db, n):
    return db.things.count_documents({'schema_version': 2}) == n and \
        db.things.count_documents({'$expr': {'$ne': ['$b', {'$add': ['$a', 1]}]}}) == 0


# Not MinKey and MaxKey: secantusd-rs takes them as _id, and then refuses each update of such a document.
ODD = [None, float('nan'), float('inf'), float('-inf'), Int64(2 ** 62), 0.5, Decimal128('7.5'), '', 'a',
       'zz', '\u00e9', '$x', {}, {'a': 1}, {'a': {'b': 2}}, Binary(b''), Binary(b'abc'), Binary(b'0123456789abcdef', 4),
       ObjectId('0' * 24), ObjectId('f' * 24), True, False, DatetimeMS(-5), DatetimeMS(2 ** 40), Timestamp(1, 2)]


@MODES
def test_every_id_is_in_a_range(eclose, db, mode):
    """Ids of every type, many ranges, and documents that come while it runs: below, above, between, of types that no
    sample showed."""
    project(eclose, 'things', [STEP])
    ids = [*range(0, 3000, 3), *(f's{i:05}' for i in range(1000)), *(Binary(b'%08d' % i) for i in range(500)),
           *({'k': i} for i in range(300)), *(ObjectId() for _ in range(500)), *ODD]
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 1} for i in ids], ordered=False)
    n = len(ids)
    done = backfill(eclose, 'start', 'things', '--mode', mode, '--range-docs', 100, '--detach')
    assert 'carried' not in done.out
    ranges = db.eclose_chunks.count_documents({})
    assert ranges > 10
    # After the plan, before the work.
    late = [-5, 10 ** 9, 1.25, 'A', 'zzzz', ObjectId(), DatetimeMS(77), Timestamp(9, 9), {'z': 1}, Binary(b'z')]
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 1} for i in late])
    backfill(eclose, 'work', '--workers', 2)
    n += len(late)
    assert db.things.count_documents({}) == n
    left = list(db.things.find({'schema_version': {'$ne': 2}}))
    assert left == []
    assert job(db)['state'] == 'done' and job(db)['counts']['changed'] >= n
    assert db.eclose_chunks.count_documents({'state': 'done'}) == ranges
    assert backfill(eclose, 'status').out.strip() == 'no job is running'
    assert json.loads(eclose('up', 'things', '--format', 'json', rc=0).out)['wrote'] is False


@MODES
def test_several_processes_and_one_is_killed(eclose, db, server, mode):
    n = size(server, 12000)
    things(eclose, db, n)
    backfill(eclose, 'start', 'things', '--mode', mode, '--range-docs', n // 12, '--max-rate', n // 40, '--detach')
    workers = [eclose.start('backfill', 'work', 'things', '--workers', 1) for _ in range(3)]
    dead = workers[0]
    held = wait_for(lambda: db.eclose_chunks.find_one({'holder.pid': dead.pid, 'after.id': {'$exists': True}}))
    dead.kill()
    dead.wait(timeout=30)
    told = status(eclose)
    assert told['state'] == 'running' and 0 < told['left'] <= n and told['ranges'] >= 12
    # Its range is not lost for long: the others see that the process is gone, and go on behind its checkpoint.
    after = wait_for(lambda: db.eclose_chunks.find_one(
        {'_id': held['_id'], 'token': {'$gt': held['token']}}))
    assert after['state'] != 'open' or after['after']['id'] >= held['after']['id']
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    for worker in workers[1:]:
        out, err = worker.communicate(timeout=90)
        assert worker.returncode == 0, out + err
    assert at_target(db, n)
    # What it did between its checkpoint and its death no reply told the others: less than two seconds of its work.
    assert job(db)['state'] == 'done' and n - n // 2 < job(db)['counts']['changed'] <= n
    assert {c['state'] for c in db.eclose_chunks.find()} == {'done'}


def test_pause_resume_set_and_cancel_from_elsewhere(eclose, db, server):
    n = size(server, 8000)
    things(eclose, db, n)
    child = eclose.start('backfill', 'start', 'things', '--max-latency', 1000, '--mode', 'client', '--workers', 2, '--max-rate', n // 20,
                         '--range-docs', n // 8)
    done = lambda: db.things.count_documents({'schema_version': 2})  # noqa: E731
    wait_for(done)
    backfill(eclose, 'pause')
    assert status(eclose)['wanted'] == 'paused'
    wait_for(lambda: not db.eclose_chunks.count_documents({'holder': {'$ne': None}}), seconds=20)
    before = done()
    time.sleep(1.5)  # nothing to wait for: nothing may happen
    assert done() == before and child.poll() is None
    assert 'resume things` lets its workers go on' in backfill(eclose, 'status', 'things').out
    backfill(eclose, 'resume')
    wait_for(lambda: done() > before)
    told = wait_for(lambda: (lambda s: s if s['workers'] else None)(status(eclose)))
    assert told['settings']['max_documents'] == n // 20
    assert all(w['pid'] == child.pid and w['alive'] for w in told['workers'])
    backfill(eclose, 'set', '--max-rate', n // 10)
    wait_for(lambda: status(eclose)['settings']['max_documents'] == n // 10)
    backfill(eclose, 'cancel', 'things')
    _, err = child.communicate(timeout=30)
    assert child.returncode == 1 and 'somebody cancelled the job' in err
    assert job(db)['state'] == 'cancelled' and 0 < done() < n
    assert 'there is no job' in backfill(eclose, 'cancel', 'things', rc=1).err
    # What was carried stays, and the next one does the rest.
    eclose('up', 'things', rc=0)
    assert at_target(db, n)


@pytest.mark.parametrize('how', ['for', signal.SIGTERM, signal.SIGINT])
def test_it_goes_on_where_it_stopped(eclose, db, server, how):
    n = size(server, 8000)
    things(eclose, db, n)
    rate = ('--max-rate', n // 10)
    if how == 'for':
        assert 'goes on where this one stopped' in backfill(eclose, 'run', 'things', '--for', '2s', *rate, rc=0).err
    else:
        child = eclose.start('up', 'things', *rate)
        wait_for(lambda: db.eclose_chunks.find_one({'after.id': {'$exists': True}}))
        child.send_signal(how)
        _, err = child.communicate(timeout=30)
        assert child.returncode == 1 and 'goes on where this one stopped' in err
    first = job(db)
    chunk = db.eclose_chunks.find_one()
    assert first['state'] == 'running' and chunk['holder'] is None
    assert 0 < db.things.count_documents({'schema_version': 2}) < n
    backfill(eclose, 'set', '--max-rate', 'none')
    backfill(eclose, 'run', 'things')
    assert at_target(db, n)
    assert job(db)['_id'] == first['_id'] and job(db)['state'] == 'done'


@pytest.mark.parametrize('second', [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(eclose, db, server, second):
    """Whichever came first, and however long what it waits for takes."""
    n = size(server, 2000)
    things(eclose, db, n)
    # A hook that runs on keeps it from ending after the first one.
    child = eclose.start('up', 'things', '--max-rate', n // 20, '--hook', 'start=sleep 25')
    wait_for(lambda: db.eclose_chunks.find_one({'after.id': {'$exists': True}}))
    child.send_signal(signal.SIGTERM)
    wait_for(lambda: db.eclose_chunks.find_one()['holder'] is None)
    assert child.poll() is None
    child.send_signal(second)
    assert child.wait(timeout=20) == -second
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    backfill(eclose, 'run', 'things')
    assert at_target(db, n)


def test_a_job_whose_plan_was_never_finished(eclose, db):
    """Whoever made it died: the next run does not wait for him."""
    things(eclose, db, 500)
    backfill(eclose, 'start', 'things', '--detach')
    db.eclose_jobs.update_one({}, {'$set': {'state': 'planning', 'chunks': 0}})
    first = job(db)['_id']
    backfill(eclose, 'run', 'things', '--for', '60s')
    assert at_target(db, 500) and job(db)['state'] == 'done'
    assert db.eclose_jobs.find_one({'_id': first})['state'] == 'failed'


def test_another_target_waits_while_somebody_works(eclose, db, server):
    """And one that nobody works on is given up for it."""
    n = size(server, 8000)
    things(eclose, db, n)
    child = eclose.start('up', 'things', '--max-rate', n // 20)
    wait_for(lambda: db.eclose_chunks.find_one({'holder.pid': child.pid, 'after.id': {'$exists': True}}))
    assert 'being worked on' in eclose('down', 'things', '--to', 1, rc=4).err
    child.kill()
    child.wait(timeout=30)
    first = job(db)
    env = {'ECLOSE_LEASE_TIME': '1000', 'ECLOSE_MAX_CLOCK_SKEW': '500'}
    db.eclose_chunks.update_many({}, {'$set': {'expires': DatetimeMS(0)}})
    eclose('down', 'things', '--to', 1, rc=0, env=env)
    assert db.things.count_documents({'schema_version': 1, 'b': {'$exists': False}}) == n
    assert db.eclose_jobs.find_one({'_id': first['_id']})['state'] == 'cancelled'


def test_a_wrong_migration_touches_nothing(eclose, db):
    project(eclose, 'things', ['up:\n  - $set: {b: {$toInt: $a}}\n'])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 'no number'} for i in range(200)])
    before = raw(db.things)
    done = eclose('up', 'things', rc=1)
    assert 'tried without writing' in done.err and '$toInt' in done.err
    assert raw(db.things) == before and not db.eclose_quarantine.count_documents({})
    assert not db.eclose_jobs.count_documents({})
    assert eclose('up', 'things', '--max-errors', '1', rc=5)
    assert db.eclose_quarantine.count_documents({}) == 200


@MODES
@pytest.mark.parametrize('command', [['up', 'things'], ['backfill', 'start', 'things']])
def test_a_wrong_migration_writes_nothing_on_the_wire(eclose, db, relay, command, mode):
    """Not a document, not a job, not a record in quarantine: only what is always there before, the published files and the
    lease under which a plan is made."""
    project(eclose, 'things', ['up:\n  - $set: {b: {$toInt: $a}}\n'])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 'no number' if i % 3 else '1'} for i in range(300)])
    shares = {'0.5': 1, '0.6': 1, '0.7': 5}
    for share, rc in shares.items():
        since = len(relay.commands())
        done = eclose(*command, '--mode', mode, '--max-errors', share, rc=rc, env={'ECLOSE_URI': relay.uri})
        sent = relay.commands(since)
        written = {c.collection for c in sent if c.name in ('insert', 'update', 'delete', 'findAndModify', 'bulkWrite') or
                   (c.name == 'aggregate' and {'$merge', '$out'} & {k for s in c.document['pipeline'] for k in s})}
        if rc == 1:
            assert '200 of 300 documents that were tried without writing cannot be carried over' in done.err
            assert written <= {'eclose_catalog', 'eclose_lease'}, written
        else:
            assert {'things', 'eclose_jobs', 'eclose_chunks', 'eclose_quarantine'} <= written
    assert db.eclose_quarantine.count_documents({}) == 200


def test_what_cannot_be_asked(eclose, db):
    things(eclose, db, 10)
    assert 'backfill what?' in backfill(eclose, 'stat', rc=2).err
    assert 'needs a COLLECTION' in backfill(eclose, 'start', rc=2).err
    assert '--for takes a time' in backfill(eclose, 'run', 'things', '--for', 'soon', rc=2).err
    assert 'say what to set' in backfill(eclose, 'set', rc=2).err
    assert '--max-rate' in backfill(eclose, 'start', 'things', '--max-rate', 'fast', rc=2).err
    assert 'there is no job' in backfill(eclose, 'work', rc=1).err


def test_a_command_says_wait(eclose, db, tmp_path):
    things(eclose, db, 3000)
    flag = tmp_path / 'wait'
    flag.write_text('')
    child = eclose.start('up', 'things', '--mode', 'client', '--throttle-command', f'test ! -e {flag}',
                         '--max-rate', 400)
    wait_for(lambda: any('command' in c.get('slowed', '') for c in db.eclose_chunks.find()))
    flag.unlink()
    backfill(eclose, 'set', '--max-rate', 'none')
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert at_target(db, 3000)


def test_the_next_batch_is_read_while_one_is_written(eclose, db, relay):
    """On the wire: the answer to the first write is held back until the next batch has been asked for. No second write
    begins before it, and no checkpoint goes to what it wrote."""
    things(eclose, db, 3000)

    def is_write(command):
        return command.name == 'update' and command.collection == 'things'

    def is_checkpoint(command):
        return command.collection == 'eclose_chunks' and "'after'" in str(command.document.get('update'))

    relay.silence(is_write)
    child = eclose.start('up', 'things', '--mode', 'client', env={'ECLOSE_URI': relay.uri})

    def since_the_find():
        """Of two connections: which of them is heard first is open."""
        sent = relay.commands()
        at = next((i for i, c in enumerate(sent) if c.name == 'find' and c.collection == 'things'), len(sent))
        return sent[at:]

    def more():
        return [c for c in since_the_find() if c.name == 'getMore' and c.collection == 'things']

    try:
        wait_for(lambda: more() and any(map(is_write, since_the_find())))
        writes = list(filter(is_write, since_the_find()))
        assert len(writes) == 1
        assert more()[0].connection != writes[0].connection
        assert not any(map(is_checkpoint, since_the_find()))
    finally:
        relay.go()
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, out + err
    assert at_target(db, 3000)
@pytest.fixture
def hasty(relay):
    """No look at the collection that finds nothing comes to its end, until there is a plan of a job: as where there are
    500 million documents."""
    since = [0]

    def edit(answer):
        cursor = answer.get('cursor', {})
        if not str(cursor.get('ns', '')).endswith('.things') or cursor.get('firstBatch', [1]):
            return None
        if any(c.collection in ('eclose_jobs', 'eclose_chunks') and c.name in ('insert', 'update')
               for c in relay.commands(since[0])):
            return None
        return {'ok': 0.0, 'code': 50, 'codeName': 'MaxTimeMSExpired', 'errmsg': 'operation exceeded time limit'}

    relay.edit(edit)
    return lambda: since.__setitem__(0, len(relay.commands()))


def test_a_start_does_not_scan_what_is_finished(eclose, db, relay, hasty):
    """The records are believed, where a short look finds nothing; who wants every document looked at says so."""
    n = 10100
    things(eclose, db, n)
    eclose('up', 'things', rc=0)
    eclose.env['ECLOSE_URI'] = relay.uri
    hasty()
    jobs = db.eclose_jobs.count_documents({})
    for command in (['up'], ['up', 'things']):
        assert "nothing to do, eclose's records say" in eclose(*command, rc=0).out
    told = json.loads(eclose('up', 'things', '--format', 'json', rc=0).out)
    assert (told['by_records'], told['wrote']) == (True, False)
    db.eclose_quarantine.insert_one({'collection': 'things', 'id': 7})
    assert '1 document is in quarantine' in eclose('up', 'things', rc=5).out
    assert db.eclose_quarantine.count_documents({}) == 1
    assert db.eclose_jobs.count_documents({}) == jobs
    # A look that finds something is believed before any record.
    db.things.insert_one({'_id': -1, 'schema_version': 1, 'a': 1})
    eclose('up', 'things', rc=0)
    assert db.things.find_one({'_id': -1})['b'] == 2 and db.eclose_jobs.count_documents({}) == jobs + 1


@pytest.mark.long
def test_who_asks_for_a_scan_gets_one(eclose, db, relay, hasty):
    """`backfill start` looks at all, whatever the records say, and a job that did not come to its end says nothing."""
    things(eclose, db, 10100)
    eclose('up', 'things', rc=0)
    eclose.env['ECLOSE_URI'] = relay.uri
    hasty()
    jobs = db.eclose_jobs.count_documents({})
    backfill(eclose, 'start', 'things')
    assert db.eclose_jobs.count_documents({}) == jobs + 1
    db.eclose_jobs.update_many({}, {'$set': {'state': 'failed'}})
    hasty()
    eclose('up', 'things', rc=0)
    assert db.eclose_jobs.count_documents({}) == jobs + 2


PLANNING = {'state': 'planning', 'chunks': 0}


def test_work_on_a_job_whose_plan_was_never_finished(eclose, db):
    """Whoever makes the plan holds a lease: where nobody does, it is said that it will never be finished."""
    things(eclose, db, 500)
    backfill(eclose, 'start', 'things', '--detach')
    db.eclose_jobs.update_one({}, {'$set': PLANNING})
    assert 'went away before it was finished' in backfill(eclose, 'work', 'things', rc=1).err
    assert job(db)['state'] == 'failed'


def test_work_waits_for_the_plan(eclose, db, relay):
    """And has as many workers then as it was asked to have."""
    things(eclose, db, 2000)
    backfill(eclose, 'start', 'things', '--detach', '--range-docs', 250, '--max-rate', 400)
    planned = job(db)
    db.eclose_jobs.update_one({}, {'$set': PLANNING})
    db.eclose_lease.update_one({'_id': 'backfill:things'}, {'$set': {
        'holder': {'id': ObjectId(), 'host': 'elsewhere', 'pid': 1}, 'expires': DatetimeMS(2 ** 42)}})
    child = eclose.start('backfill', 'work', 'things', '--workers', 3, env={'ECLOSE_URI': relay.uri})
    wait_for(lambda: len([c for c in relay.commands() if c.collection == 'eclose_lease']) > 1)
    assert db.eclose_lease.find_one({'_id': 'backfill:things'})['holder']['host'] == 'elsewhere'
    db.eclose_jobs.update_one({}, {'$set': {k: planned[k] for k in PLANNING}})
    db.eclose_lease.update_one({'_id': 'backfill:things'}, {'$set': {'holder': None}})
    wait_for(lambda: db.eclose_chunks.count_documents({'holder.pid': child.pid}) == 3)
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, out + err
    assert at_target(db, 2000)


def test_who_may_not_write_ends_alone(eclose, db, server, relay):
    """What the server refuses to one user says nothing about the migration: others go on."""
    n = size(server, 4000)
    things(eclose, db, n)
    backfill(eclose, 'start', 'things', '--detach', '--mode', 'client', '--range-docs', n // 8, '--max-rate', n // 20)
    relay.edit(lambda answer: {'ok': 0.0, 'code': 13, 'codeName': 'Unauthorized', 'errmsg': 'not authorized on db'}
               if any('schema_version' in d for d in answer.get('cursor', {}).get('firstBatch', [])) else None)
    worker = eclose.start('backfill', 'work', 'things')
    wait_for(lambda: db.eclose_chunks.count_documents({'holder.pid': worker.pid}))
    told = eclose('backfill', 'work', 'things', rc=1, env={'ECLOSE_URI': relay.uri})
    assert 'this process cannot work on the job' in told.err and 'not authorized' in told.err
    assert job(db)['state'] == 'running' and worker.poll() is None
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, out + err
    assert at_target(db, n) and job(db)['state'] == 'done'


def test_work_after_the_end(eclose, db):
    """Whoever starts workers again as long as they fail is to stop then."""
    things(eclose, db, 100)
    backfill(eclose, 'start', 'things')
    for named in ([], ['things']):
        assert 'is done: there is nothing to work on' in backfill(eclose, 'work', *named, rc=0).err
    db.eclose_jobs.update_one({}, {'$set': {'state': 'cancelled'}})
    assert 'was cancelled' in backfill(eclose, 'work', 'things', rc=0).err
    db.eclose_jobs.update_one({}, {'$set': {'state': 'failed', 'error': 'a reason'}})
    assert 'a reason' in backfill(eclose, 'work', 'things', rc=1).err


def test_the_job_ended_before_it_was_told(eclose, db, relay):
    things(eclose, db, 100)
    backfill(eclose, 'start', 'things', '--detach')
    relay.edit(lambda answer: dict(answer, n=0, nModified=0) if 'nModified' in answer else None)
    env = {'ECLOSE_URI': relay.uri}
    for told in (['pause'], ['resume'], ['set', '--max-rate', 9]):
        assert 'ended in the meantime' in eclose('backfill', *told, rc=1, env=env).err
    # Where that is so because somebody cancelled it, and be it this very command, nothing is wrong.
    eclose('backfill', 'cancel', rc=0, env=env)
    assert job(db)['state'] == 'cancelled'


def test_a_wrong_migration_with_a_lookup_touches_nothing(eclose, db):
    """What the sample looks up is fetched for the trial, too."""
    project(eclose, 'things', ['up:\n  - $lookup: {from: others, localField: a, foreignField: _id, as: o}\n'
                               '  - $set: {b: {$toInt: {$first: $o.v}}}\n  - $unset: o\n'])
    db.others.insert_many([{'_id': i, 'v': 'no number' if i else '7'} for i in range(2)])
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 1} for i in range(200)])
    before = raw(db.things)
    done = eclose('up', 'things', rc=1)
    assert '200 of 200' in done.err and 'tried without writing' in done.err and '$toInt' in done.err
    assert raw(db.things) == before and not db.eclose_jobs.count_documents({})
    db.things.update_many({}, {'$set': {'a': 0}})
    eclose('up', 'things', rc=0)
    assert db.things.count_documents({'b': 7, 'schema_version': 2}) == 200
