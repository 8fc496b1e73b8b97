"""`eclose up` against what people do today, on one server in one run.

    server.py BUILD     with ECLOSE_TEST_URI; BENCH_DOCUMENTS: number of users (200000), BENCH_ROUNDS: rounds (3),
                        BENCH_WAYS: only the ways whose names hold one of these words (all; "pushed,updateMany")

Ways to carry users of example 1 from version 1 to 2: `eclose up` pushed down and here; a C program that only writes
documents that are ready in its memory, over as many connections (bulkwrite.c; its reading is not counted); a Python loop
that reads, changes and replaces by bulkWrite of 10,000 (which loses concurrent writes); one bare updateMany over
everything (which stops for nothing); and migrate-mongo, where it is installed, with a file as its users write them: a
cursor and bulkWrite, or updateMany with a pipeline. Programs are timed from start to end. In turn, each on a collection
that was loaded anew, all with write concern majority; a ratio is the median of the ratios of each round.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import pymongo
from pymongo.write_concern import WriteConcern

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from status import peer  # noqa: E402
from users import PIPELINE, load, python_loop, put_project  # noqa: E402

N = int(os.environ.get('BENCH_DOCUMENTS', '200000'))
ROUNDS = int(os.environ.get('BENCH_ROUNDS', '3'))
WAYS = [word for word in os.environ.get('BENCH_WAYS', '').split(',') if word]
CONNECTIONS = 1  # of `eclose up`, here
DATABASE = f'eclose_bench_{os.getpid()}'

THEIR_CONFIG = '''module.exports = {{ mongodb: {{ url: {uri!r}, databaseName: {database!r},
  options: {{ writeConcern: {{ w: 'majority' }} }} }}, migrationsDir: {folder!r},
  changelogCollectionName: 'changelog', lockCollectionName: 'changelog_lock', lockTtl: 0,
  migrationFileExtension: '.js', useFileHash: false, moduleSystem: 'commonjs' }};
'''

THEIR_LOOP = '''module.exports = {
  async up(db) {
    const users = db.collection('users');
    let batch = [];
    const flush = async () => {
      if (batch.length) await users.bulkWrite(batch, { ordered: false });
      batch = [];
    };
    for await (const user of users.find({ schema_version: 1 })) {
      const name = (user.name || '').trim();
      const last = name.split(' ').pop();
      batch.push({ updateOne: { filter: { _id: user._id }, update: {
        $set: {
          last_name: last,
          first_name: name.slice(0, name.length - last.length).trim(),
          contacts: user.phone ? [{ type: 'phone', value: user.phone }] : [],
          schema_version: 2,
        },
        $unset: { name: '', phone: '' },
      } } });
      if (batch.length === 1000) await flush();
    }
    await flush();
  },
  async down() {},
};
'''

THEIR_PIPELINE = '''module.exports = {{
  async up(db) {{
    await db.collection('users').updateMany({{ schema_version: 1 }}, {pipeline});
  }},
  async down() {{}},
}};
'''


def eclose(build, project, uri, mode):
    binary = os.path.join(build, 'src', 'cli', 'eclose')
    subprocess.run([binary, 'up', 'users', '--mode', mode], cwd=project, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, 'ECLOSE_URI': uri, 'ECLOSE_DATABASE': DATABASE}, timeout=600)


def put_theirs(folder, uri):
    """migrate-mongo's projects, one for each of its ways: name -> (program, config)."""
    program = peer()
    if not program:
        print('migrate-mongo is not here (see what tools/deps said): left out')
        return {}
    ways = {'cursor and bulkWrite': THEIR_LOOP,
            'updateMany': THEIR_PIPELINE.format(pipeline=json.dumps(PIPELINE))}
    out = {}
    for k, (name, text) in enumerate(ways.items()):
        files, config = os.path.join(folder, f'theirs_{k}'), os.path.join(folder, f'migrate-mongo-{k}.js')
        os.makedirs(files)
        with open(os.path.join(files, '20240101000000-split-name.js'), 'w', encoding='utf-8') as f:
            f.write(text)
        with open(config, 'w', encoding='utf-8') as f:
            f.write(THEIR_CONFIG.format(uri=uri, database=DATABASE, folder=files))
        out[f'migrate-mongo, {name}'] = (program, config)
    return out


def migrate_mongo(db, program, config, folder):
    db.drop_collection('changelog')
    start = time.perf_counter()
    subprocess.run([program, 'up', '-f', config], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL, timeout=1200)
    return time.perf_counter() - start


def finished_in_c(build, project, uri):
    """The seconds of the writing alone."""
    done = subprocess.run([os.path.join(build, 'bench', 'bench_bulkwrite'), project, uri, DATABASE, str(N),
                           str(CONNECTIONS)], check=True, capture_output=True, text=True, timeout=600)
    return float(done.stdout)


BASES = {'one bare updateMany': 'of updateMany', 'C program, finished documents by bulkWrite': 'of the C program',
         'Python loop of bulkWrite ReplaceOne by 10,000': 'of the loop'}


def show(times):
    print(f'\n{N} users of example 1, version 1 to 2; write concern majority; {ROUNDS} rounds in turn')
    bases = {name: title for name, title in BASES.items() if name in times}
    print(f'{"":46} {"seconds":>8} {"a second":>9}' + ''.join(f' {title:>17}' for title in bases.values()))
    for name, seconds in times.items():
        median = statistics.median(seconds)
        ratios = (statistics.median(b / a for a, b in zip(seconds, times[base], strict=True)) for base in bases)
        print(f'{name:46} {median:8.2f} {N / median:9.0f}' + ''.join(f' {ratio:16.2f}x' for ratio in ratios))
    print('goals: pushed down 0.85 of updateMany and 3 of the loop; here 0.55 of the C program and 1 of the loop')


def main():
    build, uri = os.path.abspath(sys.argv[1]), os.environ['ECLOSE_TEST_URI']
    client = pymongo.MongoClient(uri)
    users = client[DATABASE].get_collection('users', write_concern=WriteConcern(w='majority'))
    times = {}
    with tempfile.TemporaryDirectory() as project:
        put_project(project)
        # Those that are compared stand side by side: the machine is another one from minute to minute.
        ways = {
            'eclose up, pushed down': lambda: eclose(build, project, uri, 'pushdown'),
            'one bare updateMany': lambda: users.update_many({'schema_version': 1}, PIPELINE) and None,
            'Python loop of bulkWrite ReplaceOne by 10,000': lambda: python_loop(users),
            'eclose up, here': lambda: eclose(build, project, uri, 'client'),
            'C program, finished documents by bulkWrite': lambda: finished_in_c(build, project, uri),
        }
        for name, (program, config) in put_theirs(project, uri).items():
            ways[name] = lambda p=program, c=config: migrate_mongo(client[DATABASE], p, c, project)
        ways = {name: way for name, way in ways.items() if not WAYS or any(word in name for word in WAYS)}
        try:
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    load(users, N)
                    start = time.perf_counter()
                    said = way()
                    times.setdefault(name, []).append(said or time.perf_counter() - start)
                    left = users.count_documents({'schema_version': {'$ne': 2}})
                    assert left == 0, f'{name}: {left} documents are not at version 2'
                    print(f'  {name}: {times[name][-1]:.2f} s, load {os.getloadavg()[0]:.1f}', file=sys.stderr, flush=True)
        finally:
            client.drop_database(DATABASE)
    show(times)


if __name__ == '__main__':
    main()
