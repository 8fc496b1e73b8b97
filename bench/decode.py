"""Example 1 as a Python program does it: decode the document, change the dict, encode it again, with pymongo's C code.

    decode.py NOTES     prints its line beside the engine's, whose figures of the same run are in NOTES (JSON)
"""

import json
import random
import statistics
import sys
import time

import bson

FIRST = ['Ariel', 'Kim', 'Robin Jean', 'Maria', 'Bo', 'Ida Sofie']
LAST = ['Whiteaker', 'Lund', "O'Neill", 'Garcia', 'Li', 'Andersen']


def user(i, random_=random.Random(42)):
    """The users of bench/engine.c: about 340 bytes, 15 fields."""
    import datetime
    day = datetime.datetime(2023, 11, 14, tzinfo=datetime.timezone.utc)
    return {
        '_id': i, 'login': f'user{i:07}', 'schema_version': 1,
        'name': f'{random_.choice(FIRST)} {random_.choice(LAST)}', 'phone': f'+457{random_.randrange(10**7):07}',
        'last_update': day, 'created': day, 'email': f'user{i:07}@example.com', 'active': i % 3 != 0,
        'logins': random_.randrange(1000), 'score': random_.randrange(1000) / 7, 'locale': 'da-DK',
        'timezone': 'Europe/Copenhagen', 'quota': bson.Int64(1 << 33), 'plan': 'standard',
    }


def upgrade(doc):
    name = (doc.pop('name', None) or '').strip(' ')
    phone = doc.pop('phone', None)
    last = name.split(' ')[-1]
    doc['last_name'] = last
    doc['first_name'] = name[:len(name) - len(last)].strip(' ')
    doc['contacts'] = [{'type': 'phone', 'value': phone}] if phone is not None else []
    doc['schema_version'] = 2
    return doc


def main():
    documents = [bson.encode(user(i)) for i in range(1000)]
    rounds = []
    for _ in range(25):
        start = time.perf_counter_ns()
        for raw in documents:
            bson.encode(upgrade(bson.decode(raw)))
        rounds.append((time.perf_counter_ns() - start) / len(documents))
    with open(sys.argv[1], encoding='utf-8') as f:
        ours = json.load(f)['example 1 (users v1 to v2)']['ns']
    theirs = statistics.median(rounds)
    print(f'{"example 1 against pymongo: decode, change, encode":58} {ours:10.1f} {theirs:10.1f} {ours / theirs:7.3f}'
          f'  at most 0.1 of it ({theirs / ours:.1f} times faster)')


if __name__ == '__main__':
    main()
