"""Random documents, pipelines and filters, drawn from the table of operators.

Expressions are made for a kind of value that is wanted, so that most of them are well typed; one argument in a dozen is
of any kind. An operator that SIGNATURES does not know is called with arguments of any kind: a new row of the table
takes part at once.
"""

import datetime

from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

ANY = 'number string array object date bool null'.split()

INTS = [0, 1, -1, 2, 3, 5, 7, 10, 100, -13, 2**31 - 1, -2**31]
LONGS = [Int64(n) for n in (0, 1, -1, 3, 2**31, -2**31 - 1, 2**53 + 1, 2**63 - 1, -2**63)]
DOUBLES = [0.0, -0.0, 1.0, 0.5, -1.5, 2.5, 3.7, 1e10, 1e300, 1e-300, 0.1, 9007199254740992.0, 9.3e18,
           float('inf'), float('-inf'), float('nan')]
DECIMALS = [Decimal128(t) for t in ('0', '-0', '1', '1.50', '0.1', '-2.5', '1E+3', '1E-10', '9999999999999999999999',
                                    'NaN', 'Infinity', '-Infinity', '9.999999999999999999999999999999999E+6144')]
STRINGS = ['', 'a', 'abc', 'A b', ' a b ', 'hello world', 'a,b,,c', 'aXbXa', '12', '-3.5', '1e3', 'true', '2017-07-04',
           '2017-07-04T11:56:02.813Z', '5ab9cbfa31c2ab715d42129e', 'café', 'naïve é', '日本語', '😀 x', '$a', 'a.b', 'x\0y',
           '.*', 'month', 'zZ', '123e4567-e89b-12d3-a456-426614174000', '\t\n a\u00a0']
DATES = [DatetimeMS(n) for n in (0, 1, -1, 1499169362813, 1483228799999, 951782400000, -86400001, 4102444800000,
                                 1490488200000, -62135596800000, 253402300799999)]
OTHERS = [ObjectId('5ab9cbfa31c2ab715d42129e'), Timestamp(7, 2), Regex('a.', 'i'), Binary(b'abc', 0), MinKey(), MaxKey(),
          Binary(bytes(range(16)), 4), Timestamp(2**32 - 1, 0)]
UNITS = ['year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second', 'millisecond']
ZONES = ['UTC', 'Europe/Paris', 'America/New_York', '+05:30', '-0330', 'Asia/Kathmandu', '+02']
FORMATS = ['%Y-%m-%d', '%H:%M:%S.%L', '%j %w %U', '%G-W%V-%u', '%z %Z', '%d.%m.%Y %%', '']

# kind -> fields of a document that hold it
FIELDS = {
    'number': ['i', 'l', 'f', 'm', 'o.x', 'n0'],
    'int': ['n0', 'n1'],
    'string': ['s', 's1', 'o.s'],
    'array': ['v', 'w', 'ns', 'o.v', 'os.x'],
    'numbers': ['ns', 'os.x'],
    'strings': ['ss'],
    'objects': ['os'],
    'object': ['o', 'o.o'],
    'date': ['d', 'd1'],
    'bool': ['t'],
    'null': ['nil', 'none', 'o.none', 's.x'],
    'timestamp': ['ts'],
    'any': ['i', 'l', 'f', 'm', 's', 'v', 'w', 'ns', 'ss', 'os', 'o', 'd', 't', 'nil', 'none', 'q', 'os.x', 'o.v.x', '_id'],
}

# operator -> (kind of the result, kinds of the arguments). '?' begins the arguments that may be left out; '*' repeats
# the last one. Named arguments stand as name=kind, with ? before a name that may be left out.
SIGNATURES = {
    **{f'${n}': ('number', ['number']) for n in
       'abs ceil exp floor ln log10 sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh '
       'degreesToRadians radiansToDegrees'.split()},
    '$add': ('number', ['number', '*']), '$multiply': ('number', ['number', '*']),
    '$subtract': ('number', ['number', 'number']), '$divide': ('number', ['number', 'number']),
    '$mod': ('number', ['number', 'number']), '$pow': ('number', ['number', 'exponent']),
    '$log': ('number', ['number', 'number']), '$atan2': ('number', ['number', 'number']),
    '$round': ('number', ['number', '?', 'int']), '$trunc': ('number', ['number', '?', 'int']),
    '$bitAnd': ('number', ['int', '*']), '$bitOr': ('number', ['int', '*']), '$bitXor': ('number', ['int', '*']),
    '$bitNot': ('number', ['int']),
    '$arrayElemAt': ('any', ['array', 'int']), '$concatArrays': ('array', ['array', '*']),
    '$first': ('any', ['array']), '$last': ('any', ['array']), '$in': ('bool', ['any', 'array']),
    '$indexOfArray': ('number', ['array', 'any', '?', 'small', 'small']), '$isArray': ('bool', ['any']),
    '$range': ('numbers', ['bound', 'bound', '?', 'step']), '$reverseArray': ('array', ['array']),
    '$size': ('number', ['array']), '$slice': ('array', ['array', 'int', '?', 'small']),
    '$firstN': ('array', {'input': 'array', 'n': 'count'}), '$lastN': ('array', {'input': 'array', 'n': 'count'}),
    '$maxN': ('array', {'input': 'array', 'n': 'count'}), '$minN': ('array', {'input': 'array', 'n': 'count'}),
    '$zip': ('array', {'inputs': ('list', 'array')}),
    '$and': ('bool', ['any', '*']), '$or': ('bool', ['any', '*']), '$not': ('bool', ['any']),
    **{f'${n}': ('bool', ['same', 'same']) for n in 'eq ne gt gte lt lte'.split()}, '$cmp': ('number', ['same', 'same']),
    '$ifNull': ('any', ['any', 'any', '?', 'any']), '$binarySize': ('number', ['string']),
    '$bsonSize': ('number', ['object']),
    '$dateAdd': ('date', {'startDate': 'date', 'unit': 'unit', 'amount': 'small', '?timezone': 'zone'}),
    '$dateSubtract': ('date', {'startDate': 'date', 'unit': 'unit', 'amount': 'small', '?timezone': 'zone'}),
    '$dateDiff': ('number', {'startDate': 'date', 'endDate': 'date', 'unit': 'unit', '?timezone': 'zone'}),
    '$dateTrunc': ('date', {'date': 'date', 'unit': 'unit', '?binSize': 'count', '?timezone': 'zone'}),
    '$dateFromParts': ('date', {'year': 'year', '?month': 'small', '?day': 'small', '?hour': 'small', '?minute': 'small',
                                '?second': 'small', '?millisecond': 'small', '?timezone': 'zone'}),
    '$dateFromString': ('date', {'dateString': 'datestring', '?timezone': 'zone', '?onError': 'any', '?onNull': 'any'}),
    '$dateToParts': ('object', {'date': 'date', '?timezone': 'zone', '?iso8601': 'bool'}),
    '$dateToString': ('string', {'date': 'date', '?format': 'format', '?timezone': 'zone', '?onNull': 'any'}),
    **{f'${n}': ('number', ['date']) for n in
       'dayOfMonth dayOfWeek dayOfYear hour isoDayOfWeek isoWeek isoWeekYear millisecond minute month second week '
       'year'.split()},
    '$arrayToObject': ('object', ['pairs']), '$objectToArray': ('objects', ['object']),
    '$getField': ('any', {'field': 'key', 'input': 'object'}),
    '$setField': ('object', {'field': 'key', 'input': 'object', 'value': 'any'}),
    '$unsetField': ('object', {'field': 'key', 'input': 'object'}),
    '$mergeObjects': ('object', ['object', '*']),
    '$allElementsTrue': ('bool', ['array']), '$anyElementTrue': ('bool', ['array']),
    '$setDifference': ('set', ['array', 'array']), '$setEquals': ('bool', ['array', 'array']),
    '$setIntersection': ('set', ['array', '*']), '$setIsSubset': ('bool', ['array', 'array']),
    '$setUnion': ('set', ['array', '*']),
    '$concat': ('string', ['string', '*']), '$split': ('strings', ['string', 'separator']),
    '$indexOfBytes': ('number', ['string', 'separator', '?', 'count', 'count']),
    '$indexOfCP': ('number', ['string', 'separator', '?', 'count', 'count']),
    **{f'${n}': ('string', {'input': 'string', '?chars': 'separator'}) for n in 'trim ltrim rtrim'.split()},
    '$regexFind': ('object', {'input': 'string', 'regex': 'pattern', '?options': 'options'}),
    '$regexFindAll': ('objects', {'input': 'string', 'regex': 'pattern', '?options': 'options'}),
    '$regexMatch': ('bool', {'input': 'string', 'regex': 'pattern', '?options': 'options'}),
    '$replaceOne': ('string', {'input': 'string', 'find': 'separator', 'replacement': 'string'}),
    '$replaceAll': ('string', {'input': 'string', 'find': 'separator', 'replacement': 'string'}),
    '$strLenBytes': ('number', ['string']), '$strLenCP': ('number', ['string']),
    '$strcasecmp': ('number', ['text', 'text']), '$toLower': ('string', ['text']), '$toUpper': ('string', ['text']),
    **{f'${n}': ('string', ['text', 'count', 'small']) for n in 'substr substrBytes substrCP'.split()},
    '$convert': ('any', {'input': 'any', 'to': 'type', '?onError': 'any', '?onNull': 'any'}),
    '$isNumber': ('bool', ['any']), '$type': ('string', ['any']), '$toBool': ('bool', ['any']),
    '$toDate': ('date', ['datelike']), '$toDecimal': ('number', ['text']), '$toDouble': ('number', ['text']),
    '$toInt': ('number', ['text']), '$toLong': ('number', ['text']), '$toString': ('string', ['any']),
    '$toObjectId': ('any', ['string']), '$toUUID': ('any', ['string']),
    '$tsIncrement': ('number', ['timestamp']), '$tsSecond': ('number', ['timestamp']),
    **{f'${n}': ('number', ['numbers']) for n in 'avg sum stdDevPop stdDevSamp'.split()},
    '$min': ('any', ['array']), '$max': ('any', ['array']),
    '$median': ('number', {'input': 'numbers', 'method': ('exactly', 'approximate')}),
    '$percentile': ('numbers', {'input': 'numbers', 'p': ('exactly', [0, 0.25, 1]), 'method': ('exactly', 'approximate')}),
}

# Which kinds serve for which.
SERVES = {'number': {'number', 'int'}, 'array': {'array', 'numbers', 'strings', 'objects', 'set'},
          'text': {'string', 'number', 'date'}}

# The results of these are sets: the order of elements says nothing.
UNORDERED = {'$setUnion', '$setIntersection', '$setDifference'}


class Generator:
    def __init__(self, rng, table):
        self.rng = rng
        self.table = table
        self.by_kind = {}
        for row in table:
            kind = SIGNATURES.get(row['name'], ('any', None))[0]
            self.by_kind.setdefault(kind, []).append(row)
        for kind, of in SERVES.items():
            self.by_kind[kind] = [row for other in sorted(of | {kind}) for row in self.by_kind.get(other, [])]
        self.variables = []

    # ---- values

    def pick(self, values):
        return values[self.rng.randrange(len(values))]

    def number(self):
        return self.pick(self.pick([INTS, INTS, LONGS, DOUBLES, DECIMALS]))

    def value(self, kind, depth=2):
        r = self.rng
        if kind == 'any':
            kind = self.pick(['number', 'number', 'string', 'string', 'array', 'object', 'date', 'bool', 'null', 'other'])
        if kind == 'text':
            kind = self.pick(['string', 'string', 'number', 'date'])
        if kind in ('number', 'same'):
            return self.number()
        if kind == 'int':
            return self.pick([INTS, LONGS][r.randrange(2)]) if r.random() < .4 else r.randrange(-5, 12)
        if kind in ('small', 'bound'):
            return r.randrange(-6, 15)
        if kind == 'exponent':
            return self.pick([0, 1, 2, 3, -1, -2, 10, 0.5, Int64(5), 1.0, Decimal128('2')])
        if kind in ('count', 'step'):
            return r.randrange(1, 6)
        if kind == 'year':
            return r.choice([1, 1969, 1970, 2000, 2017, 2024, 9999])
        if kind == 'string':
            return self.pick(STRINGS)
        if kind == 'separator':
            return self.pick(['a', ',', ' ', 'X', 'b', 'é', 'aX', 'zz', 'l'])
        if kind == 'key':
            return self.pick(['a', 'x', 's', 'o', 'zz', 'v'])
        if kind == 'datestring':
            return self.pick(['2017-07-04', '2017-07-04T11:56:02.813Z', '2017-07-04T11:56:02', '2017-07-04T11:56:02+0500',
                              '2017-02-08T12:10:40.787', 'x', '', '2017-13-01', 'July 4th, 2017'])
        if kind == 'unit':
            return self.pick(UNITS)
        if kind == 'zone':
            return self.pick(ZONES)
        if kind == 'format':
            return self.pick(FORMATS)
        if kind == 'pattern':
            return self.pick(['a', '^a', 'b$', '[a-c]+', '(a)|(X)', '\\w+', '.', 'é', '', 'l+', Regex('A', 'i')])
        if kind == 'options':
            return self.pick(['', 'i', 'm', 's', 'x', 'im'])
        if kind == 'type':
            return self.pick(['double', 'string', 'bool', 'date', 'int', 'long', 'decimal', 'objectId', 1, 2, 8, 9, 16, 18])
        if kind == 'bool':
            return r.random() < .5
        if kind == 'null':
            return None
        if kind in ('date', 'datelike'):
            return self.pick(DATES)
        if kind == 'timestamp':
            return Timestamp(r.randrange(2**32), r.randrange(9))
        if kind == 'other':
            return self.pick(OTHERS)
        if kind == 'numbers':
            return [self.number() if r.random() < .9 else 'x' for _ in range(r.randrange(6))]
        if kind == 'strings':
            return [self.pick(STRINGS) for _ in range(r.randrange(4))]
        if kind == 'objects':
            return [self.value('object', depth - 1) for _ in range(r.randrange(4))]
        if kind == 'pairs':
            pairs = [(self.pick(['a', 'b', 'a.b', 'x']), self.value('any', 1)) for _ in range(r.randrange(4))]
            return [[k, v] for k, v in pairs] if r.random() < .5 else [{'k': k, 'v': v} for k, v in pairs]
        if kind in ('array', 'set'):
            if depth <= 0:
                return []
            return [self.value('any', depth - 1) for _ in range(r.randrange(5))]
        if kind == 'object':
            keys = r.sample(['a', 'x', 's', 'o', 'v', 'y'], r.randrange(4))
            return {k: self.value('any', depth - 1) if depth > 0 else 1 for k in keys}
        raise ValueError(kind)

    def document(self):
        def maybe(value, kind):
            if self.rng.random() < .07:
                return self.value('any')
            return value if value is not None else self.value(kind)

        o = {'x': self.number(), 's': self.pick(STRINGS), 'v': self.value('array'), 'o': self.value('object', 1)}
        whole = {
            '_id': 1, 'i': maybe(self.pick(INTS), 'int'), 'l': maybe(self.pick(LONGS), 'int'),
            'f': maybe(self.pick(DOUBLES), 'number'), 'm': maybe(self.pick(DECIMALS), 'number'),
            'n0': maybe(self.rng.randrange(-3, 9), 'int'), 'n1': maybe(self.rng.randrange(0, 3), 'int'),
            's': maybe(None, 'string'), 's1': maybe(None, 'string'), 'v': maybe(None, 'array'), 'w': maybe(None, 'array'),
            'ns': maybe(None, 'numbers'), 'ss': maybe(None, 'strings'), 'os': maybe(None, 'objects'), 'o': maybe(o, 'object'),
            'd': maybe(None, 'date'), 'd1': maybe(None, 'date'), 't': maybe(None, 'bool'), 'nil': None,
            'ts': maybe(None, 'timestamp'), 'q': self.pick(OTHERS),
        }
        for key in self.rng.sample(list(whole), self.rng.randrange(4)):
            if key != '_id':
                del whole[key]
        return whole

    # ---- expressions

    def constant(self, value):
        """A value as an expression that gives it."""
        def plain(v):
            if isinstance(v, str):
                return not v.startswith('$')
            if isinstance(v, list):
                return all(map(plain, v))
            return not isinstance(v, dict) or (bool(v) and all(plain(x) and '.' not in k and not k.startswith('$')
                                                               for k, x in v.items()))
        return value if plain(value) else {'$literal': value}

    def expression(self, kind, depth):
        r = self.rng
        if isinstance(kind, tuple):
            if kind[0] == 'exactly':
                return kind[1]
            return [self.expression(kind[1], depth - 1) for _ in range(r.randrange(1, 4))]
        if kind == 'same':
            kind = self.pick(['number', 'number', 'string', 'any'])
        if kind == 'datelike':
            kind = self.pick(['date', 'datestring', 'number'])
        if kind in ('exponent', 'bound', 'step'):
            return self.value(kind)  # only these: a server may compute a billion digits, or hold a billion numbers
        if r.random() < .04:
            kind = 'any'
        if self.variables and r.random() < .35:
            name = self.pick(self.variables)
            return name + self.pick(['', '', '', '.x'])
        if depth > 0 and r.random() < .75 and kind in self.by_kind or (kind == 'any' and depth > 0 and r.random() < .5):
            rows = self.by_kind[kind] if kind != 'any' else self.table
            if r.random() < .25:
                return self.control(kind, depth)
            return self.call(self.pick(rows), depth)
        if kind in FIELDS and r.random() < .65:
            return '$' + self.pick(FIELDS[kind])
        if kind == 'object' and r.random() < .4:
            return {k: self.expression('any', depth - 1) for k in r.sample(['a', 'b', 'x'], r.randrange(1, 3))}
        if kind == 'array' and r.random() < .4:
            return [self.expression('any', depth - 1) for _ in range(r.randrange(4))]
        return self.constant(self.value(kind))

    def control(self, kind, depth):
        """What any kind may come from."""
        which = self.rng.randrange(6)
        sub = depth - 1
        if which == 0:
            return {'$cond': [self.expression('bool', sub), self.expression(kind, sub), self.expression(kind, sub)]}
        if which == 1:
            return {'$ifNull': [self.expression(kind, sub), self.expression(kind, sub)]}
        if which == 2:
            branches = [{'case': self.expression('bool', sub), 'then': self.expression(kind, sub)}
                        for _ in range(self.rng.randrange(1, 3))]
            return {'$switch': {'branches': branches, 'default': self.expression(kind, sub)}}
        if which == 3:
            return {'$let': {'vars': {'p': self.expression('any', sub)}, 'in': self.within(['$$p'], kind, sub)}}
        if which == 4:
            return {'$reduce': {'input': self.expression('array', sub), 'initialValue': self.expression(kind, sub),
                                'in': self.within(['$$this', '$$value'], kind, sub)}}
        if kind in ('array', 'any'):
            other = self.pick(['$map', '$filter', '$sortArray'])
            if other == '$map':
                return {'$map': {'input': self.expression('array', sub), 'in': self.within(['$$this'], 'any', sub)}}
            if other == '$filter':
                return {'$filter': {'input': self.expression('array', sub), 'cond': self.within(['$$this'], 'bool', sub)}}
            return {'$sortArray': {'input': self.expression('array', sub),
                                   'sortBy': self.pick([1, -1, {'x': 1}, {'x': -1, 's': 1}])}}
        return {'$arrayElemAt': [[self.expression(kind, sub)], 0]}

    def within(self, names, kind, depth):
        self.variables += names
        made = self.expression(kind, depth)
        del self.variables[-len(names):]
        return made

    def call(self, row, depth):
        name = row['name']
        if name in ('$literal', '$const'):
            return {name: self.value('any')}
        if name not in SIGNATURES:
            if row['named'] or row['max'] == 0:
                return self.control('any', depth)
            n = self.rng.randrange(row['min'], max(row['max'], row['min'] + 2) + 1)
            return {name: [self.expression('any', depth - 1) for _ in range(n)]}
        wanted = SIGNATURES[name][1]
        if isinstance(wanted, dict):
            args = {}
            for key, kind in wanted.items():
                if not key.startswith('?') or self.rng.random() < .4:
                    args[key.lstrip('?')] = self.expression(kind, depth - 1)
            return {name: args}
        args, optional = [], False
        for kind in wanted:
            if kind == '?':
                optional = True
            elif kind == '*':
                args += [self.expression(wanted[0], depth - 1) for _ in range(self.rng.randrange(3))]
            elif not optional or self.rng.random() < .5:
                args.append(self.expression(kind, depth - 1))
            else:
                break
        if len(args) == 1 and self.rng.random() < .5 and not isinstance(args[0], list):
            return {name: args[0]}
        return {name: args}

    # ---- cases

    def path(self):
        return self.pick(['i', 's', 'v', 'o', 'o.x', 'o.new', 'o.o.a', 'os.x', 'os.new', 'new', 'new.er', 'v.x', 's.x', 't', 'nil.x'])

    def stage(self, depth):
        which = self.rng.randrange(8)
        paths = []
        for path in (self.path() for _ in range(self.rng.randrange(1, 4))):
            if not any(path == p or path.startswith(p + '.') or p.startswith(path + '.') for p in paths):
                paths.append(path)
        if which < 3:
            return {'$set': {p: self.expression('any', depth) for p in paths}}
        if which == 3:
            return {'$unset': paths}
        if which == 4:
            return {'$project': {p: 0 for p in paths}}
        if which == 5:
            return {'$project': {p: 1 if self.rng.random() < .6 else self.expression('any', depth) for p in paths}}
        if which == 6:
            return {'$replaceWith': self.expression('object', depth)}
        return {'$set': {paths[0]: {'k': self.expression('any', depth), 'l': {'m': self.expression('any', 0)}}}}

    def condition(self, depth):
        r = self.rng
        which = r.randrange(16)
        if which < 6:
            return {self.pick(['$eq', '$ne', '$gt', '$gte', '$lt', '$lte']): self.value('any')}
        if which == 6:
            return {self.pick(['$in', '$nin']): [self.value('any') for _ in range(r.randrange(4))]}
        if which == 7:
            return {'$exists': r.random() < .5}
        if which == 8:
            return {'$type': self.pick(['number', 'string', 'array', 'object', 'date', 'null', 'bool', 'int', ['long', 'double'], 2, 16])}
        if which == 9:
            return {'$mod': [self.value('step'), r.randrange(3)]}
        if which == 10:
            return {'$regex': self.pick(['a', '^a', 'b$', 'é', '[A-Z]']), '$options': self.pick(['', 'i', 's'])}
        if which == 11:
            return {'$all': [self.value('any') for _ in range(r.randrange(1, 3))]}
        if which == 12 and depth > 0:
            return {'$elemMatch': self.filter(depth - 1) if r.random() < .5 else self.condition(0)}
        if which == 13:
            return {'$size': r.randrange(5)}
        if which == 14 and depth > 0:
            return {'$not': self.condition(depth - 1)}
        return {self.pick(['$bitsAllSet', '$bitsAnySet', '$bitsAllClear', '$bitsAnyClear']): self.pick([0, 1, 5, [0, 2], [1]])}

    def filter(self, depth=2):
        r = self.rng
        which = r.randrange(8)
        if which == 0 and depth > 0:
            return {self.pick(['$and', '$or', '$nor']): [self.filter(depth - 1) for _ in range(r.randrange(1, 3))]}
        if which == 1 and depth > 0:
            return {'$expr': self.expression('bool', 2)}
        made = {}
        for _ in range(r.randrange(1, 3)):
            path = self.pick(['i', 'l', 'f', 'm', 's', 'v', 'w', 'ns', 'os', 'o', 'o.x', 'os.x', 'os.0.x', 'v.0', 'v.1.x', 'd', 't',
                              'nil', 'none', 'o.none', 'o.v.x', 'x', 'a', 'q'])
            value = self.value('any')
            made[path] = self.condition(depth) if r.random() < .8 or isinstance(value, dict) else value
        return made

    def case(self):
        """{expr|pipeline|filter: …, doc: …}"""
        which = self.rng.random()
        doc = self.document()
        if which < .6:
            row = self.pick(self.table)
            return {'expr': self.call(row, self.rng.randrange(1, 4)), 'doc': doc}
        if which < .75:
            return {'pipeline': [self.stage(2) for _ in range(self.rng.randrange(1, 4))], 'doc': doc}
        return {'filter': self.filter(), 'doc': doc}
