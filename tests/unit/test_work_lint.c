/* What lint says of each kind of step: which can be repeated after a crash, which cannot, and why (src/project/
 * work_lint*.c). A table of steps; beside each what its one problem says, or NULL where there is none. */
#include "project_check.h"

typedef struct {
   const char *step;    /* behind "- " */
   const char *problem; /* a part of what is said; NULL: nothing */
} case_t;

#define MANY(filter, update) "updateMany: {collection: a, filter: " filter ", update: " update "}"
#define ONE(filter, update) "updateOne: {collection: a, filter: " filter ", update: " update "}"
#define MERGE(pipeline) "aggregate: {collection: a, pipeline: " pipeline "}"

#define OLD "is made from what the update itself changes"
#define TWICE "twice is not once"
#define HOLDS_NOT "still matches its filter"
#define ANOTHER "it would take another document"
#define AGAIN "inserted twice"
#define OWN "reads what it writes"
#define LATER "a later one changes"
#define BULK(a, b) "bulkWrite: {collection: a, operations: [" a ", " b "]}"
#define PART(filter, update) "{updateMany: {filter: " filter ", update: " update "}}"

static const case_t operators[] = {
   /* the same each time */
   {MANY ("{}", "{$set: {x: 1}}"), NULL},
   {MANY ("{}", "{$unset: {x: 1}}"), NULL},
   {MANY ("{}", "{$addToSet: {tags: new}, $pull: {tags: old}, $min: {a: 1}, $max: {b: 2}}"), NULL},
   {MANY ("{}", "{$currentDate: {seen: true}}"), NULL},
   {MANY ("{}", "{$bit: {flags: {or: 4}}}"), NULL},
   {MANY ("{'items.state': old}", "{$set: {'items.$[i].state': new}}"), NULL},
   {"updateMany: {collection: a, filter: {}, update: {$set: {'l.$[i].s': new}}, arrayFilters: [{i.s: old}]}", NULL},
   /* another one each time */
   {MANY ("{}", "{$inc: {n: 1}}"), TWICE},
   {MANY ("{}", "{$mul: {n: 2}}"), TWICE},
   {MANY ("{}", "{$push: {l: 1}}"), TWICE},
   {MANY ("{}", "{$pop: {l: 1}}"), TWICE},
   {MANY ("{}", "{$bit: {flags: {xor: 4}}}"), TWICE},
   {MANY ("{}", "{$rename: {n: m}}"), "what was written there since"},
   {MANY ("{'items.state': old}", "{$set: {'items.$.state': new}}"), "the next element"},
   {MANY ("{'items.id': 5}", "{$set: {'items.$.state': new}}"), NULL},
   {MANY ("{}", "{$inc: {n: 1}}") "\n    repeatable: because n only says that something happened", NULL},
   /* guards that guard */
   {MANY ("{seen: {$ne: 1}}", "{$inc: {n: 1}, $set: {seen: 1}}"), NULL},
   {MANY ("{seen: {$exists: false}}", "{$inc: {n: 1}, $set: {seen: true}}"), NULL},
   {MANY ("{seen: null}", "{$inc: {n: 1}, $set: {seen: true}}"), NULL},
   {MANY ("{seen: {$exists: false}}", "{$inc: {n: 1}, $currentDate: {seen: true}}"), NULL},
   {MANY ("{state: old}", "{$inc: {n: 1}, $set: {state: new}}"), NULL},
   {MANY ("{state: {$in: [a, b]}, x: 1}", "{$push: {log: 1}, $set: {state: c}}"), NULL},
   {MANY ("{version: {$lt: 2}}", "{$inc: {n: 1}, $set: {version: 2}}"), NULL},
   {MANY ("{'meta.v': {$lt: 2}}", "{$inc: {n: 1}, $set: {'meta.v': 2}}"), NULL},
   {MANY ("{'meta.v': {$lt: 2}}", "{$inc: {n: 1}, $set: {meta: {v: 2}}}"), NULL},
   {MANY ("{meta: {$exists: false}}", "{$inc: {n: 1}, $set: {'meta.v': 2}}"), NULL},
   {MANY ("{n: 1}", "{$inc: {n: 1}}"), NULL},
   {MANY ("{n: {$exists: false}}", "{$inc: {n: 1}}"), NULL},
   {MANY ("{n: {$exists: true}}", "{$rename: {n: m}}"), NULL},
   {MANY ("{old: {$type: string}}", "{$inc: {n: 1}, $unset: {old: 1}}"), NULL},
   {MANY ("{tags: {$ne: x}}", "{$push: {tags: x}}"), NULL},
   {MANY ("{tags: {$nin: [x]}}", "{$push: {tags: {$each: [x, y]}}, $inc: {n: 1}}"), NULL},
   {MANY ("{log.id: {$ne: 5}}", "{$push: {log: {id: 5, by: me}}, $inc: {n: 1}}"), NULL},
   {MANY ("{tags: x}", "{$pull: {tags: x}, $inc: {n: 1}}"), NULL},
   {MANY ("{$and: [{x: 1}, {seen: {$exists: false}}]}", "{$inc: {n: 1}, $set: {seen: 1}}"), NULL},
   {MANY ("{$or: [{s: 1}, {s: {$exists: false}}]}", "{$inc: {n: 1}, $set: {s: 2}}"), NULL},
   {MANY ("{$nor: [{s: 2}]}", "{$inc: {n: 1}, $set: {s: 2}}"), NULL},
   {MANY ("{s: {$not: {$gte: 2}}}", "{$inc: {n: 1}, $set: {s: 2}}"), NULL},
   {MANY ("{$expr: {$lt: [$s, 2]}}", "{$inc: {n: 1}, $set: {s: 2}}"), NULL},
   /* guards that do not */
   {MANY ("{n: {$exists: true}}", "{$inc: {n: 1}}"), HOLDS_NOT},
   {MANY ("{n: {$gte: 0}}", "{$inc: {n: 1}}"), HOLDS_NOT},
   {MANY ("{n: {$lt: 10}}", "{$inc: {n: 1}}"), HOLDS_NOT},
   {MANY ("{n: 1}", "{$inc: {n: 0}, $push: {l: 1}}"), HOLDS_NOT},
   {MANY ("{state: {$ne: done}}", "{$inc: {n: 1}, $set: {state: busy}}"), HOLDS_NOT},
   {MANY ("{state: {$in: [a, b]}}", "{$inc: {n: 1}, $set: {state: b}}"), HOLDS_NOT},
   {MANY ("{l: {$exists: true}}", "{$push: {l: 1}}"), HOLDS_NOT},
   {MANY ("{tags: x}", "{$push: {tags: x}}"), HOLDS_NOT},
   {MANY ("{tags: y}", "{$push: {tags: x}}"), HOLDS_NOT},
   {MANY ("{tags: {$ne: x}}", "{$push: {tags: {$each: [x], $slice: -5}}}"), HOLDS_NOT},
   {MANY ("{$or: [{s: 1}, {t: 1}]}", "{$inc: {n: 1}, $set: {s: 2}}"), HOLDS_NOT},
   {MANY ("{$expr: {$lt: [$s, $t]}}", "{$inc: {n: 1}, $set: {s: 2}}"), TWICE},
   {MANY ("{'a.b': {$exists: true}}", "{$inc: {n: 1}, $unset: {'a.b': 1}}"), "a list"},
   {"updateMany: {collection: a, filter: {s: old}, update: {$inc: {n: 1}, $set: {s: OLD}}, at_once: true, "
    "collation: {locale: en, strength: 1}}",
    HOLDS_NOT},
   /* one document of several */
   {ONE ("{done: false}", "{$set: {done: true}}"), ANOTHER},
   {ONE ("{_id: 1, done: false}", "{$set: {done: true}}"), NULL},
   {ONE ("{_id: 1}", "{$inc: {n: 1}}"), TWICE},
   {ONE ("{login: ariel}", "{$set: {name: Ariel}}"), NULL},
   {"deleteOne: {collection: a, filter: {x: 1}}", ANOTHER},
   {"replaceOne: {collection: a, filter: {x: 1}, replacement: {y: 1}}", ANOTHER},
   {"replaceOne: {collection: a, filter: {_id: 1}, replacement: {y: 1}, upsert: true}", NULL},
   {"deleteMany: {collection: a, filter: {x: 1}}", NULL},
   /* what an upsert does not find again */
   {"updateOne: {collection: a, filter: {_id: 1}, update: {$set: {x: 1}}, upsert: true}", NULL},
   {"updateOne: {collection: a, filter: {x: 5, done: {$ne: true}}, update: {$set: {done: true}}, upsert: true}",
    "does not find again"},
   {"replaceOne: {collection: a, filter: {_id: 1, s: old}, replacement: {s: new}, upsert: true}",
    "does not find again"},
   /* in a bulk, in a transaction */
   {"bulkWrite: {collection: a, operations: [{updateOne: {filter: {_id: 1}, update: {$inc: {n: 1}}}}]}", TWICE},
   {"transaction: [{updateMany: {collection: a, filter: {}, update: {$inc: {n: 1}}}}]", NULL},
   /* one after the other, and then both again */
   {BULK (PART ("{}", "[{$set: {b: $a}}]"), PART ("{}", "{$set: {a: 0}}")), LATER},
   {BULK (PART ("{}", "{$set: {a: 0}}"), PART ("{}", "[{$set: {b: $a}}]")), NULL},
   {BULK (PART ("{s: b}", "{$set: {s: c}}"), PART ("{s: a}", "{$set: {s: b}}")), LATER},
   {BULK (PART ("{s: a}", "{$set: {s: b}}"), PART ("{s: b}", "{$set: {s: c}}")), NULL},
   {BULK (PART ("{s: a}", "{$set: {x: 1}}"), PART ("{s: a}", "{$set: {s: b}}")), NULL},
   {BULK ("{deleteMany: {filter: {s: x}}}", PART ("{}", "{$set: {s: x}}")), LATER},
   {BULK ("{deleteMany: {filter: {s: x}}}", PART ("{s: y}", "{$set: {s: z}}")), NULL},
   {BULK (PART ("{}", "[{$set: {b: $a}}]"), PART ("{}", "{$set: {a: 0}}")) "\n    repeatable: because a is 0 anyway",
    NULL},
};

static const case_t pipelines[] = {
   /* the same each time */
   {MANY ("{}", "[{$set: {x: 1, l: []}}]"), NULL},
   {MANY ("{}", "[{$set: {full: {$concat: [$first, ' ', $last]}}}]"), NULL},
   {MANY ("{}", "[{$set: {total: {$sum: $lines.price}}}, {$unset: [tmp, old]}]"), NULL},
   {MANY ("{}", "[{$set: {t: {$add: [$a, 1]}}}, {$set: {b: {$multiply: [$t, 2]}}}, {$unset: t}]"), NULL},
   {MANY ("{}", "[{$set: {enabled: {$ifNull: [$enabled, true]}}}]"), NULL},
   {MANY ("{}", "[{$set: {email: {$toLower: $email}}}]"), NULL},
   {MANY ("{}", "[{$set: {email: {$toLower: {$trim: {input: $email}}}}}]"), NULL},
   {MANY ("{}", "[{$set: {email: {$toLower: $email}}}, {$set: {domain: {$split: [$email, '@']}}}]"), NULL},
   {MANY ("{}", "[{$set: {n: {$toInt: {$ifNull: [$n, 0]}}}}]"), NULL},
   {MANY ("{}", "[{$set: {a.zip: {$toString: $a.zip}}}]"), NULL},
   {MANY ("{}", "[{$set: {tags: {$setUnion: [$tags, [new]]}}}]"), NULL},
   {MANY ("{}", "[{$set: {tags: {$setUnion: [{$ifNull: [$tags, []]}, [new]]}}}]"), NULL},
   {MANY ("{}", "[{$set: {tags: {$cond: [{$isArray: $tags}, $tags, [$tags]]}}}]"), NULL},
   {MANY ("{}", "[{$set: {state: {$cond: [{$eq: [$state, old]}, new, $state]}}}]"), NULL},
   {MANY ("{}", "[{$set: {s: {$switch: {branches: [{case: {$eq: [$s, a]}, then: x}, {case: {$eq: [$s, b]}, then: y}], "
                "default: $s}}}}]"),
    NULL},
   {MANY ("{}", "[{$set: {l: {$filter: {input: $l, cond: {$gt: [$$this.n, 0]}}}}}]"), NULL},
   {MANY ("{}", "[{$set: {l: {$map: {input: $l, as: e, in: {$mergeObjects: [$$e, {done: true}]}}}}}]"), NULL},
   {MANY ("{}", "[{$set: {o: {$mergeObjects: [{a: 1}, $o]}}}]"), NULL},
   {MANY ("{}", "[{$replaceWith: {$mergeObjects: [{a: 1}, $$ROOT, {b: 2}]}}]"), NULL},
   {MANY ("{}", "[{$replaceWith: {_id: $_id, name: $name, full: {$concat: [$name, x]}}}]"), NULL},
   {MANY ("{}", "[{$project: {name: 1, full: {$concat: [$name, x]}}}]"), NULL},
   {MANY ("{}", "[{$project: {secret: 0}}]"), NULL},
   {MANY ("{}", "[{$set: {at: $$NOW}}]"), NULL},
   {MANY ("{}", "[{$set: {m: {$literal: $m}}}]"), NULL},
   {MANY ("{}", "[{$set: {m: {$ifNull: [$m, $n, null]}}}]"), NULL},
   {MANY ("{}", "[{$set: {m: {$ifNull: [$m, $n, 0]}}}, {$unset: n}]"), NULL},
   /* another one each time */
   {MANY ("{}", "[{$set: {n: {$add: [$n, 1]}}}]"), OLD},
   {MANY ("{}", "[{$set: {m: $n}}, {$unset: n}]"), OLD},
   {MANY ("{x: 1}", "[{$set: {m: $n}}, {$unset: n}]"), OLD},
   {MANY ("{}", "[{$set: {m: $$ROOT.n}}, {$unset: n}]"), OLD},
   {MANY ("{}", "[{$set: {m: $$CURRENT.n}}, {$unset: n}]"), OLD},
   {MANY ("{}", "[{$set: {m: {$getField: n}}}, {$unset: n}]"), OLD},
   {MANY ("{}", "[{$set: {m: {$getField: {field: n, input: $$ROOT}}}}, {$unset: n}]"), OLD},
   {MANY ("{}", "[{$set: {m: {$getField: {field: $which, input: $$CURRENT}}}}]"), OLD},
   {MANY ("{}", "[{$set: {backup: $$ROOT}}]"), OLD},
   {MANY ("{}", "[{$set: {a: $b, b: $a}}]"), OLD},
   {MANY ("{}", "[{$set: {t: $a}}, {$set: {a: $b}}, {$set: {b: $t}}, {$unset: t}]"), OLD},
   {MANY ("{}", "[{$set: {a: {b: $a}}}]"), OLD},
   {MANY ("{}", "[{$set: {a: [$a]}}]"), OLD},
   {MANY ("{}", "[{$set: {a: {$concatArrays: [$a, [1]]}}}]"), OLD},
   {MANY ("{}", "[{$set: {email: {$toLower: $email}, domain: {$split: [$email, '@']}}}]"), OLD},
   {MANY ("{}", "[{$set: {n: {$toInt: $n}}}, {$set: {m: $n}}, {$unset: n}]"), OLD},
   {MANY ("{}", "[{$set: {s: {$switch: {branches: [{case: {$eq: [$s, a]}, then: b}, {case: {$eq: [$s, b]}, then: c}], "
                "default: $s}}}}]"),
    OLD},
   {MANY ("{}", "[{$set: {s: {$cond: [$flag, {$not: $s}, $s]}}}]"), OLD},
   {MANY ("{}", "[{$set: {flag: false, s: {$cond: [$flag, 1, $s]}}}]"), OLD},
   {MANY ("{}", "[{$set: {l: {$map: {input: $l, in: {$add: [$$this, 1]}}}}}]"), OLD},
   {MANY ("{}", "[{$set: {text: {$trim: {input: {$toLower: $text}, chars: ab}}}}]"), OLD},
   {MANY ("{}", "[{$set: {m: {$ifNull: [$m, $n]}}}, {$unset: n}]"), OLD},
   {MANY ("{}", "[{$project: {m: $n}}]"), OLD},
   {MANY ("{}", "[{$project: {n: 1, 'a.b': $n, c: $a}}]"), OLD},
   {MANY ("{}", "[{$replaceWith: $profile}]"), OLD},
   {MANY ("{}", "[{$replaceRoot: {newRoot: {name: $profile.name}}}]"), OLD},
   {MANY ("{}", "[{$replaceWith: {$mergeObjects: [$$ROOT, $profile, {profile: 1}]}}]"), OLD},
   {MANY ("{}", "[{$replaceWith: {old: $$ROOT}}]"), OLD},
   {MANY ("{}", "[{$set: {m: {$let: {vars: {v: $n}, in: $$v}}}}, {$unset: n}]"), OLD},
   /* guards that guard */
   {MANY ("{n: {$exists: true}}", "[{$set: {m: $n}}, {$unset: n}]"), NULL},
   {MANY ("{n: {$ne: null}}", "[{$set: {m: $n}}, {$unset: n}]"), NULL},
   {MANY ("{m: {$exists: false}}", "[{$set: {m: $n}}, {$unset: n}]"), NULL},
   {MANY ("{m: {$exists: false}}", "[{$set: {m: {$add: [$n, 1]}, c: {$add: [$c, 1]}}}]"), NULL},
   {MANY ("{done: {$ne: true}}", "[{$set: {a: $b, b: $a, done: true}}]"), NULL},
   {MANY ("{'a.b': {$exists: true}}", "[{$set: {c: $a.b}}, {$unset: a.b}]"), NULL},
   {MANY ("{name: {$type: string}}", "[{$project: {first: $name}}]"), NULL},
   {MANY ("{profile: {$exists: true}}", "[{$replaceWith: {name: $profile.name}}]"), NULL},
   {MANY ("{tag: {$type: string}}", "[{$set: {tag: {name: $tag}}}]"), NULL},
   {MANY ("{tag: {$type: [string, int, 1]}}", "[{$set: {tag.name: $tag}}]"), NULL},
   {MANY ("{a.tag: {$type: string}}", "[{$set: {a.tag.name: $a.tag, n: {$add: [$n, 1]}}}]"), NULL},
   /* guards that do not */
   {MANY ("{m: {$exists: false}}", "[{$set: {m: $n, c: {$add: [$c, 1]}}}]"), HOLDS_NOT},
   {MANY ("{n: {$exists: true}}", "[{$set: {n: {$add: [$n, 1]}}}]"), HOLDS_NOT},
   {MANY ("{m: {$exists: true}}", "[{$set: {m: $n}}, {$unset: n}]"), HOLDS_NOT},
   {MANY ("{state: old}", "[{$set: {state: $next, c: {$add: [$c, 1]}}}]"), HOLDS_NOT},
   {MANY ("{'f.done': {$ne: true}}", "[{$set: {f.done: true, c: {$add: [$c, 1]}}}]"), "a list"},
   {MANY ("{tag: {$type: [string, object]}}", "[{$set: {tag: {name: $tag}}}]"), HOLDS_NOT},
   {MANY ("{tag: {$type: 4}}", "[{$set: {tag: {name: $tag}}}]"), HOLDS_NOT},
   {MANY ("{tag: {$not: {$type: object}}}", "[{$set: {tag: {name: $tag}}}]"), HOLDS_NOT},
   {MANY ("{tag: {$type: string}}", "[{$set: {tag: {name: $tag}}}, {$set: {tag: $tag.name}}]"), HOLDS_NOT},
   {MANY ("{tag: {$type: string}}", "[{$unset: tag.name}, {$set: {c: {$add: [$c, 1]}}}]"), HOLDS_NOT},
   {MANY ("{done: {$exists: false}}", "[{$set: {done: 1, c: {$add: [$c, 1]}}}, {$unset: done}]"), HOLDS_NOT},
};

static const case_t aggregates[] = {
   {MERGE ("[{$merge: {into: b}}]"), NULL},
   {MERGE ("[{$merge: b}]"), NULL},
   {MERGE ("[{$out: b}]"), NULL},
   {MERGE ("[{$out: {db: other, coll: a}}]"), NULL},
   {MERGE ("[{$merge: {into: {db: other, coll: a}}}]"), NULL},
   {MERGE ("[{$group: {_id: $k, n: {$sum: 1}}}, {$merge: {into: b, whenMatched: replace}}]"), NULL},
   {MERGE ("[{$project: {_id: 0, k: 1}}, {$merge: {into: b, on: k, whenMatched: keepExisting}}]"), NULL},
   {MERGE ("[{$project: {_id: 0, k: 1}}, {$out: b}]"), NULL},
   {MERGE ("[{$unset: _id}, {$set: {_id: $k}}, {$merge: b}]"), NULL},
   {MERGE ("[{$replaceWith: {_id: $k}}, {$merge: b}]"), NULL},
   {MERGE ("[{$replaceWith: {$mergeObjects: [$sub, {_id: $k}]}}, {$merge: b}]"), NULL},
   {MERGE ("[{$merge: {into: b, whenMatched: [{$set: {n: $$new.n}}]}}]"), NULL},
   /* what it writes is what it reads */
   {MERGE ("[{$group: {_id: $k}}, {$out: a}]"), OWN},
   {MERGE ("[{$out: {db: shop, coll: a}}]"), OWN},
   {MERGE ("[{$set: {n: {$add: [$n, 1]}}}, {$merge: a}]"), OWN},
   {MERGE ("[{$set: {n: {$add: [$n, 1]}}}, {$merge: {into: a}}]"), OWN},
   {MERGE ("[{$group: {_id: $k, n: {$sum: 1}}}, {$merge: {into: {db: shop, coll: a}}}]"), OWN},
   {MERGE ("[{$lookup: {from: b, localField: x, foreignField: _id, as: y}}, {$out: b}]"), OWN},
   {MERGE ("[{$unionWith: b}, {$group: {_id: $k, n: {$sum: $n}}}, {$merge: b}]"), OWN},
   {MERGE ("[{$unionWith: {coll: b, pipeline: []}}, {$merge: {into: b}}]"), OWN},
   {MERGE ("[{$lookup: {from: c, pipeline: [{$unionWith: b}], as: y}}, {$merge: b}]"), OWN},
   {MERGE ("[{$facet: {x: [{$lookup: {from: b, localField: x, foreignField: y, as: z}}]}}, {$merge: b}]"), OWN},
   /* into itself, and the same each time */
   {MERGE ("[{$set: {total: {$sum: $lines.price}}}, {$merge: a}]"), NULL},
   {MERGE ("[{$lookup: {from: b, localField: x, foreignField: _id, as: y}}, {$set: {z: {$first: $y.name}}}, "
           "{$project: {z: 1}}, {$merge: {into: a, whenMatched: merge, whenNotMatched: discard}}]"),
    NULL},
   {MERGE ("[{$match: {done: {$ne: true}}}, {$set: {n: {$add: [$n, 1]}, done: true}}, {$merge: a}]"), NULL},
   {MERGE ("[{$lookup: {from: a, localField: x, foreignField: _id, as: y}}, {$set: {z: $y.z}}, {$merge: a}]"), OWN},
   {MERGE ("[{$match: {done: true}}, {$set: {n: {$add: [$n, 1]}, done: true}}, {$merge: a}]"), OWN},
   /* what it adds up */
   {MERGE ("[{$merge: {into: b, whenMatched: [{$set: {n: {$add: [$n, $$new.n]}}}]}}]"), OLD},
   {MERGE ("[{$merge: {into: b, whenMatched: [{$set: {l: {$concatArrays: [$l, $$new.l]}}}]}}]"), OLD},
   {MERGE ("[{$merge: {into: b, whenMatched: fail}}]"), "is there already"},
   /* a key of its own */
   {MERGE ("[{$project: {_id: 0, k: 1}}, {$merge: b}]"), AGAIN},
   {MERGE ("[{$project: {_id: false, k: 1}}, {$merge: {into: b, on: _id}}]"), AGAIN},
   {MERGE ("[{$unset: [x, _id]}, {$merge: b}]"), AGAIN},
   {MERGE ("[{$replaceWith: {k: $k}}, {$merge: b}]"), AGAIN},
   {MERGE ("[{$replaceRoot: {newRoot: $sub}}, {$merge: b}]"), AGAIN},
   {MERGE ("[{$count: n}, {$merge: b}]"), AGAIN},
   {MERGE ("[{$facet: {x: []}}, {$merge: b}]"), AGAIN},
   {MERGE ("[{$sample: {size: 5}}, {$merge: b}]"), "others the next time"},
   {MERGE ("[{$limit: 5}, {$merge: b}]"), "others the next time"},
   {MERGE ("[{$sort: {_id: 1}}, {$limit: 5}, {$merge: b}]"), NULL},
};

#define EACH(find, let, lines) "foreach: {find: a" find "}\n    let: {id: $_id, " let "}\n    do: [" lines "]"

static const case_t inserts[] = {
   {"insert: {collection: a, document: {_id: 1}}", NULL},
   {"insert: {collection: a, document: {x: 1}}", AGAIN},
   {EACH ("", "x: $x", "{insert: {collection: b, document: {_id: $$id, x: $$x}}}"), NULL},
   {EACH ("", "x: $x", "{insert: {collection: b, document: {x: $$x}}}"), AGAIN},
   /* into what is gone through */
   {EACH ("", "x: $x", "{insert: {collection: a, document: {_id: {of: $$id}, x: $$x}}}"), OWN},
   {EACH (", filter: {kind: old}", "x: $x", "{insert: {collection: a, document: {_id: {of: $$id}, kind: new}}}"), NULL},
   /* what was computed from what the line changes */
   {EACH ("", "n: {$add: [$n, 1]}", "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {n: $$n}}}}"),
    OWN},
   {EACH ("", "n: {$toInt: $n}", "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {n: $$n}}}}"), NULL},
   {EACH ("", "n: {$add: [$m, 1]}", "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {n: $$n}}}}"),
    NULL},
   {EACH (", filter: {done: null}", "n: {$add: [$n, 1]}",
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {n: $$n, done: true}}}}"),
    NULL},
   /* what is inserted stays as it was inserted first; what is set does not */
   {EACH ("", "v: $v",
          "{insert: {collection: b, document: {_id: $$id, v: $$v}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$unset: {v: 1}}}}"),
    NULL},
   {EACH ("", "v: $v",
          "{updateOne: {collection: b, filter: {_id: $$id}, update: {$set: {v: $$v}}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$unset: {v: 1}}}}"),
    OWN},
   {EACH (", filter: {v: {$exists: true}}", "v: $v",
          "{insert: {collection: b, document: {_id: $$id, v: $$v}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$unset: {v: 1}}}}"),
    NULL},
   /* the next time it would find others */
   {EACH ("", "k: $k",
          "{deleteMany: {collection: b, filter: {k: $$k}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {k: new}}}}"),
    OWN},
   {EACH ("", "k: $k",
          "{updateMany: {collection: b, filter: {_id: $$k}, update: {$set: {seen: true}}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {k: new}}}}"),
    OWN},
   {EACH ("", "k: $k",
          "{deleteOne: {collection: b, filter: {_id: $$id, k: $$k}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {k: new}}}}"),
    NULL},
   {EACH (", filter: {k: {$exists: true}}", "k: $k",
          "{deleteMany: {collection: b, filter: {k: $$k}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$unset: {k: 1}}}}"),
    NULL},
   {EACH ("", "k: $k",
          "{deleteMany: {collection: b, filter: {k: $$k}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {l: new}}}}"),
    NULL},
   /* `$$total` is read again, too */
   {EACH ("", "total: $total",
          "{updateOne: {collection: a, filter: {_id: $$id, total: $$total}, update: {$inc: {total: 1}}}}"),
    HOLDS_NOT},
   {EACH ("", "x: $x",
          "{updateOne: {collection: b, filter: {_id: $$id, x: null}, update: {$set: {x: $$x}, $inc: {n: 1}}}}"),
    HOLDS_NOT},
   {EACH ("", "x: {$ifNull: [$x, 0]}",
          "{updateOne: {collection: b, filter: {_id: $$id, x: {$exists: false}}, update: {$set: {x: $$x}, $inc: {n: "
          "1}}}}"),
    NULL},
   /* the row goes before all is done */
   {EACH (
       "", "v: $v",
       "{deleteOne: {collection: a, filter: {_id: $$id}}}, {insert: {collection: b, document: {_id: $$id, v: $$v}}}"),
    "would not be done"},
   {EACH (", filter: {done: null}", "v: $v",
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {done: 1}}}}, "
          "{insert: {collection: b, document: {_id: $$id, v: $$v}}}"),
    "would not be done"},
   {EACH (
       "", "v: $v",
       "{deleteMany: {collection: a, filter: {_id: {$eq: $$id}}}}, {insert: {collection: b, document: {_id: $$id, v: "
       "$$v}}}"),
    "would not be done"},
   {EACH (", filter: {old: true}", "k: $k",
          "{updateMany: {collection: a, filter: {k: $$k}, update: {$set: {old: false}}}}, "
          "{updateMany: {collection: b, filter: {k: $$k}, update: {$set: {k: null}}}}"),
    "would not be done"},
   {"foreach: {aggregate: a, pipeline: [{$group: {_id: $k, ids: {$push: $_id}}}, {$match: {ids.1: {$exists: true}}}]}\n"
    "    let: {keep: {$first: $ids}, rest: {$slice: [$ids, 1, 9]}}\n"
    "    do:\n"
    "      - deleteMany: {collection: a, filter: {_id: {$in: $$rest}}}\n"
    "      - updateMany: {collection: b, filter: {k: {$in: $$rest}}, update: {$set: {k: $$keep}}}",
    "would not be done"},
   {"foreach: {aggregate: a, pipeline: [{$match: {old: true}}]}\n"
    "    let: {id: $_id, row: $$ROOT}\n"
    "    do:\n"
    "      - bulkWrite: {collection: a, operations: [{deleteOne: {filter: {_id: $$id}}}]}\n"
    "      - insert: {collection: b, document: $$row}",
    "would not be done"},
   {EACH (", filter: {kind: old}", "v: $v",
          "{bulkWrite: {collection: a, operations: [{deleteOne: {filter: {_id: $$id}}}, "
          "{insertOne: {document: {_id: {of: $$id}, kind: new, v: $$v}}}]}}"),
    "would not be done"},
   {EACH (", filter: {kind: old}", "v: $v",
          "{bulkWrite: {collection: a, operations: [{insertOne: {document: {_id: {of: $$id}, kind: new, v: $$v}}}, "
          "{deleteOne: {filter: {_id: $$id}}}]}}"),
    NULL},
   {"foreach: {aggregate: a, pipeline: [{$lookup: {from: b, localField: _id, foreignField: a, as: b}}]}\n"
    "    let: {id: $_id, b: {$first: $b}}\n"
    "    do:\n"
    "      - deleteMany: {collection: b, filter: {a: $$id}}\n"
    "      - updateOne: {collection: c, filter: {_id: $$id}, update: {$set: {b: $$b}}}",
    "would not be done"},
   {"foreach: {aggregate: a, pipeline: [{$unionWith: b}]}\n"
    "    let: {id: $_id, b: $b}\n"
    "    do:\n"
    "      - updateOne: {collection: c, filter: {_id: $$id}, update: {$set: {b: $$b}}}\n"
    "      - deleteMany: {collection: b, filter: {a: $$id}}",
    NULL},
   /* what is deleted is none of the rows */
   {EACH (", filter: {kind: main}", "v: $v",
          "{deleteMany: {collection: a, filter: {of: $$id, kind: part}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {parts: 0}}}}"),
    NULL},
   {EACH (
       "", "v: $v",
       "{insert: {collection: b, document: {_id: $$id, v: $$v}}}, {deleteOne: {collection: a, filter: {_id: $$id}}}"),
    NULL},
   /* a transaction for each row */
   {EACH (", filter: {done: {$exists: false}}, transaction: true", "v: $v",
          "{insert: {collection: b, document: {v: $$v}}}, "
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {done: true}}}}"),
    NULL},
   {EACH (", filter: {n: {$exists: true}}, transaction: true", "v: $v",
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$inc: {n: 1}}}}"),
    "takes the row out of the query"},
   {EACH (", filter: {v: null}, transaction: true", "v: $w",
          "{updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {v: $$v}}}}"),
    "takes the row out of the query"},
   /* one line after the other, and then both again */
   {EACH ("", "x: $x",
          "{updateOne: {collection: b, filter: {_id: $$id}, update: [{$set: {y: $z}}]}}, "
          "{updateOne: {collection: b, filter: {_id: $$id}, update: {$set: {z: 0}}}}"),
    LATER},
   {EACH ("", "x: $x",
          "{updateOne: {collection: b, filter: {_id: $$id, done: null}, update: [{$set: {y: $z}}]}}, "
          "{updateOne: {collection: b, filter: {_id: $$id}, update: {$set: {z: 0, done: true}}}}"),
    NULL},
   {EACH ("", "x: $x",
          "{updateOne: {collection: b, filter: {_id: $$id}, update: [{$set: {y: $z}}]}}, "
          "{updateOne: {collection: c, filter: {_id: $$id}, update: {$set: {z: 0}}}}"),
    NULL},
   /* the rows of an aggregate */
   {"foreach: {aggregate: a, pipeline: [{$group: {_id: $k, ids: {$push: $_id}}}]}\n"
    "    let: {keep: {$first: $ids}, rest: {$slice: [$ids, 1, 9]}}\n"
    "    do:\n"
    "      - updateMany: {collection: b, filter: {k: {$in: $$rest}}, update: {$set: {k: $$keep}}}\n"
    "      - deleteMany: {collection: a, filter: {_id: {$in: $$rest}}}",
    NULL},
   {"foreach: {aggregate: a, pipeline: [{$group: {_id: $k, n: {$sum: $n}}}]}\n"
    "    let: {k: $_id, n: $n}\n"
    "    do:\n"
    "      - updateMany: {collection: a, filter: {k: $$k}, update: {$set: {n: $$n}}}",
    OWN},
   {"foreach: {aggregate: a, pipeline: [{$group: {_id: $k, n: {$sum: $n}}}]}\n"
    "    let: {k: $_id, n: $n}\n"
    "    do:\n"
    "      - updateMany: {collection: a, filter: {k: $$k}, update: {$set: {total: $$n}}}",
    NULL},
};

static bool
check_case (const case_t *one)
{
   bool good;

   ecl_project_options_t options = {.getenv = no_environment, .database = "shop"};
   char *text = bson_strdup_printf ("up:\n  - %s\n", one->step);
   ecl_project_t *project;
   ecl_diags_t diags;
   ecl_buf_t out;

   ecl_diags_init (&diags);
   ecl_buf_init (&out, 1u << 20);
   project = load (&options, NULL, (file_t[]){{"20260101_a.yaml", text}, {0}}, &diags);
   assert_true (ecl_diags_print (&diags, &out));
   good = diags.n == (one->problem ? 1 : 0) && (!one->problem || strstr (ecl_buf_cstr (&out), one->problem));
   if (!good) {
      print_error ("%s\nsaid:     %sexpected: %s\n", text, out.len ? ecl_buf_cstr (&out) : "nothing\n",
                   one->problem ? one->problem : "nothing");
   }
   ecl_buf_cleanup (&out);
   ecl_diags_cleanup (&diags);
   ecl_project_destroy (project);
   bson_free (text);
   return good;
}

#define TEST(name)                                              \
   static void test_##name (void **state)                       \
   {                                                            \
      size_t bad = 0;                                           \
                                                                \
      (void) state;                                             \
      for (size_t i = 0; i < sizeof name / sizeof *name; i++) { \
         bad += !check_case (&name[i]);                         \
      }                                                         \
      assert_int_equal (bad, 0);                                \
   }

TEST (operators)
TEST (pipelines)
TEST (aggregates)
TEST (inserts)

int
main (void)
{
   const struct CMUnitTest tests[] = {cmocka_unit_test (test_operators), cmocka_unit_test (test_pipelines),
                                      cmocka_unit_test (test_aggregates), cmocka_unit_test (test_inserts)};

   return cmocka_run_group_tests (tests, NULL, NULL);
}
