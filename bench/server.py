"""`eclose up` against what people do today, on one server in one run.

    server.py BUILD     with ECLOSE_TEST_URI; BENCH_DOCUMENTS: number of users (200000)

Ways to carry users of example 1 from version 1 to 2: `eclose up` pushed down and here; a C program that only writes
documents that are ready in its memory, over as many connections (bulkwrite.c; its reading is not counted); a Python loop
that reads, changes and replaces by bulkWrite of 10,000 (which loses concurrent writes); and one bare updateMany over
everything (which stops for nothing). In turn, three rounds, each on a collection that was loaded anew; medians.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

import pymongo
from pymongo.write_concern import WriteConcern

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from decode import upgrade, user  # noqa: E402

N = int(os.environ.get('BENCH_DOCUMENTS', '200000'))
ROUNDS = 3
CONNECTIONS = 1  # of `eclose up`, here
DATABASE = f'eclose_bench_{os.getpid()}'

MIGRATION = '''to: 2
description: name becomes first_name and last_name; phone becomes contacts
up:
  - $set: {name: {$trim: {input: {$ifNull: [$name, ""]}}}}
  - $set: {last_name: {$last: {$split: [$name, " "]}}}
  - $set:
      first_name: {$trim: {input: {$substrCP: [$name, 0, {$subtract: [{$strLenCP: $name}, {$strLenCP: $last_name}]}]}}}
      contacts: {$cond: [{$gt: [$phone, null]}, [{type: phone, value: $phone}], []]}
  - $unset: [name, phone]
'''

PIPELINE = [
    {'$set': {'name': {'$trim': {'input': {'$ifNull': ['$name', '']}}}}},
    {'$set': {'last_name': {'$last': {'$split': ['$name', ' ']}}}},
    {'$set': {
        'first_name': {'$trim': {'input': {'$substrCP': [
            '$name', 0, {'$subtract': [{'$strLenCP': '$name'}, {'$strLenCP': '$last_name'}]}]}}},
        'contacts': {'$cond': [{'$gt': ['$phone', None]}, [{'type': 'phone', 'value': '$phone'}], []]}}},
    {'$unset': ['name', 'phone']},
    {'$set': {'schema_version': 2}},
]


def load(users):
    users.drop()
    for start in range(0, N, 10000):
        users.insert_many([user(i) for i in range(start, min(start + 10000, N))], ordered=False)


def eclose(build, project, uri, mode):
    binary = os.path.join(build, 'src', 'cli', 'eclose')
    subprocess.run([binary, 'up', 'users', '--mode', mode], cwd=project, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, 'ECLOSE_URI': uri, 'ECLOSE_DATABASE': DATABASE}, timeout=600)


def finished_in_c(build, project, uri):
    """The seconds of the writing alone."""
    done = subprocess.run([os.path.join(build, 'bench', 'bench_bulkwrite'), project, uri, DATABASE, str(N),
                           str(CONNECTIONS)], check=True, capture_output=True, text=True, timeout=600)
    return float(done.stdout)


def python_loop(users):
    batch = []
    for doc in users.find({'schema_version': 1}, batch_size=10000):
        batch.append(pymongo.ReplaceOne({'_id': doc['_id']}, upgrade(doc)))
        if len(batch) == 10000:
            users.bulk_write(batch, ordered=False)
            batch = []
    if batch:
        users.bulk_write(batch, ordered=False)


def main():
    build, uri = sys.argv[1], os.environ['ECLOSE_TEST_URI']
    client = pymongo.MongoClient(uri)
    majority = WriteConcern(w='majority', j=True)
    users = client[DATABASE].get_collection('users', write_concern=majority)
    times = {}
    with tempfile.TemporaryDirectory() as project:
        os.makedirs(os.path.join(project, 'migrations', 'users'))
        with open(os.path.join(project, 'migrations', 'users', '0002_split_name.yaml'), 'w', encoding='utf-8') as f:
            f.write(MIGRATION)
        with open(os.path.join(project, 'eclose.yaml'), 'w', encoding='utf-8') as f:
            f.write('collections:\n  users: {unversioned: 1}\n')
        ways = {
            'eclose up, pushed down': lambda: eclose(build, project, uri, 'pushdown'),
            'eclose up, here': lambda: eclose(build, project, uri, 'client'),
            'C program, finished documents by bulkWrite': lambda: finished_in_c(build, project, uri),
            'Python loop of bulkWrite ReplaceOne by 10,000': lambda: python_loop(users),
            'one bare updateMany': lambda: users.update_many({'schema_version': 1}, PIPELINE) and None,
        }
        try:
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    load(users)
                    start = time.perf_counter()
                    said = way()
                    times.setdefault(name, []).append(said or time.perf_counter() - start)
                    left = users.count_documents({'schema_version': {'$ne': 2}})
                    assert left == 0, f'{name}: {left} documents are not at version 2'
        finally:
            client.drop_database(DATABASE)
    print(f'\n{N} users of example 1, version 1 to 2; write concern majority; median of {ROUNDS} rounds')
    print(f'{"":48} {"seconds":>8} {"a second":>9} {"of updateMany":>14} {"of the C program":>16}'
          f' {"of the loop":>12}')
    medians = {name: statistics.median(t) for name, t in times.items()}
    for name, seconds in medians.items():
        print(f'{name:48} {seconds:8.2f} {N / seconds:9.0f} {medians["one bare updateMany"] / seconds:13.2f}x'
              f' {medians["C program, finished documents by bulkWrite"] / seconds:15.2f}x'
              f' {medians["Python loop of bulkWrite ReplaceOne by 10,000"] / seconds:11.2f}x')


if __name__ == '__main__':
    main()
