"""A server for the tests (tools/testserver, or the one of ECLOSE_TEST_URI), and a fresh database for each of them."""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pymongo
import pytest

TOP = Path(__file__).resolve().parents[3]


def pytest_configure(config):
    config.addinivalue_line('markers', 'long: for make check-long')


@pytest.fixture(scope='session')
def uri():
    given = os.environ.get('ECLOSE_TEST_URI')
    if given:
        yield given
        return
    folder = tempfile.mkdtemp(prefix='eclose-python-')
    tool = [sys.executable, str(TOP / 'tools' / 'testserver')]
    state = ['--state', os.path.join(folder, 'server')]
    started = subprocess.run([*tool, 'start', *state, '--owner', str(os.getpid())], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    yield started.stdout.strip()
    subprocess.run([*tool, 'stop', *state], stdin=subprocess.DEVNULL, timeout=60, check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='session')
def client(uri):
    with pymongo.MongoClient(uri) as client:
        yield client


@pytest.fixture
def db(client):
    name = 'python_' + uuid.uuid4().hex[:12]
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def mongo(db, uri):
    """mongoengine, connected to the test's database."""
    mongoengine = pytest.importorskip('mongoengine')
    mongoengine.connect(db.name, host=uri, uuidRepresentation='standard')
    yield mongoengine
    mongoengine.disconnect()
