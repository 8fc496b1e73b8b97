"""Several routers of a sharded cluster, as far as they can be seen without one: relays before one server that say that
they are routers. A cursor, and a transaction, is known to the one alone that began it."""

import contextlib
import re

import pytest
from relay import Relay
from works import put, size

CART = '''to: 1
description: d
up:
  - $set: {n: {$map: {input: $items, in: $$this.n}}}
'''


class Router(Relay):
    """ends_after: commands, behind which it goes away."""

    def __init__(self, uri):
        super().__init__(uri)
        self.opened, self.strange, self.seen, self.ends_after = set(), [], 0, None
        self.change(self._answer)

    def _answer(self, command, answer):
        if 'maxWireVersion' in answer:
            kept = {k: v for k, v in answer.items() if k not in ('setName', 'setVersion', 'hosts', 'me', 'primary',
                                                                 'electionId', 'secondary', 'topologyVersion')}
            return dict(kept, msg='isdbgrid')
        if command is None:
            return None
        self.seen += 1
        if self.ends_after and self.seen == self.ends_after:
            self.refuse()
        if command.name == 'getMore' and command.document['getMore'] not in self.opened:
            self.strange.append(command.document)
            return {'ok': 0.0, 'code': 43, 'codeName': 'CursorNotFound', 'errmsg': 'another router knows it'}
        self.opened.add(answer.get('cursor', {}).get('id'))
        return None


@pytest.fixture
def routers(server, eclose):
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(Router(server.uri)) for _ in range(2)]
        ports = [re.search(r':(\d+)', r.uri.split('//')[1]).group(1) for r in both]
        eclose.env['ECLOSE_URI'] = 'mongodb://' + ','.join(f'127.0.0.1:{port}' for port in ports) + '/'
        yield both


def fill(eclose, server, db):
    put(eclose.folder, 'eclose.yaml', 'version_field: v\n')
    put(eclose.folder, 'migrations/carts/0001_n.yaml', CART)
    n = size(server, 2000)
    db.carts.insert_many([{'_id': i, 'items': [{'n': i}]} for i in range(n)])
    return n


def is_done(db, n):
    return db.carts.count_documents({'v': 1, '$expr': {'$eq': ['$n', ['$_id']]}}) == n


@pytest.mark.parametrize('mode', ['pushdown', 'client'])
def test_cursors_stay_with_their_router(eclose, server, db, routers, mode):
    n = fill(eclose, server, db)
    eclose('up', 'carts', '--mode', mode, rc=0)
    assert is_done(db, n)
    eclose('verify', 'carts', '--all', rc=0)
    assert not routers[0].strange + routers[1].strange


def test_a_router_that_goes_away(eclose, server, db, routers):
    n = fill(eclose, server, db)
    for router in routers:
        router.ends_after = 10**9
    routers[0].ends_after = routers[1].ends_after = 40
    first = []

    def once(router):
        refuse = router.refuse

        def go():
            if not first:
                first.append(router)
                refuse()
        return go

    for router in routers:
        router.refuse = once(router)
    eclose('up', 'carts', '--mode', 'client', '--batch-time', '1', rc=0)
    assert first and is_done(db, n)
