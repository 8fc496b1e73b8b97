"""`eclose status` on a project with 300 applied migrations against migrate-mongo's, start to end, on one live server.

    tools/testserver run -- PYTHON bench/status.py BUILD       BENCH_MIGRATIONS: how many (300)

They take turns; a figure is the median of the rounds: seconds from start to end, and of the processor's time of the client.
"""

import datetime
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

import pymongo

N = int(os.environ.get('BENCH_MIGRATIONS', '300'))
ROUNDS = 9
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JS = 'module.exports = { async up(db) { await db.collection("a").insertOne({}); }, async down() {} };\n'
YAML = 'description: one of many\nup:\n  - updateMany: {collection: a, filter: {x: 1}, update: {$set: {x: 2}}}\n'
CONFIG = '''module.exports = {{ mongodb: {{ url: {uri!r}, databaseName: {name!r}, options: {{}} }}, migrationsDir: 'theirs',
  changelogCollectionName: 'changelog', lockCollectionName: 'changelog_lock', lockTtl: 0,
  migrationFileExtension: '.js', useFileHash: false, moduleSystem: 'commonjs' }};
'''


def peer():
    """migrate-mongo, where tools/deps installed it; else None."""
    with open(os.path.join(TOP, 'tools', 'npm-packages'), 'rb') as f:
        name = 'npm-' + hashlib.sha256(f.read()).hexdigest()[:12]
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    path = os.path.join(cache, 'eclose', name, 'node_modules', '.bin', 'migrate-mongo')
    return path if os.path.exists(path) else None


def put(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), 'w', encoding='utf-8') as f:
        f.write(text)


def timed(args, env, cwd, expect):
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    # Into a file: of what it writes into a pipe migrate-mongo leaves the end behind when it exits.
    with tempfile.TemporaryFile('w+', encoding='utf-8') as out:
        subprocess.run(args, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, check=True)
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        out.seek(0)
        text = out.read()
    assert expect in text, text[-500:]
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    theirs = peer()
    if not theirs:
        print('status: migrate-mongo is not here (see what tools/deps said): nothing to compare with')
        return
    uri = os.environ['ECLOSE_TEST_URI']
    client = pymongo.MongoClient(uri)
    db = client['bench_' + uuid.uuid4().hex[:8]]
    binary = os.path.join(os.path.abspath(sys.argv[1]), 'src', 'cli', 'eclose')
    env = {k: v for k, v in os.environ.items() if not k.startswith(('ECLOSE_', 'MONGODB_'))}
    env.update(ECLOSE_URI=uri, ECLOSE_DATABASE=db.name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            put(folder, 'eclose.yaml', 'database: x\n')
            put(folder, 'migrate-mongo-config.js', CONFIG.format(uri=uri, name=db.name))
            day = datetime.datetime(2024, 1, 1)
            for i in range(N):
                at = day + datetime.timedelta(days=i)
                put(os.path.join(folder, 'migrations'), f'{at:%Y%m%dT%H%M}_change_{i}.yaml', YAML)
                put(os.path.join(folder, 'theirs'), f'{at:%Y%m%d%H%M%S}-change-{i}.js', JS)
            subprocess.run([binary, 'baseline'], env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            subprocess.run([theirs, 'up'], env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            assert db.changelog.count_documents({}) == db.eclose_changelog.count_documents({}) == N
            ours_is, theirs_is = [], []
            for i in range(ROUNDS + 1):
                ours = timed([binary, 'status'], env, folder, f'{N} of {N} applied')
                other = timed([theirs, 'status'], env, folder, f'change-{N - 1}.js')
                if i:  # the first warms up
                    ours_is.append(ours)
                    theirs_is.append(other)
        print(f'{f"status of {N} applied migrations, start to end":50} {"ours":>9} {"theirs":>9}   ratio')
        for what, k in (('seconds', 0), ("seconds of the client's processor", 1)):
            a, b = (statistics.median(figures[k] for figures in figure) for figure in (ours_is, theirs_is))
            print(f'{what:50} {a:9.3f} {b:9.3f} {a / b:7.3f}  at most 0.1')
    finally:
        client.drop_database(db.name)


if __name__ == '__main__':
    main()
