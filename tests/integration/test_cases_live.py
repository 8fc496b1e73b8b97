"""Every case of tests/cases on a live server: what the project says of MongoDB's language is compared with a server that
speaks it. Where this server answers otherwise, tests/cases/known_disagreements.txt says why MongoDB does not; what is not
listed there fails. A line of that list that is no longer needed is reported.

    python tests/integration/test_cases_live.py NAME URI [FILE…]     prints the lines that are missing in the list
"""

import glob
import hashlib
import os
import sys
import warnings

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = os.path.join(ROOT, 'tests', 'cases')
LIST = os.path.join(CASES, 'known_disagreements.txt')
sys.path.insert(0, os.path.join(ROOT, 'tests', 'differential'))

from sides import MISSING, Broken, Failure, Server, equal, from_json, text  # noqa: E402

SERVERS = ('mongod', 'given', 'rs', 'py')

# ExceededMemoryLimit, BSONObjectTooLarge: such cases are MongoDB's alone. Another server does what it is told until the
# machine is full.
GREEDY = (146, 10334)

# A pattern that a server without a limit on matching would try until the end of days.
ENDLESS = '(a|aa|aaa)+'

# Types that pymongo has no value for: it would send another one.
UNHELD = ('"$undefined"', '"$symbol"', '"$dbPointer"')


def files():
    return sorted(glob.glob(os.path.join(CASES, '*.test')))


def read_cases(path):
    """(key, comment above it, values) of each line. The key is that of the file and the line, wherever it stands."""
    comment, begun = [], False
    with open(path, encoding='utf-8') as f:
        for line in f:
            line = line.strip()
            if line.startswith('#'):
                comment = [*(comment if begun else []), line.lstrip('# ')]
                begun = True
            elif line:
                begun = False
                digest = hashlib.sha256(line.encode()).hexdigest()[:10]
                yield f'{os.path.basename(path)}:{digest}', ' '.join(comment), line


def read_list():
    """{(server, key): reason}"""
    known = {}
    with open(LIST, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if line and not line.startswith('#'):
                parts = line.split(' ', 2)
                assert len(parts) == 3 and parts[0] in SERVERS, f'{LIST}:{number}: server, key and reason are wanted'
                known[parts[0], parts[1]] = parts[2]
    return known


def expected(case):
    if case.get('error') is not None:
        return Failure(0, f'error {case["error"]}')
    for key in ('result', 'matches', 'valid'):
        if key in case:
            return case[key]
    return MISSING


def differences(server, path):
    """(key, comment, line, what was expected, what came) of each case on which the server differs; the number of cases."""
    found, n = [], 0
    for key, comment, line in read_cases(path):
        n += 1
        try:
            if any(name in line for name in UNHELD):
                continue
            case = from_json(line)
            if (case.get('error') in GREEDY or ENDLESS in line) and server.name in ('rs', 'py'):
                continue
            wanted = expected(case)
            got = server.answer({k: v for k, v in case.items() if k in ('expr', 'pipeline', 'filter', 'schema', 'doc')})
        except Broken as error:
            found.append((key, comment, line, wanted, error))
            continue
        except Exception as error:  # noqa: BLE001 what this language cannot hold, a date of the year 292000000 for one
            found.append((key, comment, line, 'a case that can be sent', error))
            continue
        if not equal(got, wanted, unordered=bool(case.get('unordered')), ulp=bool(case.get('ulp'))):
            found.append((key, comment, line, wanted, got))
    return found, n


def shown(got):
    return str(got) if isinstance(got, Exception) else text(got)


@pytest.fixture(scope='module')
def side(server):
    opened = Server(server.uri, server.name, 'eclose_test_cases')
    yield opened
    opened.client.drop_database('eclose_test_cases')
    opened.stop()


@pytest.mark.parametrize('path', files(), ids=lambda path: os.path.splitext(os.path.basename(path))[0])
def test_cases(side, path):
    known = read_list()
    found, n = differences(side, path)
    assert n
    new = [f'{key}: {line}\n   {side.name} gives {shown(got)}' for key, _, line, _, got in found
           if (side.name, key) not in known]
    different = {key for key, *_ in found}
    keys = {key for key, *_ in read_cases(path)}
    idle = [key for name, key in known if name == side.name and key in keys - different]
    if idle:
        warnings.warn(f'{LIST}: {side.name} agrees now: {", ".join(idle)}', stacklevel=1)
    assert not new, '\n'.join(new)


def test_the_list_names_cases():
    """What is in the list is a line of a file of cases."""
    keys = {key for path in files() for key, *_ in read_cases(path)}
    assert not sorted(key for _, key in read_list() if key not in keys)


def main():
    name, uri, *paths = sys.argv[1:]
    server = Server(uri, name)
    known = read_list()
    for path in paths or files():
        found, _ = differences(server, path)
        for key, comment, line, _, got in found:
            if (name, key) not in known:
                print(f'{name} {key} {comment}. {name} gives {shown(got)[:160]}'.replace('\n', ' '))
                print(f'   {line}', file=sys.stderr)


if __name__ == '__main__':
    main()
