"""The examples of docs/deploy.md: each is read as what it is, and the commands in it are run."""

import configparser
import os
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from conftest import ROOT
from works import put, write

FOLDER = os.path.join(ROOT, 'examples', 'deploy')


def load(name):
    with open(os.path.join(FOLDER, name), encoding='utf-8') as f:
        return list(yaml.safe_load_all(f))


def of_kind(name, kind):
    found, = [d for d in load(name) if d['kind'] == kind]
    return found


def known_variables():
    with open(os.path.join(ROOT, 'man', 'eclose.1.scd'), encoding='utf-8') as f:
        return set(re.findall(r'\*((?:ECLOSE|MONGODB)_[A-Z_]+)\*', f.read()))


def project(eclose):
    write(eclose.folder, a='up: [{insert: {collection: log, document: {_id: 1}}}]\n')


def check_command(eclose, db, command, env):
    """It is eclose's, all its options are, and with the files where they are here it does what it is there for."""
    assert command[:2] == ['eclose', 'up']
    usage = eclose('up', '--help', rc=0).out
    for word in command[2:]:
        if word.startswith('-'):
            assert re.search(rf'(^|\s|,){re.escape(word.split("=")[0])}\b', usage), (word, usage)
    assert {name for name in env if name.startswith('ECLOSE_')} <= known_variables()
    args = list(command[1:])
    for option, here in (('--config', 'eclose.yaml'), ('-C', '')):
        if option in args:
            args[args.index(option) + 1] = os.path.join(eclose.folder, here)
    release = env.get('ECLOSE_RELEASE')
    eclose(*args, rc=0, env={'ECLOSE_RELEASE': release} if release else {})
    entry = db.eclose_changelog.find_one()
    assert entry['state'] == 'applied' and entry.get('release') == release


def variables(container):
    for variable in container['env']:
        assert ('value' in variable) != ('valueFrom' in variable) and isinstance(variable.get('value', ''), str), variable
    return {variable['name']: variable.get('value') for variable in container['env']}


def check_volumes(pod, config):
    """What is mounted is there, and the project file is where the command looks for it."""
    volumes = {v['name']: v for v in pod['volumes']}
    for container in pod.get('initContainers', []) + pod['containers']:
        for mount in container.get('volumeMounts', []):
            assert mount['name'] in volumes
    assert volumes['eclose']['configMap']['name'] == config['metadata']['name']
    migrate = (pod.get('initContainers') or pod['containers'])[0]
    where = migrate['command'][migrate['command'].index('--config') + 1]
    assert os.path.dirname(where) == migrate['volumeMounts'][0]['mountPath']
    assert os.path.basename(where) in config['data']


def seconds_of(command):
    wait, = [word for word in command if word.startswith('--wait=')]
    return int(wait.split('=')[1])


def test_the_project_file_in_the_config_map(eclose):
    """It is a project file, whose migrations lie in the image."""
    text = of_kind('kubernetes.yaml', 'ConfigMap')['data']['eclose.yaml']
    project(eclose)
    put(eclose.folder, 'eclose.yaml', text)
    assert 'no problems: 0 collections, 0 document migrations, 1 database migration' in eclose(
        'lint', '--migrations', os.path.join(eclose.folder, 'migrations'), rc=0).out


def test_the_init_container(eclose, db):
    deployment, config = of_kind('kubernetes.yaml', 'Deployment'), of_kind('kubernetes.yaml', 'ConfigMap')
    spec, pod = deployment['spec'], deployment['spec']['template']['spec']
    assert spec['selector']['matchLabels'].items() <= spec['template']['metadata']['labels'].items()
    assert spec['strategy']['rollingUpdate']['maxUnavailable'] == 0
    migrate, = pod['initContainers']
    # Kubernetes does not give a release up while one of its pods still waits for another's migration.
    assert spec['progressDeadlineSeconds'] > seconds_of(migrate['command'])
    assert migrate['image'] == pod['containers'][0]['image']
    check_volumes(pod, config)
    project(eclose)
    check_command(eclose, db, migrate['command'], variables(migrate))


def test_the_job(eclose, db):
    job, config = of_kind('kubernetes-job.yaml', 'Job'), of_kind('kubernetes.yaml', 'ConfigMap')
    pod = job['spec']['template']['spec']
    assert re.fullmatch(r'[a-z0-9]([-a-z0-9]*[a-z0-9])?', job['metadata']['name'])
    assert pod['restartPolicy'] == 'Never'  # a policy of failures wants that
    rules = job['spec']['podFailurePolicy']['rules']
    codes = {code: rule['action'] for rule in rules for code in rule.get('onExitCodes', {}).get('values', [])}
    # 1 and 4 are tried again: a server that was away, another that still migrates.
    assert codes == {2: 'FailJob', 5: 'FailJob'}
    assert all(rule['onExitCodes']['containerName'] == pod['containers'][0]['name'] for rule in rules if 'onExitCodes' in rule)
    check_volumes(pod, config)
    project(eclose)
    check_command(eclose, db, pod['containers'][0]['command'], variables(pod['containers'][0]))


def test_compose(eclose, db):
    compose, = load('compose.yaml')
    services = compose['services']
    for service in services.values():
        for name, needs in service.get('depends_on', {}).items():
            assert name in services
            assert needs['condition'] in ('service_started', 'service_healthy', 'service_completed_successfully')
            assert needs['condition'] != 'service_healthy' or 'healthcheck' in services[name]
    assert services['shop']['depends_on']['migrate']['condition'] == 'service_completed_successfully'
    assert {v.split(':')[0] for s in services.values() for v in s.get('volumes', [])} <= set(compose['volumes'])
    # A service that is started again on failure would not let compose say that it failed.
    assert services['migrate']['restart'] == 'no'
    project(eclose)
    env = {name: str(value) for name, value in services['migrate']['environment'].items()}
    check_command(eclose, db, services['migrate']['command'], env)


def units():
    return sorted(name for name in os.listdir(FOLDER) if name.endswith('.service'))


@pytest.mark.parametrize('name', units())
def test_units(eclose, db, name):
    path = os.path.join(FOLDER, name)
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str
    unit.read(path, encoding='utf-8')
    service = unit['Service']
    assert service['Type'] == 'oneshot' and service['TimeoutStartSec'] == 'infinity'
    command = shlex.split(service['ExecStart'])
    assert os.path.isabs(command[0])
    project(eclose)
    check_command(eclose, db, [os.path.basename(command[0]), *command[1:]], {})


@pytest.mark.parametrize('name', units())
def test_systemd_takes_the_units(eclose_binary, name, tmp_path):
    """It wants programs and users that are there."""
    if not shutil.which('systemd-analyze'):
        pytest.skip('there is no systemd-analyze')
    with open(os.path.join(FOLDER, name), encoding='utf-8') as f:
        text = f.read()
    copy = put(tmp_path, name, re.sub(r'^(ExecStart=)\S+', rf'\1{eclose_binary}', text, flags=re.MULTILINE).replace(
        'User=shop', 'User=root'))
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', copy], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0 and name not in done.stderr, done.stderr


def test_the_command_that_lets_documents_wait_in_quarantine(eclose, db):
    """As docs/deploy.md has it: status 5 becomes 0, and no other does."""
    with open(os.path.join(ROOT, 'docs', 'deploy.md'), encoding='utf-8') as f:
        command, = (yaml.safe_load(line)['command'] for line in f if line.startswith('    command: [sh, -c'))
    write(eclose.folder)
    put(eclose.folder, 'migrations/users/0001_m.yaml', 'to: 1\nup: [{$set: {m: {$add: [$n, 1]}}}]\n')
    db.users.insert_many([{'_id': 1, 'n': 1}, {'_id': 2, 'n': 1}, {'_id': 3, 'n': 'x'}])
    # At each start the same.
    for _ in range(2):
        eclose('up', '--wait=1', rc=5)
    script = command[2].replace('/etc/eclose/eclose.yaml', os.path.join(eclose.folder, 'eclose.yaml'))
    assert script.startswith('eclose up ')

    def run(script):
        return subprocess.run([*command[:2], eclose.binary + script[len('eclose'):]], env=eclose.env, cwd=eclose.folder,
                              capture_output=True, timeout=60, check=False).returncode

    assert run(script) == 0 and run(script.replace('eclose.yaml', 'not_there.yaml')) == 1


def test_the_page_names_every_example_and_every_exit_status():
    with open(os.path.join(ROOT, 'docs', 'deploy.md'), encoding='utf-8') as f:
        page = f.read()
    for name in os.listdir(FOLDER):
        assert f'../examples/deploy/{name}' in page, name
    with open(os.path.join(ROOT, 'man', 'eclose.1.scd'), encoding='utf-8') as f:
        statuses = re.findall(r'^\*(\d)\*$', f.read(), re.MULTILINE)
    rows = re.findall(r'^\| (\d) \|', page, re.MULTILINE)
    # In both tables: what happened, and what it comes to. 3 is that of `status --check`, 6 of `backfill work`.
    assert rows == 2 * [s for s in statuses if s not in '36']
