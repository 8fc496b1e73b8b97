"""What the tests of database migrations share: files of them, and what they leave behind."""

import os
import shutil
import stat

from conftest import ROOT

EXAMPLES = os.path.join(ROOT, 'examples')
FAST = {'ECLOSE_LEASE_TIME': '1500', 'ECLOSE_MAX_CLOCK_SKEW': '300'}


def write(folder, **files):
    os.makedirs(os.path.join(folder, 'migrations'), exist_ok=True)
    config = os.path.join(folder, 'eclose.yaml')
    if not os.path.exists(config):
        with open(config, 'w', encoding='utf-8') as f:
            f.write('version_field: v\n')
    for name, text in files.items():
        with open(os.path.join(folder, 'migrations', '20260101_' + name + '.yaml'), 'w', encoding='utf-8') as f:
            f.write(text)


def program(folder, name, text):
    write(folder)
    path = os.path.join(folder, 'migrations', name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def docs(collection):
    return list(collection.find().sort('_id', 1))


def record(db, name):
    return db.eclose_changelog.find_one({'_id': name})


def example(eclose, name):
    shutil.copytree(os.path.join(EXAMPLES, name), eclose.folder, dirs_exist_ok=True)
