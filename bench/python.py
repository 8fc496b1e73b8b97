"""The Python package against bare pymongo and bare mongoengine, on a live server (ECLOSE_TEST_URI).

    tools/testserver run -- PYTHON bench/python.py       BENCH_PYTHON: how many documents (10000)

What is compared takes turns; a figure is the median of the rounds, in microseconds of the client's processor time for a document (the server's is the same).
"""

import os
import statistics
import sys
import time
import uuid

import mongoengine
import pymongo
from mongoengine import BooleanField, DateTimeField, DictField, FloatField, IntField, ListField, LongField, StringField

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from users import upgrade, user  # noqa: E402

import eclose  # noqa: E402
from eclose.mongoengine import EvolvingDocument  # noqa: E402

N = int(os.environ.get('BENCH_PYTHON', '10000'))
ROUNDS = 9
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rounds(*functions):
    times = [[] for _ in functions]
    for i in range(ROUNDS + 1):
        for function, figures in zip(functions, times):
            start = time.process_time()
            function()
            if i:  # the first warms up
                figures.append((time.process_time() - start) * 1e6 / N)
    return [statistics.median(figures) for figures in times]


def line(what, ours, theirs, bound):
    print(f'{what:58} {ours:10.2f} {theirs:10.2f} {ours / theirs:7.3f}  at most {bound}', flush=True)


def drained(cursor):
    n = 0
    for _ in cursor:
        n += 1
    assert n == N, n


def fields():
    """The same for both classes of mongoengine; an object of a field belongs to one class."""
    made = {name: StringField() for name in ('login', 'email', 'locale', 'timezone', 'plan', 'first_name', 'last_name')}
    return dict(made, id=IntField(primary_key=True), contacts=ListField(DictField()), last_update=DateTimeField(),
                created=DateTimeField(), active=BooleanField(), logins=IntField(), score=FloatField(),
                quota=LongField())


def main():
    client = pymongo.MongoClient(os.environ['ECLOSE_TEST_URI'])
    db = client['bench_' + uuid.uuid4().hex[:8]]
    mongoengine.connect(db.name, host=os.environ['ECLOSE_TEST_URI'], uuidRepresentation='standard')

    plain = type('Plain', (mongoengine.Document,), dict(
        fields(), schema_version=IntField(), meta={'collection': 'current'}))
    evolving = type('Evolving', (EvolvingDocument,), dict(
        fields(), meta={'collection': 'current'}, schema_updates={2: [{'$set': {'first_name': '$name'}}]}))
    try:
        db.outdated.insert_many(user(i) for i in range(N))
        db.current.insert_many(upgrade(user(i)) for i in range(N))
        project = eclose.Project(os.path.join(TOP, 'examples', 'users'))
        current = project.collection(db.current, name='users')
        outdated = project.collection(db.outdated, name='users')
        print(f'{f"microseconds a document, {N} documents":58} {"ours":>10} {"theirs":>10}   ratio')
        line('pymongo: find, all current', *rounds(lambda: drained(current.find()), lambda: drained(db.current.find())),
             1.10)
        line('pymongo: find, all outdated, against a function on the dict',
             *rounds(lambda: drained(outdated.find()), lambda: drained(upgrade(d) for d in db.outdated.find())), 1.0)
        line('mongoengine: load, all current',
             *rounds(lambda: drained(evolving.objects.no_cache()), lambda: drained(plain.objects.no_cache())), 1.05)
    finally:
        client.drop_database(db.name)


if __name__ == '__main__':
    main()
