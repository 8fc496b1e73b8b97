"""Backfills as jobs: ranges, several workers, what happens when they die, and what others tell them."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

from test_backfill import MODES, project, raw
from works import put, size, wait_for

STEP = 'up:\n  - $set: {b: {$add: [$a, 1]}}\ndown:\n  - $unset: b\n'


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
def test_every_id_is_in_a_range(eclose, db, server, mode):
    """Ids of every type, many ranges, and documents that come while it runs: below, above, between, of types that no
    sample showed."""
    project(eclose, 'things', [STEP])
    many, some, few = (size(server, k) for k in (1000, 500, 300))
    ids = [*range(0, 3 * many, 3), *(f's{i:05}' for i in range(many)), *(Binary(b'%08d' % i) for i in range(some)),
           *({'k': i} for i in range(few)), *(ObjectId() for _ in range(some)), *ODD]
    if server.name == 'py':
        # It takes no update of a document whose _id is NaN; to MongoDB NaN is equal to itself.
        ids = [i for i in ids if i == i]
    db.things.insert_many([{'_id': i, 'schema_version': 1, 'a': 1} for i in ids], ordered=False)
    n = len(ids)
    done = backfill(eclose, 'start', 'things', '--mode', mode, '--range-docs', size(server, 100), '--detach')
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


@pytest.mark.parametrize('mode', ['client', pytest.param('pushdown', marks=pytest.mark.long)])
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
    # On its own machine that is seen before its claim has expired.
    assert not any(w['alive'] for w in told['workers'] if w['pid'] == dead.pid)
    # Its range is not lost for long: the others see that the process is gone, and go on behind its checkpoint.
    after = wait_for(lambda: db.eclose_chunks.find_one(
        {'_id': held['_id'], 'token': {'$gt': held['token']}}))
    assert after['state'] != 'open' or after['after']['id'] >= held['after']['id']
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    for worker in workers[1:]:
        eclose.wait(worker)
    assert at_target(db, n)
    # What it did between its checkpoint and its death no reply told the others: less than two seconds of its work.
    assert job(db)['state'] == 'done' and n - n // 2 < job(db)['counts']['changed'] <= n
    assert {c['state'] for c in db.eclose_chunks.find()} == {'done'}


def test_pause_resume_set_and_cancel_from_elsewhere(eclose, db, server, relay):
    n = size(server, 8000)
    things(eclose, db, n)
    child = eclose.start('backfill', 'start', 'things', '--max-latency', 1000, '--mode', 'client', '--workers', 2, '--max-rate', n // 20,
                         '--range-docs', n // 8, env={'ECLOSE_URI': relay.uri})
    done = lambda: db.things.count_documents({'schema_version': 2})  # noqa: E731
    wait_for(done)
    backfill(eclose, 'pause')
    assert status(eclose)['wanted'] == 'paused'
    wait_for(lambda: not db.eclose_chunks.count_documents({'holder': {'$ne': None}}), seconds=20)
    before, mark = done(), len(relay.commands())
    # Each of the two looks at the job, and nothing happens.
    wait_for(lambda: sum(c.collection == 'eclose_jobs' for c in relay.commands(mark)) >= 4)
    assert done() == before and child.poll() is None
    assert 'resume things` lets its workers go on' in backfill(eclose, 'status', 'things').out
    backfill(eclose, 'resume')
    wait_for(lambda: done() > before)
    told = wait_for(lambda: (lambda s: s if s['workers'] else None)(status(eclose)))
    assert told['settings']['max_documents'] == n // 20
    assert f'\n  set: --max-rate {n // 20} --max-latency 1000\n' in backfill(eclose, 'status').out
    assert all(w['pid'] == child.pid and w['alive'] for w in told['workers'])
    backfill(eclose, 'set', '--max-rate', n // 10)
    wait_for(lambda: status(eclose)['settings']['max_documents'] == n // 10)
    backfill(eclose, 'cancel', 'things')
    assert 'somebody cancelled the job' in eclose.wait(child, rc=1).err
    assert job(db)['state'] == 'cancelled' and 0 < done() < n
    # What its ranges say: it carried some, and not all.
    told = status(eclose)
    assert told['state'] == 'cancelled' and told['documents'] == told['done'] + told['left']
    assert told['done'] > 0 and told['left'] > 0 and 0 < told['counts']['changed'] <= done()
    said = backfill(eclose, 'status', 'things').out
    assert ' documents done\n' in said and ' changed, ' in said and '  0 changed' not in said
    assert 'no job on things is running: the last one, on things to version 2, was cancelled' in \
        backfill(eclose, 'cancel', 'things', rc=1).err
    # What was carried stays, and the next one does the rest.
    eclose('up', 'things', rc=0)
    assert at_target(db, n)


def test_a_rate_in_bytes_is_set_within_a_range(eclose, db, server):
    """How large documents are the server is asked from then on, where it carries them over itself."""
    n = size(server, 4000)
    things(eclose, db, n)
    child = eclose.start('backfill', 'start', 'things', '--mode', 'pushdown', '--range-docs', n, '--max-rate', n // 20)
    wait_for(lambda: db.things.count_documents({'schema_version': 2}))
    backfill(eclose, 'set', 'things', '--max-rate', '500B')
    wait_for(lambda: 'rate, limit 500 bytes/s' in backfill(eclose, 'status').out)
    assert 0 < db.things.count_documents({'schema_version': 2}) < n
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    eclose.wait(child)
    assert at_target(db, n) and db.eclose_chunks.count_documents({}) == 1


@pytest.mark.parametrize('how', ['for', signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_goes_on_where_it_stopped(eclose, db, server, how):
    n = size(server, 8000)
    things(eclose, db, n)
    rate = ('--max-rate', n // 10)
    if how == 'for':
        stopped = backfill(eclose, 'run', 'things', '--for', '2s', *rate, rc=0)
    else:
        child = eclose.start('up', 'things', *rate)
        wait_for(lambda: db.eclose_chunks.find_one({'after.id': {'$exists': True}}))
        child.send_signal(how)
        if how == signal.SIGHUP:
            child.send_signal(how)  # by the shell, and by the kernel
        stopped = eclose.wait(child, rc=1)
    assert 'goes on where this one stopped' in stopped.err
    assert re.search(rf'^things: about [\d,]+ of {n:,} documents are left$', stopped.out, re.MULTILINE)
    first = job(db)
    chunk = db.eclose_chunks.find_one()
    assert first['state'] == 'running' and chunk['holder'] is None
    assert 0 < db.things.count_documents({'schema_version': 2}) < n
    backfill(eclose, 'set', '--max-rate', 'none')
    backfill(eclose, 'run', 'things')
    assert at_target(db, n)
    assert job(db)['_id'] == first['_id'] and job(db)['state'] == 'done'


def test_how_much_of_it_was_done_here(eclose, db, server):
    """The time that is said is this process's, and so is the rate: what others did is told apart."""
    n = size(server, 4000)
    things(eclose, db, n)
    first = backfill(eclose, 'run', 'things', '--for', '2s', '--max-rate', n // 10).out
    here = n - db.things.count_documents({'schema_version': 2})
    assert 0 < here < n and f'things: {n - here:,} documents carried to version 2 in ' in first
    done = backfill(eclose, 'run', 'things', '--max-rate', 'none').out
    assert f'things: {n:,} documents carried to version 2, {here:,} of them here in ' in done


@pytest.mark.parametrize('second', [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(eclose, db, server, second):
    """Whichever came first, and however long what it waits for takes."""
    n = size(server, 2000)
    things(eclose, db, n)
    # A hook that runs on keeps it from ending after the first one.
    child = eclose.start('up', 'things', '--max-rate', n // 20, '--hook', 'start=exec sleep 25 >&- 2>&-')
    wait_for(lambda: db.eclose_chunks.find_one({'after.id': {'$exists': True}}))
    child.send_signal(signal.SIGTERM)
    wait_for(lambda: db.eclose_chunks.find_one()['holder'] is None)
    assert child.poll() is None
    child.send_signal(second)
    assert child.wait(timeout=20) == -second
    backfill(eclose, 'set', 'things', '--max-rate', 'none')
    backfill(eclose, 'run', 'things')
    assert at_target(db, n)


def test_a_second_signal_ends_the_line(eclose, db, server):
    """On a terminal: what the shell writes next does not begin behind the progress."""
    n = size(server, 2000)
    things(eclose, db, n)
    terminal, end = pty.openpty()
    with subprocess.Popen([eclose.binary, 'up', 'things', '--max-rate', str(n // 20)], cwd=eclose.folder, stderr=end,
                          stdin=subprocess.DEVNULL, env=dict(eclose.env, TERM='xterm')) as child:
        os.close(end)
        said = b''
        while b'things: ' not in said:
            said += os.read(terminal, 4096)
        # It is found with both of them: no time to end after the first one.
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            child.send_signal(number)
        assert child.wait(timeout=20) in (-signal.SIGTERM, -signal.SIGINT)
    with contextlib.suppress(OSError):  # the other end is closed
        while more := os.read(terminal, 4096):
            said += more
    os.close(terminal)
    assert said.endswith(b'\n') and b'\n' not in said[said.index(b'things: '):-2], said


def test_a_job_whose_plan_was_never_finished(eclose, db):
    """Whoever made it died: the next run does not wait for him."""
    things(eclose, db, 500)
    backfill(eclose, 'start', 'things', '--detach')
    db.eclose_jobs.update_one({}, {'$set': {'state': 'planning', 'chunks': 0}})
    first = job(db)['_id']
    said = backfill(eclose, 'status', 'things').out
    assert 'its ranges are being made' in said and 'nobody works' not in said and 'ranges: ' not in said
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
    # On this machine it is seen that he is dead; of another one nobody knows before his claim has expired.
    held = db.eclose_chunks.find_one({'holder.pid': child.pid})
    db.eclose_chunks.update_one({'_id': held['_id']}, {'$set': {'holder.place': 'elsewhere'}})
    assert 'being worked on' in eclose('down', 'things', '--to', 1, rc=4).err
    db.eclose_chunks.update_one({'_id': held['_id']}, {'$set': {'holder.place': held['holder']['place']}})
    # Whoever paused it had a reason.
    backfill(eclose, 'pause', 'things')
    assert 'a job up to version 2 is paused; `eclose backfill resume things`' in \
        eclose('down', 'things', '--to', 1, rc=4, env=env).err
    backfill(eclose, 'resume', 'things')
    # Nothing is given up for what is not begun.
    assert 'nothing to do' in eclose('up', 'things', '--to', 1, rc=0, env=env).out
    assert db.eclose_jobs.find_one({'_id': first['_id']})['state'] == 'running'
    told = eclose('down', 'things', '--to', 1, rc=0, env=env).err
    assert f'a job up to version 2, begun by process {child.pid} on ' in told and 'is given up' in told
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
    eclose('up', 'things', '--max-errors', '1', rc=5)
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
    for time in ('soon', '2', '1d'):
        assert '--for takes a time' in backfill(eclose, 'run', 'things', '--for', time, rc=2).err
    assert 'say what to set' in backfill(eclose, 'set', rc=2).err
    for rate in ('fast', '0', '0MB'):
        assert f'"{rate}" is no rate' in backfill(eclose, 'start', 'things', '--max-rate', rate, rc=2).err
    uri = eclose.env['ECLOSE_URI']
    uri += ('&' if '?' in uri else '/?') + 'tsl=true&bogus=1'
    told = backfill(eclose, 'status', '--uri', uri, rc=0).err
    assert told == 'the server\'s URI: Unsupported URI option "tsl"; Unsupported URI option "bogus"\n'
    assert '--database is empty' in backfill(eclose, 'status', '--database', '', rc=2).err
    for name in ('a b', 'a.b', '$x', 'x' * 64):
        told = backfill(eclose, 'status', '--database', name, rc=1).err
        assert f'"{name}" is no name of a database' in told and 'namespace' not in told
    assert 'there is no job' in backfill(eclose, 'work', rc=1).err
    backfill(eclose, 'start', 'things', '--detach')
    db.eclose_chunks.update_one({}, {'$set': {'holder': {'id': ObjectId(), 'host': 'elsewhere', 'pid': 1},
                                              'expires': DatetimeMS(2 ** 42)}})
    assert '1 range of a job up to version 2 is being worked on' in eclose('down', 'things', '--to', 1, rc=4).err
    assert eclose('history', rc=0).out == 'no database migration ran yet\n'
    assert eclose('history', '--format', 'json', rc=0).out == ''


def test_what_is_meant_for_one_job_hits_no_other(eclose, db):
    for name in ('things', 'others'):
        project(eclose, name, [STEP])
        put(eclose.folder, 'eclose.yaml',
            'database: none\ncollections:\n  things: {unversioned: 1}\n  others: {unversioned: 1}\n')
        db[name].insert_many([{'_id': i, 'schema_version': 1, 'a': i} for i in range(10)])
        backfill(eclose, 'start', name, '--detach')
    for verb in (['pause'], ['resume'], ['set', '--max-rate', 5], ['cancel']):
        assert 'more than one job: say of which COLLECTION (others, things)' in backfill(eclose, *verb, rc=1).err
    assert [j['wanted'] for j in db.eclose_jobs.find()] == ['running'] * 2
    backfill(eclose, 'cancel', 'things')
    backfill(eclose, 'cancel')
    assert [j['state'] for j in db.eclose_jobs.find()] == ['cancelled'] * 2


def test_a_command_says_wait(eclose, db, tmp_path):
    things(eclose, db, 3000)
    flag = tmp_path / 'wait'
    flag.write_text('')
    child = eclose.start('up', 'things', '--mode', 'client', '--throttle-command', f'test ! -e {flag}',
                         '--max-rate', 400)
    wait_for(lambda: any('command' in c.get('slowed', '') for c in db.eclose_chunks.find()))
    flag.unlink()
    backfill(eclose, 'set', '--max-rate', 'none')
    eclose.wait(child)
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
    eclose.wait(child)
    assert at_target(db, 3000)
