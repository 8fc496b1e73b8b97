"""The end of a version: floors, validators, chains that begin above their first version."""

import json
import os
import signal

import pymongo
import pytest
from bson import Binary, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

from test_backfill import project
from test_jobs import ODD
from works import put, wait_for

STEP2 = 'up:\n  - $set: {a: {$add: [$n, 1]}}\nschema: {required: [a]}\ndown:\n  - $unset: a\n'
STEP3 = 'up:\n  - $set: {b: $a}\ndown:\n  - $unset: b\n'


def complete(eclose, *args, rc=0):
    done = eclose('complete', 'things', *args, '--format', 'json', rc=rc)
    return json.loads(done.out)


def fill(db, n=50, **fields):
    db.things.insert_many([{'_id': i, 'n': i, **fields} for i in range(n)])


def floor(db):
    return db.eclose_floors.find_one({'_id': 'things'})


def set_floor(eclose, version):
    put(eclose.folder, 'eclose.yaml', f'collections:\n  things: {{unversioned: 1, floor: {version}}}\n')


def test_as_of_now(eclose, db):
    project(eclose, 'things', [STEP2])
    fill(db)
    early = complete(eclose, '--to', '2', rc=5)
    assert (early['complete'], early['below'], early['deletable']) == (False, 50, [])
    assert floor(db) is None
    assert '`eclose up things --to 2` carries them over' in eclose('complete', 'things', rc=5).out
    eclose('backfill', 'start', 'things', '--detach', rc=0)
    assert 'a job up to version 2 is not done: `eclose backfill status things`' in eclose('complete', 'things', rc=5).out
    eclose('up', rc=0)
    done = complete(eclose, '--to', '2')
    assert (done['complete'], done['stays'], done['below']) == (True, False, 0)
    assert [os.path.basename(f) for f in done['deletable']] == ['0002_step.yaml']
    assert floor(db)['floor'] == '2'
    assert floor(db)['validated'] is False
    text = eclose('complete', 'things', rc=0).out
    assert 'is below version 2 as of 2' in text and 'floor: 2' in text and '0002_step.yaml' in text
    # An old writer comes back: that is why.
    db.things.insert_one({'_id': 'old', 'n': 1})
    assert complete(eclose, rc=5)['below'] == 1


def test_what_is_in_quarantine_on_another_way_says_nothing(eclose, db):
    """What failed on the way to version 3 holds no `--to 2` up, and is not counted there; nor is what cannot go down."""
    project(eclose, 'things', ['up:\n  - $set: {a: 1}\n', 'up:\n  - $set: {n: {$toInt: $n}}\n'])
    fill(db, 20)
    db.things.insert_many([{'_id': f'bad{i}', 'n': 'x'} for i in range(3)])
    eclose('up', rc=5)
    early = complete(eclose, '--to', '2', rc=5)
    assert (early['below'], early['quarantined']) == (3, 0)
    assert 'quarantine' not in eclose('complete', 'things', '--to', '2', rc=5).out
    late = complete(eclose, rc=5)
    assert (late['below'], late['quarantined']) == (3, 3)
    assert '3 documents are below version 3; 3 in quarantine' in eclose('complete', 'things', rc=5).out
    eclose('up', 'things', '--to', '2', rc=0)
    assert complete(eclose, '--to', '2')['complete'] is True
    # Two that cannot go down to version 1, and one that could not come up to 2: only that is below.
    db.eclose_quarantine.update_many({'_id.id': {'$in': ['bad0', 'bad1']}}, {'$set': {'to': '1', 'version': 3}})
    db.eclose_quarantine.update_one({'_id.id': 'bad2'}, {'$set': {'to': '2'}})
    db.things.update_one({'_id': 'bad2'}, {'$set': {'schema_version': 1}})
    early = complete(eclose, '--to', '2', rc=5)
    assert (early['below'], early['quarantined']) == (1, 1)


def test_an_earlier_version_is_verified_as_its_readers_read(eclose, db):
    """Not as those of the end of the chain would; and what is further has passed it."""
    project(eclose, 'things', [STEP2, 'up:\n  - $set: {a: {$toString: $a}}\nschema: {required: [c]}\n'])
    fill(db, 10)
    eclose('up', 'things', '--to', '2', rc=0)
    db.things.update_one({'_id': 9}, {'$set': {'a': 'x', 'schema_version': 3}})
    assert complete(eclose, '--to', '2')['bad'] == 0
    db.things.update_one({'_id': 0}, {'$unset': {'a': 1}})
    broken = complete(eclose, '--to', '2', rc=5)
    assert (broken['below'], broken['bad']) == (0, 1)


def test_a_validator_keeps_old_writers_out(eclose, db):
    project(eclose, 'things', [STEP2])
    fill(db, 30)
    early = complete(eclose, '--validator', rc=5)
    assert (early['below'], early['refused'], early['validator']) == (30, 30, 'warn')
    # So far it only warns: the application is not disturbed.
    db.things.update_one({'_id': 1}, {'$inc': {'n': 1}})
    db.things.insert_one({'_id': 'old', 'n': 1})
    eclose('up', rc=0)
    warned = complete(eclose, '--validator=warn')
    assert (warned['validator'], warned['stays'], warned['refused']) == ('warn', False, 0)
    done = complete(eclose, '--validator')
    assert (done['validator'], done['stays'], done['below']) == ('strict', True, 0)
    assert floor(db)['validated'] is True
    with pytest.raises(pymongo.errors.WriteError):
        db.things.insert_one({'_id': 'older', 'n': 1})
    with pytest.raises(pymongo.errors.WriteError):
        db.things.insert_one({'_id': 'no a', 'n': 1, 'schema_version': 2})
    db.things.insert_one({'_id': 'new', 'a': 1, 'schema_version': 2})
    db.things.insert_one({'_id': 'of a release to come', 'c': 1, 'schema_version': 9})
    db.things.delete_one({'_id': 'of a release to come'})  # which verify cannot read with this project
    again = complete(eclose, '--validator')
    assert again['stays']
    # It is known for what it is without being asked for.
    assert complete(eclose)['stays']
    # An old program still writes: it is lifted at once, though that one is now below the version.
    lifted = complete(eclose, '--validator=warn')
    assert (lifted['validator'], lifted['stays'], floor(db)['validated']) == ('warn', False, False)
    db.things.insert_one({'_id': 'older', 'n': 1})
    assert complete(eclose, '--validator', rc=5)['below'] == 1


def test_a_document_that_breaks_the_schema_stands_in_the_way(eclose, db):
    project(eclose, 'things', [STEP2])
    fill(db, 5)
    eclose('up', rc=0)
    db.things.insert_one({'_id': 'bad', 'schema_version': 2})
    told = complete(eclose, '--validator', rc=5)
    assert (told['below'], told['refused'], told['complete'], told['validator']) == (0, 1, False, 'warn')
    db.things.insert_one({'_id': 'bad2', 'schema_version': 2})  # it refuses nothing yet
    assert floor(db) is None


def test_another_validator_is_not_replaced_unasked(eclose, db):
    project(eclose, 'things', [STEP2])
    db.create_collection('things', validator={'n': {'$exists': True}})
    fill(db, 5)
    eclose('up', rc=0)
    refused = eclose('complete', 'things', '--validator', rc=1)
    assert '--replace' in refused.err
    assert db.command('listCollections', filter={'name': 'things'})['cursor']['firstBatch'][0]['options']['validator'] == {
        'n': {'$exists': True}}
    assert complete(eclose, '--validator', '--replace')['stays']


def test_the_next_version_takes_the_validator_over(eclose, db):
    project(eclose, 'things', [STEP2, STEP3 + 'schema: {required: [b]}\n'])
    fill(db, 5)
    eclose('up', 'things', '--to', '2', rc=0)
    assert complete(eclose, '--to', '2', '--validator')['stays']
    eclose('up', 'things', rc=0)
    done = complete(eclose, '--to', '3', '--validator')
    assert (done['stays'], done['floor']) == (True, '3')
    with pytest.raises(pymongo.errors.WriteError):
        db.things.insert_one({'_id': 'x', 'a': 1, 'schema_version': 2})
    # A lower floor does not take its place.
    complete(eclose, '--to', '2')
    assert floor(db)['floor'] == '3'


def test_no_schema_no_validator(eclose, db):
    project(eclose, 'things', ['up:\n  - $set: {a: 1}\n'])
    fill(db, 5)
    eclose('up', rc=0)
    assert 'no `schema`' in eclose('complete', 'things', '--validator', rc=1).err
    assert 'does not exist' in eclose('complete', 'things', rc=1, env={'ECLOSE_DATABASE': db.name + 'x'}).err


def test_down_takes_the_floor_back(eclose, db):
    project(eclose, 'things', [STEP2, STEP3])
    fill(db, 5)
    eclose('up', rc=0)
    complete(eclose)
    assert floor(db)['floor'] == '3'
    assert 'taken back' in eclose('down', 'things', '--to', '2', rc=0).err
    assert floor(db) is None
    complete(eclose, '--to', '2')
    assert 'taken back' not in eclose('down', 'things', '--to', '2', rc=0).err
    assert floor(db)['floor'] == '2'


def test_a_down_that_is_refused_leaves_the_floor(eclose, db):
    """Whatever refuses it: a job in the way, or a sample that cannot go down."""
    project(eclose, 'things', [STEP2, STEP3.replace('$unset: b', '$set: {b: {$toInt: $s}}')])
    fill(db, 200, s='no number')
    eclose('up', 'things', '--to', '2', rc=0)
    complete(eclose, '--to', '2')
    eclose('backfill', 'start', 'things', '--detach', rc=0)
    eclose('backfill', 'pause', rc=0)
    assert 'is paused' in eclose('down', 'things', '--to', '1', rc=4).err
    assert floor(db)['floor'] == '2'
    eclose('backfill', 'resume', rc=0)
    eclose('up', 'things', rc=0)
    complete(eclose)
    assert 'tried without writing' in eclose('down', 'things', '--to', '2', rc=1).err
    assert floor(db)['floor'] == '3'
    db.things.update_many({}, {'$set': {'s': '5'}})
    assert 'taken back' in eclose('down', 'things', '--to', '2', rc=0).err
    assert floor(db) is None and db.things.count_documents({'schema_version': 2, 'b': 5}) == 200


def test_down_is_refused_where_the_validator_would_refuse_each_document(eclose, db):
    project(eclose, 'things', [STEP2, STEP3])
    fill(db, 30)
    eclose('up', 'things', '--to', '2', rc=0)
    complete(eclose, '--to', '2', '--validator')
    for command in (['down'], ['backfill', 'start', '--down']):
        done = eclose(*command, 'things', '--to', '1', rc=1)
        assert 'refuses documents of version 1' in done.err and \
            "db.runCommand({collMod: 'things', validationAction: 'warn'})" in done.err
    assert floor(db)['floor'] == '2' and not db.eclose_quarantine.count_documents({})
    eclose('up', 'things', rc=0)
    eclose('down', 'things', '--to', '2', rc=0)  # which it lets in
    db.command('collMod', 'things', validationAction='warn')
    assert 'taken back' in eclose('backfill', 'start', 'things', '--down', '--to', '1', rc=0).err
    assert floor(db) is None and db.things.count_documents({'schema_version': 1}) == 30


def test_a_chain_that_begins_at_its_floor(eclose, db):
    project(eclose, 'things', [STEP2, STEP3])
    fill(db, 20)
    eclose('up', 'things', '--to', '2', rc=0)
    complete(eclose, '--to', '2')
    set_floor(eclose, 2)
    assert 'may be deleted' in eclose('lint', rc=0).out
    os.unlink(os.path.join(eclose.folder, 'migrations', 'things', '0002_step.yaml'))
    assert 'may be deleted' not in eclose('lint', rc=0).out
    db.things.insert_one({'_id': 'old', 'n': 1})
    told = json.loads(eclose('up', 'things', '--mode', 'client', '--format', 'json', rc=5).out.splitlines()[-1])
    assert (told['changed'], told['quarantined']) == (20, 1)
    record = db.eclose_quarantine.find_one({'_id.id': 'old'})
    assert 'below the floor of the chain, 2' in record['error']['message']
    assert db.things.count_documents({'schema_version': 3}) == 20
    assert db.things.find_one({'_id': 'old'}) == {'_id': 'old', 'n': 1}
    # A reader says so, too.
    assert 'below the floor' in eclose('verify', 'things', rc=5).out
    assert complete(eclose, rc=5)['below'] == 1
    db.things.delete_one({'_id': 'old'})
    assert complete(eclose)['complete']


# ---- large collections: no command that goes through all of it


MIXED = [*range(0, 900, 3), *(f's{i:04}' for i in range(300)), *({'k': i} for i in range(100)),
         *(Binary(b'%05d' % i) for i in range(100)), *(ObjectId() for _ in range(200))]


def looks(relay, since=0):
    """The commands that look at documents of the collection."""
    return [c for c in relay.commands(since) if c.collection == 'things' and c.name in ('aggregate', 'find', 'getMore')]


def counts(relay, since=0):
    return [c for c in looks(relay, since) if c.name == 'aggregate' and '$count' in c.document['pipeline'][-1]]


@pytest.fixture
def mixed(eclose, db, relay):
    """1,000 documents at version 2 with _ids of several types, and eclose behind the relay."""
    project(eclose, 'things', [STEP2])
    db.things.insert_many([{'_id': i, 'a': 1, 'schema_version': 2} for i in MIXED])
    eclose.env['ECLOSE_URI'] = relay.uri
    return eclose


def test_it_counts_by_ranges(mixed, db, relay):
    assert complete(mixed, '--range-docs', 50)['complete']
    sent = counts(relay)
    assert len(sent) > 15
    assert all(c.document['readConcern'] == {'level': 'majority'} and 0 < c.document['maxTimeMS'] <= 30000 for c in sent)
    assert all('$and' in c.document['pipeline'][0]['$match'] and c.document['hint'] == {'_id': 1} for c in sent)
    # And as few documents as this in one.
    since = len(relay.commands())
    assert complete(mixed)['complete']
    assert len(counts(relay, since)) == 1


def lost_workers(child, relay, what):
    """Cuts every connection a few times, while several of them look."""
    for k in (3, 10, 20):
        wait_for(lambda k=k: len(what(relay)) >= k or child.poll() is not None)
        relay.cut()
    out, err = child.communicate(timeout=60)
    assert child.returncode == 5, err
    assert len({c.connection for c in what(relay)}) > 4
    return json.loads(out.splitlines()[-1])


def test_several_count(mixed, db, relay):
    """Each over a connection of its own; together they find what one finds, whatever is cut meanwhile."""
    db.things.insert_many([{'_id': -1, 'n': 1}, {'_id': 'zz', 'n': 1}])
    relay.delay(5)
    child = mixed.start('complete', 'things', '--range-docs', 20, '--workers', 4, '--format', 'json')
    assert lost_workers(child, relay, counts)['below'] == 2


def test_several_verify(mixed, db, relay):
    db.things.insert_many([{'_id': -1, 'schema_version': 2}, {'_id': 'zz', 'schema_version': 2}])
    relay.delay(5)
    child = mixed.start('verify', 'things', '--all', '--range-docs', 20, '--workers', 4, '--format', 'json')
    told = lost_workers(child, relay, lambda relay: [c for c in looks(relay) if c.name == 'find'])
    assert (told['documents'], told['bad']) == (len(MIXED) + 2, 2)


def test_several_are_stopped(mixed, db, relay):
    relay.delay(20)
    for command in (['complete'], ['verify', '--all']):
        child = mixed.start(*command, 'things', '--range-docs', 20, '--workers', 4)
        since = len(relay.commands())
        wait_for(lambda since=since: len({c.connection for c in looks(relay, since)}) >= 3)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 1 and 'ended as asked for' in err, err
    assert floor(db) is None


def test_no_id_is_outside_of_the_ranges(mixed, db):
    """Wherever one document below the version lies, and of whatever type that no sample showed, it is found."""
    others = [-1, 10**9, 'A', 'zzzz', {'z': 1}, DatetimeMS(77), Timestamp(9, 9)]
    for odd in [*others, *(i for i in ODD if isinstance(i, (bool, float, type(None))))]:
        db.things.insert_one({'_id': odd, 'n': 1})
        told = complete(mixed, '--range-docs', 50, rc=5)
        assert (told['below'], told['complete']) == (1, False), odd
        db.things.delete_many({'n': 1})
    assert complete(mixed, '--range-docs', 50)['complete']


def test_an_old_writer_comes_while_it_counts(mixed, db, relay):
    """New documents come at the upper end, which is counted last."""
    relay.delay(5)
    child = mixed.start('complete', 'things', '--range-docs', 20, '--format', 'json')
    wait_for(lambda: len(counts(relay)) >= 5)
    relay.hold()
    assert len(counts(relay)) < 40
    db.things.insert_one({'_id': ObjectId('f' * 24), 'n': 1})
    relay.go()
    out = mixed.wait(child, rc=5).out
    told = json.loads(out.splitlines()[-1])
    assert (told['below'], told['complete']) == (1, False)
    assert floor(db) is None


def test_with_a_validator_nobody_comes_while_it_counts(mixed, db, relay):
    relay.delay(5)
    child = mixed.start('complete', 'things', '--validator', '--range-docs', 20, '--format', 'json')
    strict = wait_for(lambda: [i for i, c in enumerate(relay.commands()) if c.name == 'collMod' and
                               c.document['validationAction'] == 'error'])
    wait_for(lambda: len(counts(relay, strict[0])) >= 3)
    relay.hold()
    for late in (ObjectId('0' * 24), ObjectId('f' * 24), -5):
        with pytest.raises(pymongo.errors.WriteError):
            db.things.insert_one({'_id': late, 'n': 1})
    relay.go()
    out = mixed.wait(child).out
    told = json.loads(out.splitlines()[-1])
    assert (told['below'], told['stays']) == (0, True)
    assert floor(db)['validated'] is True


def test_a_validator_that_refuses_is_asked_for_again(mixed, db, relay):
    """It may not be the majority's yet, nor what was written before it; and nobody takes its word unasked."""
    assert complete(mixed, '--validator')['stays']
    since = len(relay.commands())
    assert complete(mixed, '--validator')['stays']
    sent = [c.document for c in relay.commands(since) if c.name == 'collMod']
    assert [(c['validationAction'], c['writeConcern']['w']) for c in sent] == [('error', 'majority')]
    db.eclose_floors.delete_many({})
    assert not complete(mixed)['stays']
    assert floor(db)['validated'] is False


def counting_strictly(mixed, relay):
    """One that is counting below its validator, which refuses already; and the relay holds it."""
    relay.delay(5)
    child = mixed.start('complete', 'things', '--validator', '--range-docs', 20, '--format', 'json')
    strict = wait_for(lambda: [i for i, c in enumerate(relay.commands()) if c.name == 'collMod' and
                               c.document['validationAction'] == 'error'])
    wait_for(lambda: len(counts(relay, strict[0])) >= 3)
    relay.hold()
    return child


def test_two_at_once(mixed, db, relay, server):
    """The second one leaves the validator of the first alone, and says who is at it. Who sets none is in nobody's way."""
    beside = {'ECLOSE_URI': server.uri}
    child = counting_strictly(mixed, relay)
    for one in ('--validator', '--validator=warn'):
        told = mixed('complete', 'things', one, env=beside, rc=4)
        assert '"complete:things"' in told.err and f'process {child.pid}' in told.err
    assert 'an old writer may come back' in mixed('complete', 'things', env=beside, rc=0).out
    with pytest.raises(pymongo.errors.WriteError):
        db.things.insert_one({'_id': 'old', 'n': 1})
    relay.go()
    assert json.loads(mixed.wait(child).out.splitlines()[-1])['stays']
    assert floor(db)['validated'] is True
    # It has let go.
    assert json.loads(mixed('complete', 'things', '--validator=warn', '--format', 'json', env=beside, rc=0).out)['complete']


def test_the_validator_is_lifted_while_it_counts(mixed, db, relay):
    child = counting_strictly(mixed, relay)
    db.command('collMod', 'things', validationAction='warn')
    relay.go()
    assert 'lifted or changed' in mixed.wait(child, rc=1).err
    assert floor(db) is None


def test_one_that_is_stopped_lets_go(mixed, db, relay):
    child = counting_strictly(mixed, relay)
    child.send_signal(signal.SIGINT)
    relay.go()
    assert 'ended as asked for' in mixed.wait(child, rc=1).err
    assert complete(mixed, '--validator')['stays']


def test_the_mark_of_a_floor_goes_before_it_is_looked_at_again(mixed, db, relay):
    """A document that came while the validator was lifted, which nobody saw: the record does not say any more that none
    can have come, whatever becomes of the command."""
    assert complete(mixed, '--validator')['stays']
    db.command('collMod', 'things', validationAction='warn')
    db.things.insert_one({'_id': 'old', 'n': 1})
    db.command('collMod', 'things', validationAction='error')
    assert complete(mixed, '--validator', rc=5)['below'] == 1
    assert (floor(db)['floor'], floor(db)['validated']) == ('2', False)


def test_a_floor_whose_validator_is_lifted_no_longer_stays(mixed, db):
    assert complete(mixed, '--validator')['stays']
    db.command('collMod', 'things', validationAction='warn')
    db.things.insert_one({'_id': 'old', 'n': 1})
    assert complete(mixed, '--validator', rc=5)['refused'] == 1
    assert (floor(db)['floor'], floor(db)['validated']) == ('2', False)


def test_counting_can_be_stopped(mixed, db, relay):
    relay.delay(20)
    child = mixed.start('complete', 'things', '--range-docs', 20)
    wait_for(lambda: len(counts(relay)) >= 3)
    child.send_signal(signal.SIGINT)
    assert 'ended as asked for' in mixed.wait(child, rc=1).err
    assert len(counts(relay)) < 40
    assert floor(db) is None


def test_connections_are_cut_while_it_counts(mixed, db, relay):
    db.things.insert_one({'_id': 'old', 'n': 1})
    relay.delay(5)
    child = mixed.start('complete', 'things', '--range-docs', 20, '--format', 'json')
    for k in (3, 10, 20):
        wait_for(lambda k=k: len(counts(relay)) >= k or child.poll() is not None)
        relay.cut()
    out = mixed.wait(child, rc=5).out
    assert json.loads(out.splitlines()[-1])['below'] == 1


def test_verify_reads_by_ranges(mixed, db, relay):
    """And goes on behind the last document where its cursor is lost."""
    db.things.insert_one({'_id': 'bad', 'schema_version': 2})
    relay.delay(5)
    child = mixed.start('verify', 'things', '--all', '--range-docs', 50, '--format', 'json')
    for k in (4, 9):
        wait_for(lambda k=k: len(looks(relay)) >= k or child.poll() is not None)
        relay.cut()
    out = mixed.wait(child, rc=5).out
    told = json.loads(out.splitlines()[-1])
    assert (told['documents'], told['bad']) == (len(MIXED) + 1, 1)
    finds = [c for c in looks(relay) if c.name == 'find']
    assert len(finds) > 15 and all(c.document['sort'] == {'_id': 1} for c in finds)


def test_verify_draws_a_sample_in_parts(eclose, db, relay):
    """From a large collection so few at a time that the server need not read all of it."""
    project(eclose, 'things', [STEP2])
    db.things.insert_many([{'_id': i, 'a': 1, 'schema_version': 2} for i in range(20500)])
    eclose.env['ECLOSE_URI'] = relay.uri
    told = json.loads(eclose('verify', 'things', '--sample', 2500, '--format', 'json', rc=0).out.splitlines()[-1])
    assert told['documents'] == 2500
    drawn = [c.document['pipeline'][0]['$sample']['size'] for c in looks(relay) if c.name == 'aggregate']
    assert drawn == [1000, 1000, 500]


@pytest.mark.parametrize('workers', [1, 4])
def test_status_counts_by_ranges(mixed, db, relay, workers):
    db.things.insert_many([{'_id': -1, 'n': 1}, {'_id': 'zz', 'schema_version': 'what'}])
    done = mixed('status', 'things', '--exact', '--range-docs', 50, '--workers', workers, '--format', 'json', rc=0)
    told = json.loads(done.out.splitlines()[-1])
    assert told['versions'] == [{'version': '1', 'documents': 1}, {'version': '2', 'documents': len(MIXED)}]
    assert told['unknown'] == 1 and told['documents_pending'] == 2
    assert len(counts(relay)) > 45
    assert all(c.document['maxTimeMS'] <= 30000 for c in counts(relay))
