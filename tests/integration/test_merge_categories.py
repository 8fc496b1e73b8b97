"""The example of merged categories, killed at one of its writes: that one arrives, or is lost, and it is run again."""

import pytest

from test_misfortune import data_writes
from works import FAST, example, record, wait_for

CATEGORIES, LABELS, POSTS = 24, 8, 600


def is_step(command):
    """What the story sends to change anything, the changelog included; heartbeats come when they come."""
    return bool(data_writes([command])) or command.name == 'createIndexes' or command.collection == 'eclose_changelog' and \
        command.name != 'find'


def begin(eclose, db):
    example(eclose, 'merge-categories')
    db.categories.insert_many([{'_id': i, 'label': f'label {i % LABELS}'} for i in range(CATEGORIES)])
    db.posts.insert_many([{'_id': i, 'categoryId': i % CATEGORIES, 'text': f'post {i}'} for i in range(POSTS)])


def nothing_is_wrong(db):
    """At any time: no post is lost, and each is in a category that is there, of the label that it had."""
    there = {c['_id'] for c in db.categories.find()}
    posts = list(db.posts.find())
    assert sorted(p['_id'] for p in posts) == list(range(POSTS))
    for post in posts:
        assert post['categoryId'] in there and post['categoryId'] % LABELS == post['_id'] % LABELS, post
        assert post['text'] == f'post {post["_id"]}'


def merged(db):
    nothing_is_wrong(db)
    assert sorted(c['_id'] for c in db.categories.find()) == list(range(LABELS))
    name = db.eclose_changelog.find_one()['_id']
    assert record(db, name)['state'] == 'applied'


def killed_at(eclose, relay, k, lost):
    """Whether it came so far."""
    relay.catch(is_step, k)
    child = eclose.start('up', '--wait', env=dict(FAST, ECLOSE_URI=relay.uri))
    wait_for(lambda: relay.caught() or child.poll() is not None)
    if not relay.caught():
        assert child.returncode == 0, child.communicate()
        return False
    child.kill()
    child.wait(timeout=30)
    if lost:
        relay.cut()
    relay.go()
    return True


def test_killed_at_one_write_after_another(eclose, db, relay):
    """The second run at its second write, the third at its third, until one comes to the end."""
    begin(eclose, db)
    k = 1
    while killed_at(eclose, relay, k, lost=k % 2 == 0):
        nothing_is_wrong(db)
        k += 1
    assert k > 4
    merged(db)


@pytest.mark.long
@pytest.mark.parametrize('lost', [False, True])
def test_killed_at_each_of_its_writes(eclose, db, relay, lost):
    k = 0
    while True:
        k += 1
        for name in db.list_collection_names():
            db.drop_collection(name)
        begin(eclose, db)
        if not killed_at(eclose, relay, k, lost):
            break
        nothing_is_wrong(db)
        eclose('up', '--wait', rc=0, env=FAST)
        merged(db)
    merged(db)
    assert k > 10
