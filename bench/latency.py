"""What an application's reads feel of a migration, on one server in one run.

    latency.py BUILD     with ECLOSE_TEST_URI; BENCH_DOCUMENTS: number of users (60000), BENCH_ROUNDS (3)

A process of its own reads one user by _id, at random, over four connections of 25 reads a second each (by the clock, so that
a read that is late does not spare the next one), while example 1 is carried from version 1 to 2: not at all, by `eclose backfill` pushed down and
here with the throttle as it is by default, by a bare loop of bulkWrite ReplaceOne by 10,000, and by one bare updateMany.
In turn, three rounds, each on a collection that was loaded anew. Percentiles are of all rounds' reads together.
"""

import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import pymongo
from pymongo.write_concern import WriteConcern

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from users import PIPELINE, load, python_loop, put_project  # noqa: E402

N = int(os.environ.get('BENCH_DOCUMENTS', '60000'))
ROUNDS = int(os.environ.get('BENCH_ROUNDS', '3'))
THREADS, A_SECOND = 4, 25
QUIET = 8  # seconds, with nothing going on
LONGEST = 30  # seconds that are measured of each way
DATABASE = f'eclose_bench_latency_{os.getpid()}'


def read(uri, end, out):
    """The application. What a read took counts from when it was due."""
    client, took = pymongo.MongoClient(uri), []

    def work(number):
        users, rng = client[DATABASE].users, random.Random(number)
        for _ in range(10):
            users.find_one({'_id': rng.randrange(N)})
        due = time.perf_counter() + number / A_SECOND / THREADS
        while not end.is_set():
            due += 1 / A_SECOND
            time.sleep(max(0, due - time.perf_counter()))
            assert users.find_one({'_id': rng.randrange(N)})
            took.append(time.perf_counter() - due)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put(took)


def backfill(build, project, uri, mode):
    """As an operator would start it; ended where it takes too long."""
    binary = os.path.join(build, 'src', 'cli', 'eclose')
    subprocess.run([binary, 'backfill', 'run', 'users', '--for', f'{LONGEST}s', '--mode', mode], cwd=project, check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, 'ECLOSE_URI': uri, 'ECLOSE_DATABASE': DATABASE}, timeout=600)


def measure(uri, way):
    """What reads took while it ran, and for how long it did."""
    end, out = multiprocessing.Event(), multiprocessing.Queue()
    reader = multiprocessing.Process(target=read, args=(uri, end, out))
    reader.start()
    time.sleep(0.5)  # until it reads
    start = time.perf_counter()
    way()
    seconds = time.perf_counter() - start
    end.set()
    took = out.get(timeout=120)
    reader.join()
    return took, seconds


def percentile(values, share):
    values = sorted(values)
    return 1000 * values[min(len(values) - 1, int(share * len(values)))]


def main():
    build, uri = sys.argv[1], os.environ['ECLOSE_TEST_URI']
    client = pymongo.MongoClient(uri)
    users = client[DATABASE].get_collection('users', write_concern=WriteConcern(w='majority', j=True))
    reads, rates = {}, {}
    with tempfile.TemporaryDirectory() as project:
        put_project(project)
        ways = {
            'nothing': lambda: time.sleep(QUIET),
            'eclose backfill, pushed down': lambda: backfill(build, project, uri, 'pushdown'),
            'eclose backfill, here': lambda: backfill(build, project, uri, 'client'),
            'Python loop of bulkWrite by 10,000': lambda: python_loop(users),
            'one bare updateMany': lambda: users.update_many({'schema_version': 1}, PIPELINE),
        }
        try:
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    client.drop_database(DATABASE)
                    load(users, N)
                    took, seconds = measure(uri, way)
                    done = users.count_documents({'schema_version': 2})
                    reads.setdefault(name, []).extend(took)
                    rates.setdefault(name, []).append(done / seconds)
        finally:
            client.drop_database(DATABASE)
    print(f'\nreads of one of {N} users, {THREADS * A_SECOND} a second, while they are carried from version 1 to 2; {ROUNDS} rounds;'
          f' load {os.getloadavg()[2]:.1f} on {os.cpu_count()} cores')
    print(f'{"":36} {"p50 ms":>8} {"p99 ms":>8} {"most ms":>8} {"reads":>7} {"carried a second":>17}')
    for name, took in reads.items():
        print(f'{name:36} {percentile(took, .5):8.2f} {percentile(took, .99):8.2f} {1000 * max(took):8.1f} {len(took):7}'
              f' {statistics.median(rates[name]):17.0f}')


if __name__ == '__main__':
    main()
