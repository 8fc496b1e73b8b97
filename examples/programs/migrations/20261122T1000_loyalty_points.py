#!/usr/bin/env python3
"""A customer gets the points of all orders, once.

Points are added up here, and an order is marked with them in the same transaction, so that one that is killed goes on
where it was. Each transaction ends with a change of the lease's document where that still has our token: if somebody
else was granted the lease meanwhile (this process slept too long, its eclose was stopped), nothing of it is done. At its
end, because until it commits nobody else can take or renew the lease; and short, because a renewal on the way (each third
of the lease's time, so every ten seconds) makes it begin again. And the lease knows our session: whoever is granted
it after we were killed ends the transaction that we left open, which the server would keep for a minute.
"""

import os
import sys

import pymongo

client = pymongo.MongoClient(os.environ['ECLOSE_URI'])
db = client[os.environ['ECLOSE_DATABASE']]
token = int(os.environ['ECLOSE_TOKEN'])


def lease_is_ours(session):
    """A real change each time: only that makes two who both believe to hold it meet."""
    lease = db.eclose_lease.update_one({'_id': 'migrations', 'token': token}, {'$inc': {'touched': 1}}, session=session)
    if lease.matched_count != 1:
        sys.exit('the lease is no longer ours')


def each(orders, change):
    """The orders of a query in batches, each batch in a transaction of its own."""
    done = 0
    with client.start_session() as session:
        db.eclose_lease.update_one({'_id': 'migrations', 'token': token},
                                   {'$addToSet': {'sessions': session.session_id['id']}})
        while batch := list(db.orders.find(orders).sort('_id', 1).limit(100)):
            def carry(session, batch=batch):
                for order in batch:
                    change(order, session)
                lease_is_ours(session)

            session.with_transaction(carry)
            done += len(batch)
            print(f'{done} orders', flush=True)


def up():
    def give(order, session):
        # Between the query and this somebody else may have been here: only who marks the order gives the points.
        points = int(order['total'] // 10)
        marked = db.orders.update_one({'_id': order['_id'], 'points': None}, {'$set': {'points': points}},
                                      session=session)
        if marked.modified_count:
            db.customers.update_one({'_id': order['customer']}, {'$inc': {'points': points}}, session=session)

    each({'points': None}, give)


def down():
    def take(order, session):
        unmarked = db.orders.update_one({'_id': order['_id'], 'points': order['points']}, {'$unset': {'points': ''}},
                                        session=session)
        if unmarked.modified_count:
            db.customers.update_one({'_id': order['customer']}, {'$inc': {'points': -order['points']}}, session=session)

    each({'points': {'$ne': None}}, take)


{'up': up, 'down': down}[os.environ['ECLOSE_DIRECTION']]()
