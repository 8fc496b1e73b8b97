# Every problem of database migrations, each with its place; and files that are well.
mkdir -p migrations
echo 'database: x' > eclose.yaml
cat > migrations/20260101_bad.yaml <<'END'
description: [x]
up:
  - insert: {collection: a, document: {x: 1}}
  - insert: {collection: a, documents: [{_id: 1}, {x: 1}]}
  - updateMany: {collection: a, filter: {}, update: {$inc: {n: 1}}}
  - updateMany: {collection: a, filter: {n: 1}, update: {$inc: {n: 1}}}
  - updateMany: {collection: a, filter: {}, update: {$push: {n: 1}}}
    repeatable: true
  - updateMany: {collection: a, filter: {}, update: [{$set: {n: {$add: [$n, 1]}}}]}
  - updateMany: {collection: a, filter: {n: {$exists: true}}, update: [{$set: {m: $n}}, {$unset: n}]}
  - updateOne: {collection: a, filter: {done: false}, update: {$set: {done: true}}}
  - updateone: {collection: a}
  - updateOne: {colection: a, filter: 1, update: {}}
  - deleteOne: {collection: a, filter: {x: 1}}
  - renameCollection: {from: a, to: eclose_x}
  - command: {dropDatabase: 1}
  - command: {}
  - transaction:
      - createIndex: {collection: a, keys: {x: 1}}
      - insert: {collection: a, document: {x: 1}}
      - foreach: {find: a}
        do: [{deleteOne: {collection: b, filter: {_id: 1}}}]
  - foreach: {find: a, pipeline: []}
    let: {X: 1, y: $x, z: {$nope: 1}}
    do:
      - updateOne: {collection: b, filter: {_id: $$y}, update: {$set: {q: $$yy}}}
      - createIndex: {collection: b, keys: {x: 1}}
      - insert: {collection: b, document: $$y}
  - foreach: {find: a}
  - assert: {collection: a, filter: {}}
  - backfill: {collection: nobody, to: 3}
  - aggregate: {collection: a, pipeline: [{$match: {}}]}
  - bulkWrite: {collection: a, operations: [{insertOne: {document: {x: 1}}}, {updateOne: {filter: {}}}, {nope: {}}]}
  - wait: {collection: a, filter: {}, secs: 1}
  - wait: {collection: a}
  - validator: {collection: a, schema: {}, level: hard}
  - {}
  - 3
  - command: {shardCollection: shop.a, key: {_id: 1}}
    repeatable: because it is sharded or not
  - command: {ping: 1}
    database: local
  - insert: {collection: a, document: {_id: 1}}
    database: admin
downn: []
END
printf '#!/bin/sh\n' > migrations/20260101_bad.sh
chmod +x migrations/20260101_bad.sh
echo x > migrations/20260102_x.py
cp migrations/20260101_bad.sh migrations/reindex.sh
status 1 eclose lint
rm migrations/*
cat > migrations/20260101T1200_good.yaml <<'END'
description: all that may be repeated
up:
  - updateMany: {collection: a, filter: {n: {$exists: true}}, update: [{$set: {m: $n}}, {$unset: n}]}
  - updateMany: {collection: a, filter: {n: {$exists: true}}, update: {$rename: {n: m}}}
  - updateMany: {collection: a, filter: {seen: {$ne: 1}}, update: {$inc: {n: 1}, $set: {seen: 1}}}
  - updateMany: {collection: a, filter: {}, update: {$inc: {n: 1}}}
    repeatable: because n only says that something happened
  - transaction:
      - insert: {collection: a, document: {x: 1}}
      - updateOne: {collection: a, filter: {_id: 1}, update: {$inc: {n: 1}}}
  - aggregate: {collection: a, pipeline: [{$merge: {into: b}}]}
  - validator: {collection: b, schema: {required: [x]}, level: moderate, action: warn}
  - wait: {collection: a, filter: {busy: true}, seconds: 60}
  - assert: {collection: a, filter: {x: null}, max: 10, message: too many}
  - renameCollection: {from: b, to: c}
    repeatable: because nothing writes to b any more
  - command: {shardCollection: $$database.a, key: {_id: 1}}
    database: admin
    repeatable: because what is sharded this way already stays as it is
END
printf '#!/bin/sh\r\n' > migrations/20260102_program.sh
chmod +x migrations/20260102_program.sh
eclose lint
for example in merge-categories webhooks; do eclose lint --project "$SOURCE/examples/$example"; done
