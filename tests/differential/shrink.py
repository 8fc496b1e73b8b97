"""Makes a case smaller while it still shows what it showed."""

import copy

SIMPLE = [None, 1, 'a', [], {}]


def size(value):
    if isinstance(value, dict):
        return 1 + sum(len(k) / 100 + size(v) for k, v in value.items())
    if isinstance(value, list):
        return 1 + sum(map(size, value))
    if value is None or value == 1 or value == 'a':
        return .5
    return 1 + (len(value) / 100 if isinstance(value, (str, bytes)) else 0)


def smaller(value, literal=False):
    """Values that could take the place of this one, nearer ones first."""
    if isinstance(value, dict):
        yield from value.values()
        for k, v in value.items():
            if isinstance(v, list):
                yield from v
        for key in list(value):
            if len(value) > 1:
                yield {k: v for k, v in value.items() if k != key}
    elif isinstance(value, list):
        for i in range(len(value)):
            yield value[:i] + value[i + 1:]
        yield from value
    elif isinstance(value, str) and len(value) > 1 and not value.startswith('$'):
        yield value[:len(value) // 2]
        yield value[len(value) // 2:]
        yield value[:-1]
        yield value[1:]
    yield from (v for v in SIMPLE if size(v) < size(value) or v is None)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from places(item, (*path, i))


def at(value, path):
    for step in path:
        value = value[step]
    return value


def put(value, path, new):
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = put(value[path[0]], path[1:], new)
    return value


def shrink(case, still, budget=600):
    """still(case) says whether it shows the same; at most budget questions are asked."""
    best = case
    progress = True
    while progress and budget > 0:
        progress = False
        # Fields of the document that are not needed go first: they are most of it.
        for key in list(best.get('doc', {})):
            trial = dict(best, doc={k: v for k, v in best['doc'].items() if k != key})
            budget -= 1
            if still(trial):
                best, progress = trial, True
        for path in sorted(places(best), key=len):
            if len(path) < 1 or budget <= 0:
                continue
            try:
                old = at(best, path)
            except (KeyError, IndexError, TypeError):
                continue
            for new in smaller(old):
                if len(path) == 1 and (type(new) is not type(old) and path[0] != 'expr'):
                    continue
                try:
                    trial = put(best, path, new)
                except (TypeError, KeyError, IndexError):
                    break  # the place is gone
                if size(trial) >= size(best):
                    continue
                budget -= 1
                good = still(trial)
                if good:
                    best, progress = trial, True
                    break
                if budget <= 0:
                    break
    return best
