"""The users of example 1, for the benchmarks: how they are made, migrated by eclose, and upgraded without it."""

import datetime
import os
import random

import bson
import pymongo

MIGRATION = '''to: 2
description: name becomes first_name and last_name; phone becomes contacts
up:
  - $set: {name: {$trim: {input: {$ifNull: [$name, ""]}}}}
  - $set: {last_name: {$last: {$split: [$name, " "]}}}
  - $set:
      first_name: {$trim: {input: {$substrCP: [$name, 0, {$subtract: [{$strLenCP: $name}, {$strLenCP: $last_name}]}]}}}
      contacts: {$cond: [{$gt: [$phone, null]}, [{type: phone, value: $phone}], []]}
  - $unset: [name, phone]
'''

PIPELINE = [
    {'$set': {'name': {'$trim': {'input': {'$ifNull': ['$name', '']}}}}},
    {'$set': {'last_name': {'$last': {'$split': ['$name', ' ']}}}},
    {'$set': {
        'first_name': {'$trim': {'input': {'$substrCP': [
            '$name', 0, {'$subtract': [{'$strLenCP': '$name'}, {'$strLenCP': '$last_name'}]}]}}},
        'contacts': {'$cond': [{'$gt': ['$phone', None]}, [{'type': 'phone', 'value': '$phone'}], []]}}},
    {'$unset': ['name', 'phone']},
    {'$set': {'schema_version': 2}},
]

FIRST = ['Ariel', 'Kim', 'Robin Jean', 'Maria', 'Bo', 'Ida Sofie']
LAST = ['Whiteaker', 'Lund', "O'Neill", 'Garcia', 'Li', 'Andersen']


def user(i, random_=random.Random(42)):
    """The users of bench/engine.c: about 340 bytes, 15 fields."""
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


def load(users, n):
    """So many, and nothing else."""
    users.drop()
    for start in range(0, n, 10000):
        users.insert_many([user(i) for i in range(start, min(start + 10000, n))], ordered=False)


def put_project(folder, **more):
    """A project with the users' migration to version 2, and that of other collections: name=text."""
    migrations = {'users': MIGRATION, **more}
    for name, text in migrations.items():
        os.makedirs(os.path.join(folder, 'migrations', name))
        with open(os.path.join(folder, 'migrations', name, '0002_step.yaml'), 'w', encoding='utf-8') as f:
            f.write(text)
    with open(os.path.join(folder, 'eclose.yaml'), 'w', encoding='utf-8') as f:
        f.write('collections:\n' + ''.join(f'  {name}: {{unversioned: 1}}\n' for name in migrations))


def python_loop(users):
    batch = []
    for doc in users.find({'schema_version': 1}, batch_size=10000):
        batch.append(pymongo.ReplaceOne({'_id': doc['_id']}, upgrade(doc)))
        if len(batch) == 10000:
            users.bulk_write(batch, ordered=False)
            batch = []
    if batch:
        users.bulk_write(batch, ordered=False)
