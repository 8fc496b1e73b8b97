"""What a run tells others: metrics for Prometheus, hooks, log lines."""

import contextlib
import json
import os
import signal
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from test_backfill import project, users
from works import put, size, wait_for

UP = 'up:\n  - $set: {n: {$add: [$n, 1]}}\n'
FAILS = 'up:\n  - $set: {n: {$toInt: $n}}\n'


def samples(path):
    """(name, labels) -> value; the parser refuses what Prometheus would."""
    with open(path, encoding='utf-8') as f:
        text = f.read()
    families = list(text_string_to_metric_families(text))
    found = {}
    for family in families:
        assert family.documentation, family
        assert family.type in ('gauge', 'counter'), family
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found, name, **labels):
    """The one sample of that name with these labels, among others."""
    match = [v for (n, have), v in found.items() if n == 'eclose_backfill_' + name and labels.items() <= dict(have).items()]
    assert len(match) == 1, (name, labels, match)
    return match[0]


@pytest.mark.parametrize('mode', ['client', 'pushdown'])
def test_metrics_of_a_run(eclose, db, server, mode):
    project(eclose, 'things', [UP])
    n = size(server, 3000)
    db.things.insert_many([{'_id': i, 'n': i} for i in range(n)])
    path = os.path.join(eclose.folder, 'eclose.prom')
    # Fewer in a second than any server can do.
    eclose('up', 'things', '--mode', mode, '--metrics', path, '--max-rate', 2500 if n == 3000 else 50, rc=0)
    found = samples(path)
    mine = {'database': db.name, 'collection': 'things', 'process': 'eclose'}
    assert value(found, 'info', kind='up', to='2', mode=mode, job=str(db.eclose_jobs.find_one()['_id']), **mine) == 1
    assert value(found, 'batches_total', **mine) > 0
    assert value(found, 'throttle_wait_seconds_total', reason='rate', **mine) > 0
    assert value(found, 'state', state='done', **mine) == 1
    assert value(found, 'state', state='running', **mine) == 0
    assert value(found, 'documents', **mine) == n
    assert value(found, 'documents_changed_total', **mine) == n
    assert value(found, 'documents_left', **mine) == 0
    assert value(found, 'documents_quarantined', **mine) == 0
    assert value(found, 'throttle_wait_seconds_total', reason='lag', **mine) == 0
    assert value(found, 'start_time_seconds', **mine) <= value(found, 'written_time_seconds', **mine)
    assert all(mine.items() <= dict(labels).items() for _, labels in found)
    # Others may read it, and nothing is left beside it.
    assert os.stat(path).st_mode & 0o777 == 0o644
    assert [n for n in os.listdir(eclose.folder) if n.startswith('eclose.prom')] == ['eclose.prom']


def test_metrics_of_a_job_are_of_this_process(eclose, db, tmp_path):
    """And its hooks: the commands of a job report as `up` does."""
    project(eclose, 'things', [UP])
    db.things.insert_many([{'_id': i, 'n': i, 'schema_version': 1} for i in range(3000)])
    path, told = os.path.join(eclose.folder, 'eclose.prom'), tmp_path / 'told.txt'
    hooks = ['--hook', f'start={hook(told)}', '--hook', f'end={hook(told)}', '--metrics', path]
    eclose('backfill', 'run', 'things', '--for', '2s', '--max-rate', 300, *hooks, rc=0)
    found = samples(path)
    assert value(found, 'state', state='stopped') == 1 and value(found, 'state', state='cancelled') == 0
    first = value(found, 'documents_changed_total')
    assert 0 < first < 3000 and value(found, 'documents_left') >= 3000 - first
    eclose('backfill', 'set', 'things', '--max-rate', 'none', rc=0)
    eclose('backfill', 'work', 'things', *hooks, rc=0)
    found = samples(path)
    assert value(found, 'documents_changed_total') == 3000 - first
    assert value(found, 'documents_left') == 0 and value(found, 'state', state='done') == 1
    assert [(line[0], line[4]) for line in hook_lines(told)] == [
        ('start', 'running'), ('end', 'stopped'), ('start', 'running'), ('end', 'done')]


@pytest.mark.parametrize('how', ['signal', 'cancel'])
def test_a_run_that_is_stopped_is_not_cancelled(eclose, db, tmp_path, how):
    """The job lives on after a signal: metrics, hook, log and result say so. One that somebody cancelled does not."""
    project(eclose, 'things', [UP])
    db.things.insert_many([{'_id': i, 'n': i, 'schema_version': 1} for i in range(3000)])
    path, told = os.path.join(eclose.folder, 'eclose.prom'), tmp_path / 'told.txt'
    child = eclose.start('backfill', 'start', 'things', '--max-rate', 100, '--metrics', path, '--hook', f'end={hook(told)}',
                         '--hook', f'failure={hook(told)}', '--log-format', 'json', '--format', 'json')
    wait_for(lambda: db.things.count_documents({'schema_version': 2}) > 0)
    if how == 'signal':
        child.send_signal(signal.SIGTERM)
    else:
        eclose('backfill', 'cancel', 'things', rc=0)
    out, err = child.communicate(timeout=60)
    state, other = ('stopped', 'cancelled') if how == 'signal' else ('cancelled', 'stopped')
    assert child.returncode == 1, err
    found = samples(path)
    assert value(found, 'state', state=state) == 1 and value(found, 'state', state=other) == 0
    assert [(line[0], line[4]) for line in hook_lines(told)] == [('end', state)]
    ends = [line for line in map(json.loads, err.splitlines()) if line.get('event') == 'end']
    assert [line['state'] for line in ends] == [state], err
    result = json.loads(out)
    assert result[state] is True and other not in result and 'error' not in result
    assert result['state'] == db.eclose_jobs.find_one()['state'] == ('running' if how == 'signal' else 'cancelled')


def test_metrics_of_two_processes_of_a_machine(eclose, db):
    """node_exporter refuses a series that is in two files; and a process that comes again has the series it had."""
    project(eclose, 'things', [UP])
    db.things.insert_many([{'_id': i, 'n': i, 'schema_version': 1} for i in range(600)])
    files = [os.path.join(eclose.folder, name) for name in ('one.prom', 'two.textfile.prom')]
    child = eclose.start('backfill', 'start', 'things', '--range-docs', 100, '--max-rate', 100, '--metrics', files[0])
    wait_for(lambda: db.things.count_documents({'schema_version': 2}) > 0)
    eclose('backfill', 'work', 'things', '--metrics', files[1], rc=0)
    eclose.wait(child)
    one, two = map(samples, files)
    assert one and two and not one.keys() & two.keys()
    assert {dict(labels)['process'] for _, labels in one} == {'one'}
    assert {dict(labels)['process'] for _, labels in two} == {'two.textfile'}
    assert value(one, 'documents_changed_total') + value(two, 'documents_changed_total') == 600
    before = {key for key in two if key[0] != 'eclose_backfill_info'}  # which names the job
    db.things.update_many({}, {'$set': {'schema_version': 1}})
    eclose('backfill', 'start', 'things', '--metrics', files[1], rc=0)
    assert before >= {key for key in samples(files[1]) if key[0] != 'eclose_backfill_info'}


def test_metrics_of_all_collections_and_odd_names(eclose, db):
    odd = 'a"b\\c'
    put(eclose.folder, 'eclose.yaml', 'unversioned: 1\n')
    for name in ('plain', odd):
        put(eclose.folder, f'migrations/{name}/0002_step.yaml', 'to: 2\n' + UP)
        db[name].insert_many([{'n': i} for i in range(10)])
    path = os.path.join(eclose.folder, 'eclose.prom')
    eclose('up', '--metrics', path, rc=0)
    found = samples(path)
    for name in ('plain', odd):
        assert value(found, 'documents_changed_total', collection=name) == 10


def test_a_reader_of_metrics_never_sees_half_of_them(eclose, db, relay):
    """Another process reads all the time while they are written, once per collection and state."""
    n = 15
    put(eclose.folder, 'eclose.yaml', 'unversioned: 1\n')
    for i in range(n):
        put(eclose.folder, f'migrations/c{i}/0002_step.yaml', 'to: 2\n' + UP)
        db[f'c{i}'].insert_one({'n': i})
    path = os.path.join(eclose.folder, 'eclose.prom')
    relay.delay(1)  # or it could be over before the reader is there
    child = eclose.start('up', '--metrics', path, env={'ECLOSE_URI': relay.uri})
    seen, files = set(), set()
    while child.poll() is None:
        try:
            with open(path, encoding='utf-8') as f:
                files.add(os.fstat(f.fileno()).st_ino)
                text = f.read()
        except FileNotFoundError:
            continue
        assert text.endswith('\n') and text.splitlines()[-1].startswith('eclose_backfill_written_time_seconds{'), text
        seen.add(len(list(text_string_to_metric_families(text))[0].samples))
    eclose.wait(child)
    # Each was another file in its place, and one after the other had more collections in it.
    assert len(seen) > 3 and len(files) > 1, (seen, files)
    assert len([key for key in samples(path) if key[0] == 'eclose_backfill_info']) == n


def test_a_file_that_cannot_be_written_stops_nothing(eclose, db):
    project(eclose, 'things', [UP])
    db.things.insert_many([{'n': i} for i in range(10)])
    done = eclose('up', '--metrics', '/nonexistent/x.prom', rc=0)
    assert done.err.count('/nonexistent/x.prom: No such file or directory; the work goes on') == 1
    assert db.things.count_documents({'schema_version': 2}) == 10


def hook_lines(path):
    with open(path, encoding='utf-8') as f:
        return [line.split('|') for line in f.read().splitlines()]


def hook(path):
    return ('echo "$ECLOSE_EVENT|$ECLOSE_COLLECTION|$ECLOSE_DIRECTION|$ECLOSE_TO|$ECLOSE_STATE|$ECLOSE_TOTAL|'
            f'$ECLOSE_CHANGED|$ECLOSE_QUARANTINED|$ECLOSE_REASON|$ECLOSE_DATABASE" >> {path}')


def test_hooks_from_the_command_line_and_the_file(eclose, db, tmp_path):
    project(eclose, 'things', [UP])
    from_file, given = tmp_path / 'file.txt', tmp_path / 'given.txt'
    with open(os.path.join(eclose.folder, 'eclose.yaml'), 'a', encoding='utf-8') as f:
        f.write(f"hooks:\n  end: '{hook(from_file)}'\n")
    db.things.insert_many([{'n': i} for i in range(30)])
    eclose('up', '--hook', f'start={hook(given)}', '--hook', f'failure={hook(given)}', '--hook', f'end={hook(given)}',
           rc=0)
    assert hook_lines(given) == [
        ['start', 'things', 'up', '2', 'running', '30', '0', '0', '', db.name],
        ['end', 'things', 'up', '2', 'done', '30', '30', '0', '', db.name]]
    assert hook_lines(from_file) == [['end', 'things', 'up', '2', 'done', '30', '30', '0', '', db.name]]
    # Nothing to do is no event.
    eclose('up', '--hook', f'start={hook(given)}', rc=0)
    assert len(hook_lines(given)) == 2
    assert len(hook_lines(from_file)) == 1


def test_a_hook_under_a_parent_that_ignores_its_children(eclose, db):
    """Some supervisors ignore SIGCHLD, and a program inherits that: how a hook ended is known all the same."""
    project(eclose, 'things', [UP])
    db.things.insert_one({'n': 1})
    done = subprocess.run(['/bin/sh', '-c', "trap '' CHLD; exec \"$@\"", 'sh', eclose.binary, 'up', '--hook', 'end=exit 3'],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, env=eclose.env,
                          cwd=eclose.folder, check=False)
    assert done.returncode == 0, done.stderr
    assert 'hook end ended with status 3' in done.stderr


def test_a_hook_of_failure_says_why(eclose, db, tmp_path):
    project(eclose, 'things', [UP])
    db.create_collection('things', viewOn='others', pipeline=[])
    said = tmp_path / 'said.txt'
    eclose('up', '--hook', f'failure={hook(said)}', '--hook', f'end={hook(said)}', rc=1)
    lines = hook_lines(said)
    assert [line[0] for line in lines] == ['failure']  # it never began, so it does not end
    assert 'view' in lines[0][8]


def test_hooks_of_what_slows_and_of_a_pause(eclose, db, server, tmp_path):
    """And what the metrics say meanwhile."""
    project(eclose, 'things', [UP])
    n = size(server, 3000)
    db.things.insert_many([{'_id': i, 'n': i} for i in range(n)])
    told, flag, path = tmp_path / 'told.txt', tmp_path / 'wait', os.path.join(eclose.folder, 'eclose.prom')
    flag.write_text('')
    line = f'echo "$ECLOSE_EVENT|$ECLOSE_STATE|$ECLOSE_SLOWED|$ECLOSE_STOPPED|$ECLOSE_REASON" >> {told}'
    hooks = [a for event in ('start', 'throttle', 'pause', 'resume', 'end') for a in ('--hook', f'{event}={line}')]
    child = eclose.start('backfill', 'start', 'things', '--max-latency', 1000, '--max-rate', n // 15, '--metrics', path,
                         '--throttle-command', f'test ! -e {flag}', *hooks)

    def said(event, n=1):
        wait_for(lambda: told.exists() and sum(x[0] == event for x in hook_lines(told)) >= n)

    said('throttle')
    wait_for(lambda: value(samples(path), 'throttle_stopped') == 1)
    found = samples(path)
    assert value(found, 'throttle_active', reason='command') == 1 and value(found, 'throttle_active', reason='lag') == 0
    assert value(found, 'state', state='running') == 1
    flag.unlink()
    said('resume')
    eclose('backfill', 'pause', 'things', rc=0)
    said('pause')
    wait_for(lambda: value(samples(path), 'state', state='paused') == 1)
    eclose('backfill', 'resume', 'things', rc=0)
    said('resume', 2)
    eclose('backfill', 'set', 'things', '--max-rate', 'none', rc=0)
    err = eclose.wait(child).err
    assert [x[:2] for x in hook_lines(told)] == [
        ['start', 'running'], ['throttle', 'running'], ['resume', 'running'], ['pause', 'paused'], ['resume', 'running'],
        ['end', 'done']]
    assert hook_lines(told)[1][2:] == ['command', '1', 'the throttle command says wait: it ended with status 1']
    assert 'things: stopped until it is calm: the throttle command says wait: it ended with status 1\n' in err
    assert 'things: paused; `eclose backfill resume things` lets it go on' in err and 'things: goes on as fast as it may' in err
    found = samples(path)
    assert value(found, 'throttle_active', reason='command') == 0 and value(found, 'throttle_stopped') == 0
    assert value(found, 'throttle_wait_seconds_total', reason='command') > 0


def test_hooks_that_fail_change_nothing(eclose, db):
    project(eclose, 'things', [UP])
    db.things.insert_many([{'n': i} for i in range(30)])
    done = eclose('up', '--hook', 'start=exit 3', '--hook', 'end=kill -9 $$', rc=0)
    assert 'hook start ended with status 3' in done.err
    assert 'hook end ended with status 137' in done.err
    assert db.things.count_documents({'schema_version': 2}) == 30


def test_a_log_of_json_lines(eclose, db):
    project(eclose, 'users', [FAILS.replace('$n', '$visits')])
    db.users.insert_many([*users(50), {'_id': 'bad', 'visits': 'many', 'schema_version': 1}])
    done = eclose('up', '--log-format', 'json', '--mode', 'client', rc=5)
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert [line['event'] for line in lines if 'event' in line] == ['start', 'end']
    assert all(line['time'].endswith('Z') and line['level'] == 'info' and line['command'] == 'up' for line in lines)
    assert lines[-1]['quarantined'] == 1
    assert lines[-1]['changed'] == 50
    # What is wrong is a line, too.
    wrong = eclose('up', 'nothing', '--log-format', 'json', rc=1)
    last = json.loads(wrong.err.splitlines()[-1])
    assert last['level'] == 'error'
    assert 'nothing' in last['message']


def test_a_log_of_what_happens_on_the_way(eclose, db, server, tmp_path):
    """Each line alone says what slows, how far it is, and whose job it is."""
    project(eclose, 'things', [UP])
    n = size(server, 3000)
    db.things.insert_many([{'_id': i, 'n': i, 'schema_version': 1} for i in range(n)])
    flag, text = tmp_path / 'wait', bytearray()
    child = eclose.start('backfill', 'start', 'things', '--max-latency', 1000, '--max-rate', n // 30,
                         '--throttle-command', f'test ! -e {flag}', '--log-format', 'json')
    os.set_blocking(child.stderr.fileno(), False)

    def lines():
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(child.stderr.fileno(), 65536):
                text.extend(piece)
        whole = [json.loads(line) for line in bytes(text).split(b'\n')[:-1]]
        return [line for line in whole if 'event' in line]

    def said(event):
        return wait_for(lambda: [line for line in lines() if line['event'] == event])[-1]

    wait_for(lambda: db.things.count_documents({'schema_version': 2}))
    flag.write_text('')
    throttle, progress = said('throttle'), said('progress')
    eclose('backfill', 'pause', 'things', rc=0)
    pause = said('pause')
    flag.unlink()
    eclose('backfill', 'resume', 'things', rc=0)
    eclose('backfill', 'set', 'things', '--max-rate', 'none', rc=0)
    text.extend(eclose.wait(child).err.encode())
    events = [line['event'] for line in map(json.loads, text.decode().splitlines()) if 'event' in line]
    # Nothing else but another word on how far it is.
    assert [e for i, e in enumerate(events) if e != 'progress' or i == events.index('progress')][:4] == \
        ['start', 'throttle', 'progress', 'pause']
    assert 'resume' in events and events[-1] == 'end'
    mine = {'level': 'info', 'command': 'backfill', 'database': db.name, 'collection': 'things', 'direction': 'up',
            'to': '2', 'job': str(db.eclose_jobs.find_one()['_id']), 'total': n, 'quarantined': 0}
    for line in (throttle, progress, pause):
        assert mine.items() <= line.items() and line['time'].endswith('Z') and 0 < line['changed'] < n, line
    why = 'the throttle command says wait: it ended with status 1'
    assert (throttle['state'], throttle['slowed'], throttle['stopped'], throttle['message']) == \
        ('running', 'command', True, why)
    assert (progress['state'], progress['slowed'], progress['stopped']) == ('running', 'command', True)
    assert progress['time'] > throttle['time'] and pause['state'] == 'paused'


def test_closed_streams_are_nobodys(eclose, db):
    """What is said must not go to the server, whose socket would be the next of these numbers."""
    project(eclose, 'things', [UP])
    db.things.insert_many({'_id': i, 'n': i} for i in range(50))
    hook = 'start=readlink /proc/$ECLOSE_PID/fd/0 /proc/$ECLOSE_PID/fd/1 /proc/$ECLOSE_PID/fd/2 > streams'
    done = subprocess.run(['sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh', eclose.binary, 'up', 'things', '--hook', hook],
                          env=eclose.env, cwd=eclose.folder, timeout=60, check=False)
    assert done.returncode == 1  # the result could not be printed
    with open(os.path.join(eclose.folder, 'streams'), encoding='utf-8') as f:
        assert f.read().split() == ['/dev/null'] * 3
    assert db.things.count_documents({'schema_version': 2}) == 50
