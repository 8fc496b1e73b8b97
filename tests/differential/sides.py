"""The sides of the comparison: the engine as a process, a server as a collection of one document; and what equal means."""

import json
import math
import os
import struct
import subprocess

import bson
import pymongo
from bson import Decimal128, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.son import SON

OPTIONS = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

MISSING = type('Missing', (), {'__repr__': lambda self: 'missing'})()


class Failure:
    """What a side answers where the case is an error."""

    def __init__(self, code, message):
        self.code, self.message = code, message

    def __repr__(self):
        return f'error {self.code} ({self.message[:200]})'


class Broken(Exception):
    """The side itself is gone: crashed, or does not answer."""


class Engine:
    """build/tests/differential/engine"""

    name = 'engine'

    def __init__(self, build):
        self.program = os.path.join(build, 'tests', 'differential', 'engine')
        self.process = None

    def start(self):
        self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answer(self, case):
        if not self.process:
            self.start()
        try:
            self.process.stdin.write(bson.encode(case))
            self.process.stdin.flush()
            head = self.process.stdout.read(4)
            data = head + self.process.stdout.read(struct.unpack('<i', head)[0] - 4)
        except (OSError, struct.error) as error:
            status = self.process.wait(timeout=30)
            self.process = None
            raise Broken(f'the engine ended with status {status}') from error
        reply = bson.decode(data, OPTIONS)
        if 'message' in reply:
            return Failure(reply.get('code', 0), reply['message'])
        return reply.get('result', MISSING)

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait(timeout=30)
            self.process = None


class Server:
    """Evaluates on a collection of one document, which $replaceWith turns into that of the case."""

    def __init__(self, uri, name, database='eclose_differential'):
        self.name = name
        self.client = pymongo.MongoClient(uri, serverSelectionTimeoutMS=10000, socketTimeoutMS=20000)
        self.database = self.client[database].with_options(codec_options=OPTIONS)
        self.database['one'].replace_one({'_id': 1}, {'_id': 1}, upsert=True)

    def answer(self, case):
        pipeline = [{'$replaceWith': {'$literal': case.get('doc', {})}}]
        if 'expr' in case:
            pipeline.append({'$replaceWith': {'result': case['expr']}})
        elif 'pipeline' in case:
            pipeline += case['pipeline']
        elif 'filter' in case:
            pipeline.append({'$match': case['filter']})
        else:
            pipeline.append({'$match': {'$jsonSchema': case['schema']}})
        try:
            # Not Collection.aggregate: it looks into the pipeline, which may be ill formed.
            rows = self.database.command('aggregate', 'one', pipeline=pipeline, cursor={}, maxTimeMS=10000,
                                         codec_options=OPTIONS)['cursor']['firstBatch']
        except pymongo.errors.ExecutionTimeout as error:  # no answer: another time, or on another machine, it has one
            raise Broken(f'{self.name}: {error}') from error
        except pymongo.errors.OperationFailure as error:
            return Failure(error.code or 0, str((error.details or {}).get('errmsg', error)))
        except (bson.errors.BSONError, OverflowError) as error:
            return Failure(0, f'cannot be sent or read: {error}')
        except pymongo.errors.PyMongoError as error:
            raise Broken(f'{self.name}: {error}') from error
        if 'filter' in case or 'schema' in case:
            return bool(rows)
        if 'expr' in case:
            return rows[0].get('result', MISSING) if rows else MISSING
        return rows[0] if rows else MISSING

    def stop(self):
        self.client.close()


def equal(a, b, unordered=False, ulp=True):
    """The same type and value everywhere; with ulp, doubles and decimals that a library may round otherwise are equal."""
    if isinstance(a, Failure) or isinstance(b, Failure):
        return isinstance(a, Failure) and isinstance(b, Failure)
    if type(a) is not type(b) and not (isinstance(a, dict) and isinstance(b, dict)):
        return False
    if isinstance(a, float):
        if a == b:
            return math.copysign(1, a) == math.copysign(1, b)
        return (math.isnan(a) and math.isnan(b)) or (ulp and abs(a - b) <= 1e-13 * max(abs(a), abs(b)))
    if isinstance(a, Decimal128):
        if a.bid == b.bid:
            return True
        x, y = a.to_decimal(), b.to_decimal()
        if x.is_nan() or y.is_nan():
            return x.is_nan() and y.is_nan()
        return ulp and x.is_finite() and y.is_finite() and x != y and abs(x - y) <= abs(x).scaleb(-30)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k], unordered, ulp) for k in a)
    if isinstance(a, list):
        if len(a) != len(b):
            return False
        if unordered:
            rest = list(b)
            for x in a:
                for i, y in enumerate(rest):
                    if equal(x, y, True, ulp):
                        del rest[i]
                        break
                else:
                    return False
            return True
        return all(equal(x, y, unordered, ulp) for x, y in zip(a, b))
    return a == b


def text(value):
    """Canonical Extended JSON, or the error."""
    if value is MISSING or isinstance(value, Failure):
        return repr(value)
    return json.dumps(json_util._json_convert(value, CANONICAL), ensure_ascii=False)  # noqa: SLF001


CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL,
                                  datetime_conversion=DatetimeConversion.DATETIME_MS)


def from_json(line):
    """A line of tests/cases as values; the order of keys is kept."""
    return json_util.loads(line, json_options=json_util.JSONOptions(
        document_class=SON, tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_MS))
