#!/usr/bin/env python3
"""A backfill for minutes, with everything killed all the time, and an application that writes meanwhile.

    make soak                                   SOAK_DOCUMENTS, SOAK_SECONDS between two kills (5), SOAK_MODES (all)
    tests/integration/soak.py [DOCUMENTS]       the same with the eclose of build/ (or ECLOSE_BUILD)

Without SOAK_DOCUMENTS there are as many as two cores carry in about a quarter of an hour; pushed down
in some minutes, for of more the test server cannot find the `_id`s of other types in the time that one look may take.

Four workers carry users from version 1 to 2 on a server that syncs what it acknowledges. Every few seconds one of them
is killed with -9 and another takes its place; the server is killed twice and started again; the job is paused and
resumed. At the end every document is at the target, every acknowledged write of the application is there, and the
job's ranges cover the collection. It ends with status 1 where any of that does not hold.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTSERVER = os.path.join(ROOT, 'tools', 'testserver')

try:
    import pymongo
except ImportError:
    PYTHON = subprocess.run([TESTSERVER, 'python'], capture_output=True, text=True, check=True).stdout.strip()
    if sys.executable == PYTHON:
        sys.exit('soak: pymongo is missing: run `make deps`')
    os.execv(PYTHON, [PYTHON, *sys.argv])

PROJECT = os.path.join(ROOT, 'examples', 'users')
WORKERS = 4
DOCUMENTS = {'pushdown': 2000000, 'client': 600000}


class Application:
    """Threads of an old and a new release. Each owns a slice of the users, so that the order of its writes to one user is
    known. Each write carries its number and can be repeated: where the answer is lost it is sent again."""

    def __init__(self, uri, database, documents, pairs=2):
        self.documents, self.pairs = documents, pairs
        self.users = pymongo.MongoClient(uri, serverSelectionTimeoutMS=120000, retryWrites=False)[database].users
        self.acknowledged = {}  # user: (number, visits, what was set) of its last write
        self.ends = {1: threading.Event(), 2: threading.Event()}
        self.threads = {1: [], 2: []}
        self.failures, self.writes, self.repeated = [], 0, 0

    def run(self):
        for version in (1, 2):
            for k in range(self.pairs):
                thread = threading.Thread(target=self.work, args=(version, k), daemon=True)
                self.threads[version].append(thread)
                thread.start()

    def work(self, version, k):
        rng = random.Random(version * 100 + k)
        slice_ = (version - 1) * self.pairs + k
        try:
            while not self.ends[version].is_set():
                i = rng.randrange(slice_, self.documents, 2 * self.pairs)
                self.touch(version, i, rng)
        except Exception as e:  # pylint: disable=broad-except
            self.failures.append(e)

    def touch(self, version, i, rng):
        number, visits, _ = self.acknowledged.get(i, (0, 0, None))
        text = f'Kim{rng.randrange(10**6)}'
        changed = {'name': f'{text} Lea'} if version == 1 else {'first_name': text}
        # The old release only knows version 1; the number makes a second try harmless.
        update = {'$inc': {'visits': 1}, '$set': dict(changed, number=number + 1)}
        asked = {'_id': i, 'schema_version': version, 'number': number}
        tried = 0
        while True:
            try:
                matched = self.users.update_one(asked, update).matched_count
                if not matched and tried:
                    matched = self.users.count_documents({'_id': i, 'number': number + 1}, limit=1)
                break
            except pymongo.errors.PyMongoError:
                tried += 1
                self.repeated += 1
                time.sleep(0.2)  # between two tries on a server that is away
        if matched:
            self.acknowledged[i] = (number + 1, visits + 1, text)
            self.writes += 1

    def stop(self, version):
        self.ends[version].set()
        for thread in self.threads[version]:
            thread.join(timeout=180)
        if self.failures:
            raise self.failures[0]

    def lost(self):
        """What is stored otherwise than was acknowledged."""
        lines, seen = [], 0
        for user in self.users.find({}, {'number': 1, 'visits': 1, 'first_name': 1, 'schema_version': 1}):
            seen += 1
            number, visits, text = self.acknowledged.get(user['_id'], (0, 0, 'Ariel'))
            wanted = {'_id': user['_id'], 'number': number, 'visits': visits, 'first_name': text, 'schema_version': 2}
            if user != wanted:
                lines.append(f'user {user["_id"]}: {user}, acknowledged were {wanted}')
        if seen != self.documents:
            lines.append(f'{seen} users, there were {self.documents}')
        return lines


class Soak:
    def __init__(self, uri, kill_server, database, documents, eclose, interval, mode, log=print):
        self.uri, self.kill_server, self.database, self.documents = uri, kill_server, database, documents
        self.binary, self.interval, self.mode, self.log = eclose, interval, mode, log
        self.workers = []
        self.kills = 0
        self.env = {k: v for k, v in os.environ.items() if k != 'MONGODB_URI' and not k.startswith('ECLOSE_')}
        # A dead worker's range is free again soon; a look for _ids of other types, which secantusd-rs does by reading all
        # of the collection, fits into a lease even so.
        self.env.update(ECLOSE_URI=uri, ECLOSE_DATABASE=database, ECLOSE_LEASE_TIME=str(max(3000, documents // 100)),
                        ECLOSE_MAX_CLOCK_SKEW='500')

    def eclose(self, *args, good=(0,), tries=20):
        """Runs it to its end; again where the server is away."""
        for _ in range(tries):
            done = subprocess.run([self.binary, *map(str, args)], cwd=PROJECT, env=self.env, capture_output=True,
                                  text=True, timeout=600, check=False)
            if done.returncode in good:
                return done.stdout
        raise RuntimeError(f'eclose {" ".join(map(str, args))}: {done.returncode}\n{done.stdout}{done.stderr}')

    def load(self):
        client = pymongo.MongoClient(self.uri)
        users = client[self.database].users
        for start in range(0, self.documents, 10000):
            users.insert_many([{'_id': i, 'login': f'user{i}', 'schema_version': 1, 'name': 'Ariel Whiteaker',
                                'visits': 0, 'number': 0} for i in range(start, min(start + 10000, self.documents))],
                              ordered=False)
        client.close()

    def start_worker(self):
        self.workers.append(subprocess.Popen([self.binary, 'backfill', 'work', 'users', '--workers', '1'], cwd=PROJECT, env=self.env,
                                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                             stderr=subprocess.PIPE, text=True))

    def job(self):
        return json.loads(self.eclose('backfill', 'status', 'users', '--format', 'json').splitlines()[-1])

    def run(self):
        rng = random.Random(1)
        self.eclose('backfill', 'start', 'users', '--to', 2, '--mode', self.mode, '--detach', '--range-docs',
                    max(200, min(100000, self.documents // 30)))
        for _ in range(WORKERS):
            self.start_worker()
        done_at_kill = [self.documents // 3, 2 * self.documents // 3]
        paused = False
        before, interval = 0, self.interval
        while True:
            deadline = time.monotonic() + interval
            while time.monotonic() < deadline and any(w.poll() is None for w in self.workers):
                time.sleep(0.05)
            job = self.job()
            if job['state'] in ('done', 'failed', 'cancelled'):
                return job
            done = job['done']
            # A look for what is left takes secantusd-rs as long as all documents do, which may be longer than a worker
            # lives: where nothing was carried since the last kill, the next one waits for longer.
            interval = self.interval if done > before else 2 * interval
            before = done
            if done_at_kill and done >= done_at_kill[0]:
                done_at_kill.pop(0)
                self.log(f'soak: at {done}: the server is killed')
                self.kill_server()
            elif not paused and done >= self.documents // 2:
                paused = True
                self.log(f'soak: at {done}: pause and resume')
                self.eclose('backfill', 'pause', 'users')
                self.eclose('backfill', 'resume', 'users')
            else:
                victim = rng.choice(self.workers)
                victim.kill()
                victim.wait()
                self.kills += 1
            for worker in [w for w in self.workers if w.poll() is not None]:
                self.workers.remove(worker)
                self.start_worker()

    def end(self):
        for worker in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=60)
            worker.kill()
            worker.communicate()

    def uncovered(self):
        """What of the collection no range of the job holds, and ranges that are not done, as lines of text."""
        db = pymongo.MongoClient(self.uri)[self.database]
        return uncovered(db, 'users')


NUMBERS = 1 << 3  # of a range's types: see src/store/chunks.h


def uncovered(db, collection):
    """Of a collection whose _ids are numbers."""
    job = db.eclose_jobs.find_one({'collection': collection}, sort=[('started', 1)])
    ranges = list(db.eclose_chunks.find({'job': job['_id']}))
    lines = [f'range {r["_id"]} is {r["state"]}' for r in ranges if r['state'] != 'done']
    inside = 0
    for r in (r['range'] for r in ranges if r['range']['types'] & NUMBERS):
        bounds = {op: r[key] for op, key in (('$gt', 'above'), ('$lte', 'upto')) if key in r}
        inside += db[collection].count_documents({'_id': bounds} if bounds else {})
    if inside != db[collection].count_documents({}):
        lines.append(f'{inside} documents lie in the ranges of {db[collection].count_documents({})}')
    return lines


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('SOAK_DOCUMENTS')
    interval = float(os.environ.get('SOAK_SECONDS', '5'))
    binary = os.path.join(os.environ.get('ECLOSE_BUILD') or os.path.join(ROOT, 'build'), 'src', 'cli', 'eclose')
    bad = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    modes = os.environ.get('SOAK_MODES', ','.join(DOCUMENTS)).split(',')
    if not set(modes) <= set(DOCUMENTS):
        sys.exit(f'soak: SOAK_MODES: {",".join(modes)}; there are {" and ".join(DOCUMENTS)}')
    for mode in modes:
        documents = int(wanted or DOCUMENTS[mode])
        with tempfile.TemporaryDirectory(prefix='eclose-soak-') as folder:
            state = os.path.join(folder, 'server')
            uri = subprocess.run([TESTSERVER, 'start', '--state', state, '--owner', str(os.getpid()), '--sync'],
                                 check=True, capture_output=True, text=True).stdout.strip()

            def kill_server():
                subprocess.run([TESTSERVER, 'kill', '--state', state], check=True)
                subprocess.run([TESTSERVER, 'restart', '--state', state], check=True, stdout=subprocess.DEVNULL)

            try:
                bad += soak(uri, kill_server, f'eclose_soak_{os.getpid()}', documents, binary, interval, mode)
            finally:
                subprocess.run([TESTSERVER, 'stop', '--state', state], check=False, stdout=subprocess.DEVNULL)
    print('\n'.join(bad[:40]))
    sys.exit('soak: FAILED' if bad else 0)


def soak(uri, kill_server, database, documents, binary, interval, mode, log=print):
    """Runs it once; what does not hold at the end, as lines of text."""
    run = Soak(uri, kill_server, database, documents, binary, interval, mode, log)
    began = time.monotonic()
    run.load()
    log(f'soak: {documents} users loaded in {time.monotonic() - began:.0f} s; {WORKERS} workers, {mode}')
    application = Application(uri, database, documents)
    application.run()
    began = time.monotonic()
    try:
        job = run.run()
    finally:
        run.end()
    seconds = time.monotonic() - began
    application.stop(1)
    run.eclose('up', 'users', '--mode', mode)  # what the old release wrote last
    application.stop(2)
    bad = [] if job['state'] == 'done' else [f'the job is {job["state"]}: {job}']
    bad += run.uncovered() + application.lost()
    log(f'soak: {documents} users carried over in {seconds:.0f} s with {run.kills} workers and 2 servers killed; '
        f'{application.writes} writes of the application, {application.repeated} sent again; {len(bad)} wrong')
    return bad


if __name__ == '__main__':
    main()
