"""The lease on a live server: what `lock` shows and `unlock --force` breaks."""

import datetime
import json
import re

import bson
import pytest

PROJECT = 'database: unused\n'


@pytest.fixture
def held(eclose, db, tmp_path):
    """A lease that somebody holds, as eclose writes it."""
    (tmp_path / 'eclose.yaml').write_text(PROJECT)
    (tmp_path / 'migrations').mkdir()
    now = datetime.datetime.now(datetime.timezone.utc)
    db.eclose_lease.insert_one({
        '_id': 'migrations', 'token': bson.Int64(7),
        'holder': {'id': bson.ObjectId(), 'host': 'box', 'pid': bson.Int64(42), 'user': 'ann', 'release': 'r1'},
        'granted': now, 'renewed': now, 'expires': now + datetime.timedelta(hours=1), 'beat': bson.Int64(1),
        'sessions': [bson.Binary(b'0123456789abcdef', 4)], 'doomed': []})
    return eclose


def test_lock_of_nobody(eclose, tmp_path):
    (tmp_path / 'eclose.yaml').write_text(PROJECT)
    (tmp_path / 'migrations').mkdir()
    assert eclose('lock', rc=0).out == 'free\n'


def test_lock_shows_the_holder(held):
    out = held('lock', rc=0).out
    assert 'box' in out and '42' in out and 'ann' in out and 'r1' in out and 'token 7' in out


def test_what_has_expired(held, db, tmp_path):
    """Nobody lets it go where its holder died: that is said, and a migration that it was at is none that runs."""
    (tmp_path / 'migrations' / '20260101_a.yaml').write_text('up: [{deleteMany: {collection: a, filter: {x: 1}}}]\n')
    assert 'expired' not in held('lock', rc=0).out
    assert json.loads(held('lock', '--format', 'json', rc=0).out)['expired'] is False
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    db.eclose_changelog.insert_one({'_id': '20260101_a', 'state': 'running', 'direction': 'up', 'steps': 0,
                                    'attempts': 1, 'token': bson.Int64(7), 'started': then})
    assert held('status', rc=0).out.startswith('running 20260101_a\n')
    db.eclose_lease.update_one({}, {'$set': {'expires': then}})
    time = r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ'
    assert re.search(f', since {time}; token 7; it expired {time}:', held('lock', rc=0).out)
    assert json.loads(held('lock', '--format', 'json', rc=0).out)['expired'] is True
    assert held('status', rc=0).out.startswith('running 20260101_a: nobody works on it: `eclose up` does\n')


def test_unlock_wants_force(held, db):
    held('unlock', rc=2)
    assert db.eclose_lease.find_one()['token'] == 7


def test_unlock_says_whose_it_was(held, db):
    out = held('unlock', '--force', rc=0).out
    assert 'box' in out and '42' in out
    lease = db.eclose_lease.find_one()
    assert lease['holder'] is None
    assert lease['token'] == 8
    assert bytes(lease['doomed'][0]) == b'0123456789abcdef'
    assert held('lock', rc=0).out == 'free\n'
    assert 'free' in held('unlock', '--force', rc=0).out
