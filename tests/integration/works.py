"""What the live tests share: files of projects, waiting for something, and what database migrations leave behind."""

import os
import shutil
import stat
import time

from conftest import ROOT

EXAMPLES = os.path.join(ROOT, 'examples')
FAST = {'ECLOSE_LEASE_TIME': '1500', 'ECLOSE_MAX_CLOCK_SKEW': '300'}


def size(server, n):
    """So many documents; an eighth of them where the server is slow: secantusd-py scans the collection for each range
    of _id, and for each statement whose filter is more than one field."""
    return n // 8 if server.name == 'py' else n


def fast(server):
    """Leases that are over soon, and long enough for a server that does not answer anybody while it is at a batch."""
    return dict(FAST, ECLOSE_LEASE_TIME='8000') if server.name == 'py' else FAST


def wait_for(what, seconds=60):
    """Until it is true; what it is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f'not within {seconds} seconds')


def put(folder, path, text):
    """A file of a project, in folders that are made."""
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path


def change(folder, path, old, new):
    """Once, in a file that is there."""
    with open(os.path.join(folder, path), encoding='utf-8') as f:
        text = f.read()
    assert text.count(old) == 1, text
    put(folder, path, text.replace(old, new))


def write(folder, **files):
    """Database migrations, in a project that is made."""
    os.makedirs(os.path.join(folder, 'migrations'), exist_ok=True)
    if not os.path.exists(os.path.join(folder, 'eclose.yaml')):
        put(folder, 'eclose.yaml', 'version_field: v\n')
    for name, text in files.items():
        put(folder, f'migrations/20260101_{name}.yaml', text)


def program(folder, name, text):
    write(folder)
    path = put(folder, f'migrations/{name}', text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def docs(collection):
    return list(collection.find().sort('_id', 1))


def record(db, name):
    return db.eclose_changelog.find_one({'_id': name})


def example(eclose, name):
    shutil.copytree(os.path.join(EXAMPLES, name), eclose.folder, dirs_exist_ok=True)
