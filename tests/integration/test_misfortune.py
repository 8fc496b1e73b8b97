"""What `eclose up` does when the network, the server or its own process fails in the middle."""

import json
import signal
import threading

import pymongo
import pytest
from works import FAST, docs, fast, program, put, record, size, wait_for, write

WRITES = ('update', 'insert', 'delete', 'findAndModify')

COPY = '''
up:
  - foreach: {find: src, filter: {done: {$exists: false}}}
    let: {id: $_id, v: $v}
    do:
      - updateOne: {collection: dst, filter: {_id: $$id}, update: {$set: {v: $$v}}, upsert: true}
      - updateOne: {collection: src, filter: {_id: $$id}, update: {$set: {done: true}}}
'''


def data_writes(commands):
    return [c for c in commands if c.name in WRITES and not str(c.collection).startswith('eclose_')]


def copied(db, n):
    assert db.dst.count_documents({}) == n and db.src.count_documents({'done': True}) == n
    assert not [d for d in db.dst.find() if d['v'] != d['_id']]


def records_touched(commands):
    return [c for c in commands if c.name in WRITES and str(c.collection).startswith('eclose_')]


def test_reads_wait_for_what_was_written(eclose, db, server, relay):
    """A new primary may not know yet what the majority has: a read says what it must know by then."""
    n = size(server, 1200)
    db.src.insert_many([{'_id': i, 'v': i} for i in range(n)])
    write(eclose.folder, copy=COPY)

    def note(command, answer):
        if command:
            command.time = answer.get('operationTime')

    relay.change(note)
    eclose('up', rc=0, env={'ECLOSE_URI': relay.uri})
    copied(db, n)
    wrote, reads = {}, 0
    for command in relay.commands():
        asked, connection = command.document, command.connection
        if asked.get('readConcern', {}).get('level') == 'majority' and wrote.get(connection):
            assert asked['readConcern']['afterClusterTime'] == wrote[connection], asked
            reads += 1
        if 'writeConcern' in asked:
            wrote[connection] = command.time
    assert reads > 1


def holder_loses(eclose, db, server, relay, stop, go_on):
    """One that can do nothing for longer than its lease, while another one takes over and ends the work. Gives what it wrote
    of documents even so."""
    n = size(server, 6000)
    db.src.insert_many([{'_id': i, 'v': i} for i in range(n)])
    write(eclose.folder, copy=COPY)
    first = eclose.start('up', env=dict(fast(server), ECLOSE_URI=relay.uri))
    wait_for(lambda: len(data_writes(relay.commands())) > 3)
    stop(first)
    second = eclose('up', '--wait', rc=0, env=fast(server))
    assert 'applied' in second.out
    before = docs(db.eclose_changelog), docs(db.eclose_lease), docs(db.eclose_catalog)
    token = db.eclose_lease.find_one()['token']
    sent = len(relay.commands())
    go_on(first)
    out, err = first.communicate(timeout=60)
    # Nothing of eclose's own is another than before, and at most what was on its way arrived.
    assert first.returncode == 4 and 'lease' in err, (first.returncode, out, err)
    assert (docs(db.eclose_changelog), docs(db.eclose_lease), docs(db.eclose_catalog)) == before
    late = relay.commands(sent)
    assert len(data_writes(late)) <= 1, late
    # Of its own records: the heartbeat that was on its way at most, and that names a token which is over.
    beats = records_touched(late)
    assert [c.collection for c in beats] in ([], ['eclose_lease']), late
    assert all(c.document['query']['token'] < token for c in beats)
    # Nothing else that could change anything.
    harmless = {'hello', 'ismaster', 'isMaster', 'ping', 'find', 'getMore', 'killCursors', 'aggregate', 'endSessions',
                'abortTransaction', 'replSetGetStatus', 'serverStatus', 'collStats', *WRITES}
    assert {c.name for c in late} <= harmless, late
    assert not [c for c in late if c.name == 'aggregate' and any('$out' in s or '$merge' in s for s in c.document['pipeline'])]
    copied(db, n)
    return data_writes(late)


def test_a_holder_that_was_stopped_past_its_lease(eclose, db, server, relay):
    holder_loses(eclose, db, server, relay, lambda child: child.send_signal(signal.SIGSTOP),
                 lambda child: child.send_signal(signal.SIGCONT))


def test_a_holder_whose_network_hung_past_its_lease(eclose, db, server, relay):
    holder_loses(eclose, db, server, relay, lambda _: relay.hold(), lambda _: relay.go())


def test_a_holder_that_comes_back_to_the_server_past_its_lease(eclose, db, server, relay):
    """What it was about to send when it had lost its connection is not sent once that is there again."""
    def stop(_):
        relay.hold()
        relay.cut()

    assert not holder_loses(eclose, db, server, relay, stop, lambda _: relay.go())


def test_a_holder_that_cannot_reach_the_server(eclose, db, server, relay):
    """Its statements fail, and so does its heartbeat: another one goes on."""
    holder_loses(eclose, db, server, relay, lambda _: relay.refuse(), lambda _: None)


# ---- connections that end in the middle; the run goes on, or says what happened and can be repeated ----

def users(eclose, db, n, up='[{$set: {m: {$add: [$n, 1]}}}, {$unset: n}]'):
    write(eclose.folder)
    put(eclose.folder, 'migrations/users/0001_m.yaml', f'to: 1\nup: {up}\n')
    db.users.insert_many([{'_id': i, 'n': i} for i in range(n)])


def users_are_there(db, n):
    assert db.users.count_documents({'v': 1, '$expr': {'$eq': ['$m', {'$add': ['$_id', 1]}]}}) == n


def ends(eclose, child, *again):
    """Well, or with a message; and the same once more brings it to its end."""
    out, err = child.communicate(timeout=150)
    assert child.returncode == 0 or (child.returncode in (1, 4) and 'eclose up: ' in err), (child.returncode, out, err)
    assert 'Sanitizer' not in err, err
    eclose('up', *again, rc=0)
    return child.returncode


@pytest.mark.parametrize('mode', ['pushdown', 'client'])
def test_connections_are_cut_while_documents_are_carried(eclose, db, server, relay, mode):
    n = size(server, 6000)
    users(eclose, db, n)
    relay.delay(5)
    child = eclose.start('up', '--mode', mode, env={'ECLOSE_URI': relay.uri})
    for k in (1, 2, 4):
        wait_for(lambda k=k: len(data_writes(relay.commands())) >= k or child.poll() is not None)
        relay.cut()
    assert len(data_writes(relay.commands())) >= 2
    ends(eclose, child)
    users_are_there(db, n)
    assert db.eclose_quarantine.count_documents({}) == 0


def looks_up(folder):
    put(folder, 'migrations/users/0001_m.yaml',
        'to: 1\nup:\n  - $set: {m: {$add: [$n, 1]}}\n'
        '  - $lookup: {from: kinds, localField: kind, foreignField: _id, as: k}\n  - $unset: [n, k]\n')


def lose(relay, chosen):
    """The first answer to each kind of command that is chosen; what was lost, as it comes."""
    lost = []

    def answer(command, _reply):
        if command is None:
            return
        kind = command.name, command.collection, 'txnNumber' in command.document and 'autocommit' in command.document
        if kind not in lost and chosen(kind):
            lost.append(kind)
            raise ConnectionResetError

    relay.change(answer)
    return lost


def larger_catalog(db):
    """Two batches of it; of another project's collection."""
    db.eclose_catalog.insert_many([{'_id': f'x/{i}', 'collection': 'x', 'to': str(i), 'text': '{}'} for i in range(600)])


@pytest.mark.parametrize('mode', ['pushdown', 'client'])
def test_answers_are_lost_before_a_job_begins(eclose, db, relay, mode):
    """What is asked of the collection, and of eclose's records of it: each first answer is lost, and asked for again."""
    users(eclose, db, 250)
    larger_catalog(db)
    asked = {('buildInfo', None), ('find', 'eclose_catalog'), ('getMore', 'eclose_catalog'), ('listCollections', None),
             ('listIndexes', 'users'), ('find', 'eclose_floors'), ('find', 'eclose_jobs'), ('find', 'eclose_quarantine'),
             ('aggregate', 'users'), ('getMore', 'users')}
    if mode == 'client':
        looks_up(eclose.folder)
        asked.add(('find', 'kinds'))
    lost = lose(relay, lambda kind: kind[:2] in asked)
    eclose('up', '--mode', mode, rc=0, env={'ECLOSE_URI': relay.uri})
    assert {kind[:2] for kind in lost} == asked
    users_are_there(db, 250)


WHOLE = '''
transaction: true
up:
  - updateOne: {collection: sums, filter: {_id: 1}, update: {$inc: {whole: 1}}}
  - insert: {collection: log, document: {x: 1}}
  - assert: {collection: log, filter: {}, count: 1}
'''


def test_answers_are_lost_in_a_transaction(eclose, db, relay):
    """In any place, and that of its commit: all of it is tried again, and takes effect once."""
    db.sums.insert_one({'_id': 1})
    db.create_collection('log')
    write(eclose.folder, whole=WHOLE)
    lost = lose(relay, lambda kind: kind[2])
    eclose('up', rc=0, env={'ECLOSE_URI': relay.uri})
    assert {('update', 'eclose_changelog', True), ('update', 'sums', True), ('insert', 'log', True),
            ('aggregate', 'log', True), ('update', 'eclose_lease', True), ('commitTransaction', None, True)} <= set(lost)
    assert docs(db.sums) == [{'_id': 1, 'whole': 1}] and db.log.count_documents({}) == 1
    assert record(db, '20260101_whole')['state'] == 'applied'


STEPS = '''
up:
  - insert: {collection: sums, document: {_id: 1, n: 0}}
  - updateMany: {collection: src, filter: {x: {$exists: false}}, update: {$set: {x: 1}}}
  - createIndex: {collection: src, keys: {v: 1}}
''' + COPY.split('up:\n')[1]

ROWS = '''
up:
  - foreach: {find: src, filter: {booked: {$exists: false}}, transaction: true}
    let: {id: $_id, v: $v}
    do:
      - updateOne: {collection: sums, filter: {_id: 1}, update: {$inc: {n: $$v}}}
      - updateOne: {collection: src, filter: {_id: $$id}, update: {$set: {booked: true}}}
'''


@pytest.mark.long
@pytest.mark.parametrize('mode', ['pushdown', 'client'])
def test_every_answer_is_lost_once(eclose, db, relay, mode):
    """Of whatever kind, but for the first of all: `up` ends well, with each thing done once."""
    n = 1500
    users(eclose, db, n)
    larger_catalog(db)
    if mode == 'client':
        looks_up(eclose.folder)
    db.src.insert_many([{'_id': i, 'v': i} for i in range(30)])
    for name in ('sums', 'log', 'dst'):
        db.create_collection(name)
    write(eclose.folder, copy=STEPS, rows=ROWS, whole=WHOLE)
    # A server that does not answer at all is told of, at once.
    lost = lose(relay, lambda kind: kind[0] not in ('hello', 'ismaster', 'isMaster', 'endSessions', 'killCursors'))
    eclose('up', '--mode', mode, '--range-docs', 10, rc=0, env={'ECLOSE_URI': relay.uri})
    assert len(lost) > 35, lost
    users_are_there(db, n)
    copied(db, 30)
    assert db.src.count_documents({'x': 1, 'booked': True}) == 30
    assert docs(db.sums) == [{'_id': 1, 'n': sum(range(30)), 'whole': 1}] and db.log.count_documents({'x': 1}) == 1


def ids_of(command):
    """The first and the last _id of a batch."""
    queries = [s['q'] for s in command.document['updates']]
    if '$and' in queries[0]:
        ranges = [q['$and'][0]['_id'] for q in queries]
        return min(r['$gte'] for r in ranges), max(r['$lte'] for r in ranges)
    ids = [q['_id'] for q in queries]
    return min(ids), max(ids)


def counted(eclose, db, n):
    """A change that shows where it was made twice."""
    users(eclose, db, n, up='[{$set: {n: {$add: [$n, 1]}}}]')


def too_late(reply, code=64, name='WriteConcernFailed'):
    return dict(reply, writeConcernError={'code': code, 'codeName': name, 'errmsg': 'the majority is late'})


@pytest.mark.parametrize('mode', ['pushdown', 'client'])
@pytest.mark.parametrize(('code', 'name', 'lost'), [(64, 'WriteConcernFailed', False),
                                                    (91, 'ShutdownInProgress', True)])
def test_what_the_majority_does_not_have_is_not_done(eclose, db, server, relay, mode, code, name, lost):
    """The server did a batch, and says that it has not reached the majority: the same is sent until it has. No
    checkpoint stands behind it, for another primary may not have it; then it is done again, and the rest is not."""
    n = size(server, 4000)
    counted(eclose, db, n)
    late = threading.Event()

    def is_batch(command):
        return command is not None and command.name == 'update' and command.collection == 'users'

    def answer(command, reply):
        if late.is_set() and is_batch(command):
            return too_late(reply, code, name)
        return None

    def batches(since=0):
        return list(filter(is_batch, relay.commands(since)))

    relay.change(answer)
    # Some seconds long on any machine: there are others before it, and behind it.
    child = eclose.start('backfill', 'start', 'users', '--mode', mode, '--batch-time', 20, '--max-rate', n // 10,
                         '--max-latency', 1000, env={'ECLOSE_URI': relay.uri})
    wait_for(lambda: batches() and db.eclose_chunks.find_one({'after.id': {'$exists': True}}))
    late.set()
    mark = len(relay.commands())
    wait_for(lambda: len(batches(mark)) >= 4)
    last = batches(mark)[-1].document
    again = [c.document['updates'] for c in batches(mark)][-3:]
    assert again == [last['updates']] * 3 and last['writeConcern']['w'] == 'majority'
    first, end = ids_of(batches(mark)[-1])
    assert 0 < end < n - 1 and db.users.count_documents({'_id': {'$gte': first, '$lte': end}, 'v': 1}) == end - first + 1
    chunk = db.eclose_chunks.find_one()
    assert chunk['state'] == 'open' and chunk['after']['id'] < first
    assert db.eclose_jobs.find_one()['state'] == 'running' and child.poll() is None
    if lost:
        # Another primary, which does not have them; and the application writes one anew there.
        db.users.bulk_write([pymongo.ReplaceOne({'_id': i}, {'_id': i, 'n': i}) for i in range(first, end + 1)])
        db.users.update_one({'_id': end}, {'$set': {'seen': True}})
    late.clear()
    eclose('backfill', 'set', 'users', '--max-rate', 'none', rc=0)
    eclose.wait(child)
    wrong = [d for d in db.users.find() if (d['n'], d['v']) != (d['_id'] + 1, 1)]
    assert not wrong and db.users.count_documents({'seen': True}) == lost
    counts = db.eclose_jobs.find_one()['counts']
    assert db.eclose_jobs.find_one()['state'] == 'done' and db.eclose_quarantine.count_documents({}) == 0
    assert n <= counts['changed'] <= n + (end - first + 1) * lost, counts


@pytest.mark.parametrize('mode', ['pushdown', 'client'])
def test_records_that_the_majority_does_not_have_are_written_again(eclose, db, server, relay, mode):
    """Claims, checkpoints, quarantine, the job itself: every second write of eclose's own is too late."""
    n = size(server, 2000)
    counted(eclose, db, n)
    db.users.insert_one({'_id': n, 'n': 'no number'})
    late = []

    def answer(command, reply):
        if command is None or command.name not in WRITES or not str(command.collection).startswith('eclose_'):
            return None
        late.append(command)
        return too_late(reply) if len(late) % 2 else None

    relay.change(answer)
    done = eclose('up', 'users', '--mode', mode, '--range-docs', n // 4, '--format', 'json', rc=5, env={'ECLOSE_URI': relay.uri})
    told = json.loads(done.out.splitlines()[-1])
    assert (told['changed'], told['quarantined']) == (n, 1)
    assert {'eclose_lease', 'eclose_jobs', 'eclose_chunks', 'eclose_quarantine'} <= {c.collection for c in late}
    assert not [d for d in db.users.find({'_id': {'$ne': n}}) if (d['n'], d['v']) != (d['_id'] + 1, 1)]
    jobs = docs(db.eclose_jobs)
    assert [(j['state'], j['counts']['changed'], j['counts']['quarantined']) for j in jobs] == [('done', n, 1)]
    assert {c['state'] for c in db.eclose_chunks.find()} == {'done'} and len(docs(db.eclose_quarantine)) == 1


def test_up_does_not_look_at_latency_unless_asked_to(eclose, db, server, relay):
    """Somebody waits for it; a job may be slowed by that."""
    users(eclose, db, size(server, 9000))
    # Short batches: however fast the machine is, there are many.
    child = eclose.start('up', '--mode', 'client', '--batch-time', 10, env={'ECLOSE_URI': relay.uri})
    for k, ms in (0, 0), (25, 150), (35, 0):
        wait_for(lambda k=k: len(data_writes(relay.commands())) > k)
        assert child.poll() is None
        relay.delay(ms)
    assert 'when all is calm' not in eclose.wait(child).err


def test_connections_are_cut_in_a_foreach(eclose, db, relay):
    db.src.insert_many([{'_id': i, 'v': i} for i in range(6000)])
    write(eclose.folder, copy=COPY)
    child = eclose.start('up', env={'ECLOSE_URI': relay.uri})
    for k in (1, 4, 9):
        wait_for(lambda k=k: len(data_writes(relay.commands())) >= k or child.poll() is not None)
        relay.cut()
    ends(eclose, child, '--wait')
    copied(db, 6000)
    assert record(db, '20260101_copy')['state'] == 'applied'


def test_a_program_does_not_see_that_connections_of_eclose_are_cut(eclose, db, relay, tmp_path):
    """The lease outlives that: its heartbeat connects again."""
    go = tmp_path / 'go'
    program(eclose.folder, '20260101_waits.sh',
            f'#!/bin/sh\ntouch {tmp_path}/began\nwhile [ ! -e {go} ]; do sleep 0.1; done\n')
    child = eclose.start('up', env=dict(FAST, ECLOSE_URI=relay.uri, ECLOSE_LEASE_TIME='3000'))
    wait_for((tmp_path / 'began').exists)
    for _ in range(3):
        beat = db.eclose_lease.find_one()['beat']
        relay.cut()
        wait_for(lambda beat=beat: db.eclose_lease.find_one()['beat'] >= beat + 2)
    go.touch()
    eclose.wait(child)
    assert record(db, '20260101_waits')['state'] == 'applied'


@pytest.mark.parametrize('mode', ['pushdown', pytest.param('client', marks=pytest.mark.long)])
def test_the_server_goes_away_while_documents_are_carried(own_eclose, own_server, own_db, mode):
    n = size(own_server, 8000)
    users(own_eclose, own_db, n)
    child = own_eclose.start('up', '--mode', mode)
    wait_for(lambda: own_db.users.find_one({'v': 1}) or child.poll() is not None)
    own_server.kill()
    own_server.restart()
    ends(own_eclose, child)
    users_are_there(own_db, n)


def test_the_server_goes_away_under_a_program(own_eclose, own_server, own_db, tmp_path):
    go = tmp_path / 'go'
    program(own_eclose.folder, '20260101_waits.sh',
            f'#!/bin/sh\ntouch {tmp_path}/began\nwhile [ ! -e {go} ]; do sleep 0.1; done\n')
    child = own_eclose.start('up')
    wait_for((tmp_path / 'began').exists)
    own_server.kill()
    own_server.restart()
    go.touch()
    ends(own_eclose, child, '--wait')
    entry = record(own_db, '20260101_waits')
    assert entry['state'] == 'applied'
