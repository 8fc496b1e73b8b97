#!/usr/bin/env -S mongosh --nodb --quiet
// Phone numbers lose their blanks and dashes, and what was there is kept beside them.
//
// The token of the lease stands in each document that is written, and a write is done only where no larger one stands:
// whoever still writes under a lease that somebody else has by now changes nothing that the other one did.

const { ECLOSE_URI, ECLOSE_DATABASE, ECLOSE_DIRECTION, ECLOSE_TOKEN } = process.env;

db = new Mongo(ECLOSE_URI).getDB(ECLOSE_DATABASE);
const token = Long(ECLOSE_TOKEN);
const not_later = { $or: [{ fence: { $exists: false } }, { fence: { $lte: token } }] };

// In batches, each acknowledged by the majority before the next; the filter names what was read, so that a number that
// an application changed meanwhile is left alone.
function write(cursor, change) {
  let batch = [];
  let written = 0;
  const flush = () => {
    if (batch.length) {
      written += db.customers.bulkWrite(batch, { ordered: false, writeConcern: { w: 'majority' } }).modifiedCount;
      batch = [];
    }
  };

  while (cursor.hasNext()) {
    const customer = cursor.next();

    batch.push({ updateOne: { filter: { _id: customer._id, phone: customer.phone, ...not_later },
                              update: change(customer) } });
    if (batch.length === 500) {
      flush();
    }
  }
  flush();
  print(`${written} customers`);
}

function up() {
  write(db.customers.find({ phone: /[ -]/ }).sort({ _id: 1 }), (customer) => ({
    $set: { phone: customer.phone.replace(/[ -]/g, ''), phone_as_given: customer.phone, fence: token },
  }));
}

function down() {
  write(db.customers.find({ phone_as_given: { $exists: true } }).sort({ _id: 1 }), (customer) => ({
    $set: { phone: customer.phone_as_given, fence: token },
    $unset: { phone_as_given: '' },
  }));
}

({ up, down })[ECLOSE_DIRECTION]();
