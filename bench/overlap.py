"""`eclose up` computing here, with a server that is far away.

    overlap.py BUILD [BUILD...]     with ECLOSE_TEST_URI; BENCH_DOCUMENTS: number of users (20000), BENCH_DELAY: ms (20)

Users of example 1 from version 1 to 2, one worker; each answer of the server comes so many milliseconds later. 'under way'
is the time that commands were, all together, in parts of the time that it took: 1 where one waits for the other, 2 where a
write and a read (with computing) are always under way at once. Several builds are compared in turn. Three rounds; medians.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

import pymongo

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from slow import Slow  # noqa: E402
from users import load, put_project  # noqa: E402

N = int(os.environ.get('BENCH_DOCUMENTS', '20000'))
DELAY = int(os.environ.get('BENCH_DELAY', '20'))
ROUNDS = 3
DATABASE = f'eclose_bench_{os.getpid()}'


def carry(build, project, uri):
    with Slow(uri, DELAY) as slow:
        start = time.perf_counter()
        subprocess.run([os.path.join(build, 'src', 'cli', 'eclose'), 'up', 'users', '--mode', 'client'], cwd=project,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600,
                       env={**os.environ, 'ECLOSE_URI': slow.uri, 'ECLOSE_DATABASE': DATABASE})
        took = time.perf_counter() - start
        return took, slow.spent / took


def main():
    uri = os.environ['ECLOSE_TEST_URI']
    client = pymongo.MongoClient(uri)
    found = {build: [] for build in sys.argv[1:]}
    with tempfile.TemporaryDirectory() as project:
        put_project(project)
        try:
            for _ in range(ROUNDS):
                for build, rounds in found.items():
                    load(client[DATABASE].users, N)
                    rounds.append(carry(build, project, uri))
        finally:
            client.drop_database(DATABASE)
    print(f'\n{N} users of example 1, computed here by one worker, {DELAY} ms to the server; median of {ROUNDS} rounds')
    print(f'{"":48} {"seconds":>8} {"a second":>9} {"under way":>10}')
    for build, rounds in found.items():
        seconds, under_way = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f'{build[-48:]:48} {seconds:8.2f} {N / seconds:9.0f} {under_way:10.2f}')


if __name__ == '__main__':
    main()
