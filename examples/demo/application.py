"""An application that does not know about eclose: threads that read and change users all the time, and a journal.

Half of the threads are of the old release. They write for version 1: each write asks for schema_version: 1, and where
it finds nothing the user is read again (and is another release's business once it is at version 2). The other half is
of the new release and writes for version 2 in the same way. One thread of each release shares a slice of the users, so
that the order of all writes to one user is known: those of the old release, then those of the new one.

Every write that the server acknowledged is in the journal. lost() replays it on the users as they were at the start and
compares with what is stored: whatever is missing there was lost by somebody.
"""

import random
import threading

WORDS = 'Ariel Bo Cleo Dana Eli Fay Gus Hana Ivo Jun Kim Lea Max Noor Oda Pia Quin Rui Sol Tess'.split()


def user_v1(i, rng):
    user = {'_id': i, 'login': f'user{i}', 'schema_version': 1,
            'name': ' '.join(rng.choice(WORDS) for _ in range(1 + i % 3)),
            'phone': f'+45{rng.randrange(10**8):08d}', 'visits': 0, 'notes': []}
    if i % 10 == 8:
        del user['phone']
    if i % 10 == 9:
        del user['name']
    return user


def upgraded(user):
    """Version 2 of a user, by hand."""
    user = dict(user)
    words = user.pop('name', '').strip(' ').split(' ')
    phone = user.pop('phone', None)
    user['schema_version'] = 2
    user['last_name'] = words[-1]
    user['first_name'] = ' '.join(words[:-1]).strip(' ')
    user['contacts'] = [{'type': 'phone', 'value': phone}] if phone is not None else []
    return user


# What a thread writes: name of the operation, its filter beside _id and version, the update, and the same on a dict.

def visit(user):
    user['visits'] += 1


def note(user, text):
    user['notes'].append(text)


class Write:
    def __init__(self, update, replay, replacement=None):
        self.update, self.replay, self.replacement = update, replay, replacement


def write_v1(rng, user):
    kind = rng.randrange(5)
    if kind == 0:
        return Write({'$inc': {'visits': 1}}, visit)
    if kind == 1:
        name = f'{rng.choice(WORDS)} {rng.choice(WORDS)}{rng.randrange(1000)}'
        return Write({'$set': {'name': name}}, lambda u: u.__setitem__('name', name))
    if kind == 2:
        phone = f'+46{rng.randrange(10**8):08d}'
        return Write({'$set': {'phone': phone}}, lambda u: u.__setitem__('phone', phone))
    if kind == 3:
        text = f'old {rng.randrange(10**6)}'
        return Write({'$push': {'notes': text}}, lambda u: note(u, text))
    whole = dict(user, name=f'{rng.choice(WORDS)} Whole{rng.randrange(1000)}', visits=user['visits'] + 1)
    return Write(None, lambda u: (u.clear(), u.update(whole)), whole)


def write_v2(rng, _user):
    kind = rng.randrange(4)
    if kind == 0:
        return Write({'$inc': {'visits': 1}}, visit)
    if kind == 1:
        first = f'{rng.choice(WORDS)}{rng.randrange(1000)}'
        return Write({'$set': {'first_name': first}}, lambda u: u.__setitem__('first_name', first))
    if kind == 2:
        contact = {'type': 'mail', 'value': f'{rng.randrange(10**6)}@example.org'}
        return Write({'$push': {'contacts': contact}}, lambda u: u['contacts'].append(contact))
    text = f'new {rng.randrange(10**6)}'
    return Write({'$push': {'notes': text}}, lambda u: note(u, text))


class Application:
    def __init__(self, collection, n_users, pairs=2, seed=1):
        self.collection, self.n_users, self.pairs, self.seed = collection, n_users, pairs, seed
        self.start = {}                                   # users as they were loaded
        self.journal = {i: ([], []) for i in range(n_users)}  # acknowledged: of the old release, of the new one
        self.ends = {1: threading.Event(), 2: threading.Event()}
        self.threads = {1: [], 2: []}
        self.failures = []

    def load(self):
        rng = random.Random(self.seed)
        users = [user_v1(i, rng) for i in range(self.n_users)]
        self.start = {u['_id']: dict(u, notes=[]) for u in users}
        self.collection.insert_many(users)

    def run(self):
        for version in (1, 2):
            for k in range(self.pairs):
                thread = threading.Thread(target=self.work, args=(version, k), daemon=True)
                self.threads[version].append(thread)
                thread.start()

    def work(self, version, k):
        rng = random.Random(self.seed * 1000 + version * 100 + k)
        mine = range(k, self.n_users, self.pairs)
        try:
            while not self.ends[version].is_set():
                self.touch(version, rng, rng.choice(mine))
        except Exception as e:  # pylint: disable=broad-except
            self.failures.append(e)

    def touch(self, version, rng, i):
        """One read and one write; the write finds nothing where the user is of another version by then."""
        user = self.collection.find_one({'_id': i})
        if user is None:
            raise AssertionError(f'user {i} is gone')
        if user['schema_version'] != version:
            return
        write = (write_v1 if version == 1 else write_v2)(rng, user)
        asked = {'_id': i, 'schema_version': version}
        if write.replacement is not None:
            done = self.collection.replace_one(asked, write.replacement)
        else:
            done = self.collection.update_one(asked, write.update)
        if done.matched_count:
            self.journal[i][version - 1].append(write)

    def stop(self, version):
        self.ends[version].set()
        for thread in self.threads[version]:
            thread.join(timeout=60)
        if self.failures:
            raise self.failures[0]

    def writes(self):
        return sum(len(old) + len(new) for old, new in self.journal.values())

    def expected(self, i):
        old, new = self.journal[i]
        user = dict(self.start[i], notes=list(self.start[i]['notes']))
        for write in old:
            write.replay(user)
            user['notes'] = list(user['notes'])
        user = upgraded(user)
        for write in new:
            write.replay(user)
        return user

    def lost(self):
        """What is stored otherwise than the journal says, as lines of text; none is right."""
        lines, seen = [], set()
        for user in self.collection.find({}):
            i = user['_id']
            seen.add(i)
            wanted = self.expected(i)
            if user != wanted:
                differing = sorted(k for k in user.keys() | wanted.keys() if user.get(k) != wanted.get(k))
                lines.append(f'user {i}: ' + '; '.join(f'{k} is {user.get(k)!r}, the journal says {wanted.get(k)!r}'
                                                       for k in differing))
        lines += [f'user {i} is gone' for i in self.start.keys() - seen]
        return lines
