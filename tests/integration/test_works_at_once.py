"""Database migrations beside applications and each other: killed, many at once, and without their server for a while."""

import contextlib
import os
import random
import re
import sys
import threading
import time

import pytest

from works import FAST, change, docs, example, fast, program, record, size, wait_for, write


# ---- a story ----

def run_killed(eclose, server, delays):
    for delay in delays:
        child = eclose.start('up', '--wait', env=fast(server))
        time.sleep(delay)
        child.kill()
        child.wait()
    eclose('up', '--wait', rc=0, env=fast(server))


class Hooks:
    """Applications beside the migration of the webhooks: what they were told is there, and readers who want to see it."""

    def __init__(self, db, pause, n):
        self.db, self.pause, self.n = db, pause, n
        self.known = {i: {f'http://h/{i}/{k % 3}' for k in range(i % 6)} for i in range(n)}
        self.lock, self.end, self.old_ended = threading.Lock(), threading.Event(), threading.Event()
        self.wrong, self.seen, self.twice = [], 0, 0
        db.creators.insert_many([{'_id': i, 'webhookUrls': [f'http://h/{i}/{k % 3}' for k in range(i % 6)]} for i in range(n)])
        self.threads = [threading.Thread(target=self.run, args=(what, seed)) for seed, what in enumerate(
            [self.read, self.read, self.write_new, self.write_old])]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.old_ended.set()
        for thread in self.threads:
            thread.join()

    def run(self, what, seed):
        chance, n = random.Random(seed), 0
        try:
            while not (self.old_ended if what == self.write_old else self.end).is_set():
                what(chance.randrange(self.n), n)
                n += 1
        except Exception as e:  # noqa: BLE001
            self.wrong.append(repr(e))

    def read(self, creator, _n):
        """As examples/webhooks/README.md says: documents, then the list, in time, or once more."""
        while True:
            with self.lock:
                known = set(self.known[creator])
            began = time.monotonic()
            documents = [hook['url'] for hook in self.db.webhooks.find({'creatorId': creator, 'event': 'post-created'})]
            listed = set(self.db.creators.find_one({'_id': creator}).get('webhookUrls', []))
            if time.monotonic() - began <= self.pause:
                break
        if not known <= listed | set(documents) or len(documents) != len(set(documents)):
            self.wrong.append((creator, known, documents, listed))
        self.seen += 1
        self.twice += bool(listed & set(documents))

    def wrote(self, creator, url):
        with self.lock:
            self.known[creator].add(url)
        time.sleep(0.005)

    def write_new(self, creator, n):
        url = f'http://h/{creator}/{n % 5}'
        self.db.webhooks.update_one({'creatorId': creator, 'event': 'post-created', 'url': url},
                                    {'$setOnInsert': {'_id': f'own {creator} {n}', 'name': 'Mine', 'secret': 's'}}, upsert=True)
        self.wrote(creator, url)

    def write_old(self, creator, n):
        url = f'http://h/{creator}/{n % 7}'
        self.db.creators.update_one({'_id': creator}, {'$addToSet': {'webhookUrls': url}})
        self.wrote(creator, url)


def test_webhooks(eclose, db, server):
    example(eclose, 'webhooks')
    pause = 2
    for name in os.listdir(os.path.join(eclose.folder, 'migrations')):
        change(eclose.folder, f'migrations/{name}', 'seconds: 60', f'seconds: {pause}')
    rest = os.path.join(eclose.folder, 'migrations', '20261129T1000_webhooks_rest.yaml')
    os.rename(rest, os.path.join(eclose.folder, 'later'))
    # A hook that the application has under an _id of its own already, and as it wants it.
    db.webhooks.create_index([('creatorId', 1), ('event', 1), ('url', 1)], unique=True)
    mine = {'_id': 'mine', 'creatorId': 5, 'event': 'post-created', 'name': 'Mine', 'secret': 's', 'url': 'http://h/5/0'}
    db.webhooks.insert_one(mine)
    with Hooks(db, pause, size(server, 800)) as hooks:
        run_killed(eclose, server, [0.1, 0.4, 1])
        left = db.creators.count_documents({'webhookUrls': {'$exists': True}})
        # The next release: nobody writes lists any more, and what stayed is moved.
        hooks.old_ended.set()
        hooks.threads[-1].join()
        os.rename(os.path.join(eclose.folder, 'later'), rest)
        run_killed(eclose, server, [0.2])
    assert not hooks.wrong, hooks.wrong[:3]
    print(f'{hooks.seen} readers, {hooks.twice} of them saw a hook in both places; {left} lists stayed for the second')
    assert hooks.seen and hooks.twice
    assert db.creators.count_documents({'$or': [{'webhookUrls': {'$exists': True}}, {'webhooksCopied': {'$exists': True}}]}) == 0
    found = [(h['creatorId'], h['url']) for h in db.webhooks.find()]
    assert len(found) == len(set(found))
    assert set(found) == {(creator, url) for creator, urls in hooks.known.items() for url in urls}
    assert db.webhooks.find_one({'_id': 'mine'}) == mine
    moved = db.webhooks.find_one({'name': 'Webhook'}, {'_id': 0})
    assert moved == {'creatorId': moved['creatorId'], 'event': 'post-created', 'name': 'Webhook', 'secret': None, 'url': moved['url']}
    eclose('revert', '--steps', 2, rc=0)
    assert db.webhooks.count_documents({}) == 0
    assert {c['_id']: set(c.get('webhookUrls', [])) for c in db.creators.find()} == hooks.known


# ---- many at once ----

# Once in effect, however often it is begun: what it writes is the same each time, and says under which token it was.
ONCE = f'''#!{sys.executable}
import os
import pymongo

db = pymongo.MongoClient(os.environ['ECLOSE_URI'])[os.environ['ECLOSE_DATABASE']]
db.runs.insert_one({{'token': int(os.environ['ECLOSE_TOKEN']), 'name': os.environ['ECLOSE_MIGRATION']}})
db.log.update_one({{'_id': 'd'}}, {{'$set': {{'n': 1}}}}, upsert=True)
print('done')
'''


def rounds(eclose, db, seed):
    chance = random.Random(seed)
    program(eclose.folder, '20260101_d.py', ONCE)
    for name in ('a', 'b', 'c'):
        write(eclose.folder, **{name: f'''
up:
  - insert: {{collection: log, document: {{_id: {name}}}}}
  - transaction:
      - insert: {{collection: times, document: {{of: {name}}}}}
      - updateOne: {{collection: log, filter: {{_id: {name}}}, update: {{$inc: {{n: 1}}}}}}
  - foreach: {{find: rows, filter: {{{name}: {{$exists: false}}}}}}
    let: {{id: $_id}}
    do: [{{updateOne: {{collection: rows, filter: {{_id: $$id}}, update: {{$set: {{{name}: 1}}}}}}}}]
'''})
    db.rows.insert_many([{'_id': i} for i in range(300)])
    children = [eclose.start('up', '--wait', env=FAST) for _ in range(20)]
    time.sleep(chance.uniform(0, 1.5))
    victim = chance.choice(children)
    victim.kill()
    for child in children:
        out, err = child.communicate(timeout=120)
        assert child is victim or child.returncode == 0, (out, err)
    eclose.children.clear()
    assert docs(db.log) == [{'_id': name, 'n': 1} for name in 'abcd']
    assert sorted(d['of'] for d in db.times.find()) == ['a', 'b', 'c']
    assert db.rows.count_documents({'a': 1, 'b': 1, 'c': 1}) == 300
    assert [e['state'] for e in docs(db.eclose_changelog)] == ['applied'] * 4
    runs = [r['token'] for r in db.runs.find().sort('token', 1)]
    entry = record(db, '20260101_d')
    # The last of them is the one that the changelog tells of; another one only where the one that was killed began it.
    assert runs[-1] == entry['token'] and len(runs) in (1, 2) and len(set(runs)) == len(runs), (runs, entry)
    assert entry['output'] == 'done\n'


@pytest.mark.parametrize('seed', range(5))
def test_twenty_at_once_and_one_is_killed(eclose, db, seed):
    rounds(eclose, db, seed)


@pytest.mark.long
@pytest.mark.parametrize('seed', range(5, 50))
def test_twenty_at_once_often(eclose, db, seed):
    rounds(eclose, db, seed)


def test_without_wait_the_second_ends_with_four(eclose, db):
    program(eclose.folder, '20260101_slow.sh', '#!/bin/sh\nsleep 600\n')
    child = eclose.start('up')
    wait_for(lambda: record(db, '20260101_slow'))
    assert eclose('up', rc=4).err
    child.terminate()
    assert child.wait(timeout=60) == 1
    assert record(db, '20260101_slow')['state'] == 'failed'


# ---- a server that goes away; memory ----

def test_server_goes_away_and_comes_back(own_eclose, own_server, own_db):
    own_db.src.insert_many([{'_id': i, 'v': i} for i in range(20000)])
    write(own_eclose.folder, a='''
up:
  - foreach: {find: src, filter: {done: {$exists: false}}}
    let: {id: $_id, v: $v}
    do:
      - insert: {collection: dst, document: {_id: $$id, v: $$v}}
      - updateOne: {collection: src, filter: {_id: $$id}, update: {$set: {done: true}}}
''')
    child = own_eclose.start('up')
    wait_for(lambda: own_db.dst.estimated_document_count() > 500)
    own_server.kill()
    own_server.restart()
    out, err = child.communicate(timeout=150)
    assert child.returncode == 0 or 'eclose up:' in err, (out, err)
    own_eclose('up', '--wait', rc=0, env=FAST)
    assert own_db.dst.count_documents({}) == 20000 and own_db.src.count_documents({'done': True}) == 20000


def foreach_over(eclose, db, n):
    """Runs a foreach over so many rows; the peak of its memory in KiB, and what it said."""
    for first in range(0, n, 20000):
        db.src.insert_many([{'_id': i, 'v': 'x' * 100} for i in range(first, min(first + 20000, n))])
    write(eclose.folder, a='''
up:
  - foreach: {find: src}
    let: {id: $_id, v: $v}
    do: [{insert: {collection: dst, document: {_id: $$id, v: $$v}}}]
''')
    child = eclose.start('up')
    peak = 0
    while child.poll() is None:
        with contextlib.suppress(OSError), open(f'/proc/{child.pid}/status', encoding='utf-8') as f:
            peak = max([peak] + [int(line.split()[1]) for line in f if line.startswith('VmHWM')])
        time.sleep(0.02)
    out, err = child.communicate()
    assert child.returncode == 0, (out, err)
    assert db.dst.count_documents({}) == n
    return peak, err


def sanitized(eclose):
    with open(eclose.binary, 'rb') as f:
        return b'__asan_init' in f.read()


def test_foreach_has_bounded_memory(eclose, db):
    peak, _ = foreach_over(eclose, db, 40000)
    # The rows alone are more than half of it; a build under the sanitizers keeps what is freed for a while.
    assert 0 < peak <= (512 if sanitized(eclose) else 32) * 1024, peak


@pytest.mark.long
def test_foreach_over_many_rows_has_bounded_memory(eclose, db):
    peak, err = foreach_over(eclose, db, 300000)
    print(f'peak: {peak} KiB')
    assert 0 < peak <= 64 * 1024, peak
    assert re.search(r'step 1 of 1, foreach src: [0-9,]+', err), err
