/* Expressions over the fields a … e of a document, at least one for each operator of the table (tests/unit/test_alloc.c
 * and the fuzz target check that none is forgotten). As YAML. */
#ifndef ECL_TESTS_EXPRESSIONS_H
#define ECL_TESTS_EXPRESSIONS_H

/* clang-format off */
#define ECL_TEST_EXPRESSIONS(X) \
   X ("{$abs: [$a]}") \
   X ("{$add: [$a, $b, $c, 1]}") \
   X ("{$add: $a}") \
   X ("{$ceil: [$a]}") \
   X ("{$divide: [$a, $b]}") \
   X ("{$exp: [$a]}") \
   X ("{$floor: [$a]}") \
   X ("{$ln: [$a]}") \
   X ("{$log: [$a, $b]}") \
   X ("{$log10: [$a]}") \
   X ("{$mod: [$a, $b]}") \
   X ("{$multiply: [$a, $b, $c, 1]}") \
   X ("{$multiply: $a}") \
   X ("{$pow: [$a, $b]}") \
   X ("{$round: [$a]}") \
   X ("{$round: [$a, $b]}") \
   X ("{$sqrt: [$a]}") \
   X ("{$subtract: [$a, $b]}") \
   X ("{$trunc: [$a]}") \
   X ("{$trunc: [$a, $b]}") \
   X ("{$sin: [$a]}") \
   X ("{$cos: [$a]}") \
   X ("{$tan: [$a]}") \
   X ("{$asin: [$a]}") \
   X ("{$acos: [$a]}") \
   X ("{$atan: [$a]}") \
   X ("{$atan2: [$a, $b]}") \
   X ("{$sinh: [$a]}") \
   X ("{$cosh: [$a]}") \
   X ("{$tanh: [$a]}") \
   X ("{$asinh: [$a]}") \
   X ("{$acosh: [$a]}") \
   X ("{$atanh: [$a]}") \
   X ("{$degreesToRadians: [$a]}") \
   X ("{$radiansToDegrees: [$a]}") \
   X ("{$bitAnd: [$a, $b, $c, 1]}") \
   X ("{$bitAnd: $a}") \
   X ("{$bitOr: [$a, $b, $c, 1]}") \
   X ("{$bitOr: $a}") \
   X ("{$bitXor: [$a, $b, $c, 1]}") \
   X ("{$bitXor: $a}") \
   X ("{$bitNot: [$a]}") \
   X ("{$arrayElemAt: [$a, $b]}") \
   X ("{$concatArrays: [$a, $b, $c, 1]}") \
   X ("{$concatArrays: $a}") \
   X ("{$first: [$a]}") \
   X ("{$indexOfArray: [$a, $b]}") \
   X ("{$indexOfArray: [$a, $b, $c]}") \
   X ("{$indexOfArray: [$a, $b, $c, $d]}") \
   X ("{$isArray: [$a]}") \
   X ("{$last: [$a]}") \
   X ("{$range: [$a, $b]}") \
   X ("{$range: [$a, $b, $c]}") \
   X ("{$reverseArray: [$a]}") \
   X ("{$size: [$a]}") \
   X ("{$slice: [$a, $b]}") \
   X ("{$slice: [$a, $b, $c]}") \
   X ("{$and: [$a, $b, $c, 1]}") \
   X ("{$and: $a}") \
   X ("{$or: [$a, $b, $c, 1]}") \
   X ("{$or: $a}") \
   X ("{$not: [$a]}") \
   X ("{$cmp: [$a, $b]}") \
   X ("{$eq: [$a, $b]}") \
   X ("{$ne: [$a, $b]}") \
   X ("{$gt: [$a, $b]}") \
   X ("{$gte: [$a, $b]}") \
   X ("{$lt: [$a, $b]}") \
   X ("{$lte: [$a, $b]}") \
   X ("{$ifNull: [$a, $b, $c, 1]}") \
   X ("{$ifNull: [$a, $b]}") \
   X ("{$binarySize: [$a]}") \
   X ("{$bsonSize: [$a]}") \
   X ("{$arrayToObject: [$a]}") \
   X ("{$mergeObjects: [$a, $b, $c, 1]}") \
   X ("{$mergeObjects: $a}") \
   X ("{$objectToArray: [$a]}") \
   X ("{$allElementsTrue: [$a]}") \
   X ("{$anyElementTrue: [$a]}") \
   X ("{$setUnion: [$a, $b, $c, 1]}") \
   X ("{$setUnion: $a}") \
   X ("{$concat: [$a, $b, $c, 1]}") \
   X ("{$concat: $a}") \
   X ("{$indexOfBytes: [$a, $b]}") \
   X ("{$indexOfBytes: [$a, $b, $c]}") \
   X ("{$indexOfBytes: [$a, $b, $c, $d]}") \
   X ("{$indexOfCP: [$a, $b]}") \
   X ("{$indexOfCP: [$a, $b, $c]}") \
   X ("{$indexOfCP: [$a, $b, $c, $d]}") \
   X ("{$split: [$a, $b]}") \
   X ("{$strLenBytes: [$a]}") \
   X ("{$strLenCP: [$a]}") \
   X ("{$strcasecmp: [$a, $b]}") \
   X ("{$substr: [$a, $b, $c]}") \
   X ("{$substrBytes: [$a, $b, $c]}") \
   X ("{$substrCP: [$a, $b, $c]}") \
   X ("{$toLower: [$a]}") \
   X ("{$toUpper: [$a]}") \
   X ("{$isNumber: [$a]}") \
   X ("{$toBool: [$a]}") \
   X ("{$toDate: [$a]}") \
   X ("{$toDecimal: [$a]}") \
   X ("{$toDouble: [$a]}") \
   X ("{$toInt: [$a]}") \
   X ("{$toLong: [$a]}") \
   X ("{$toObjectId: [$a]}") \
   X ("{$toString: [$a]}") \
   X ("{$toUUID: [$a]}") \
   X ("{$type: [$a]}") \
   X ("{$tsIncrement: [$a]}") \
   X ("{$tsSecond: [$a]}") \
   X ("{$avg: [$a, $b, $c, 1]}") \
   X ("{$avg: $a}") \
   X ("{$sum: [$a, $b, $c, 1]}") \
   X ("{$sum: $a}") \
   X ("{$min: [$a, $b, $c, 1]}") \
   X ("{$min: $a}") \
   X ("{$max: [$a, $b, $c, 1]}") \
   X ("{$max: $a}") \
   X ("{$stdDevPop: [$a, $b, $c, 1]}") \
   X ("{$stdDevPop: $a}") \
   X ("{$stdDevSamp: [$a, $b, $c, 1]}") \
   X ("{$stdDevSamp: $a}") \
   X ("{$filter: {input: $a, cond: {$gt: [$$this, $b]}}}") \
   X ("{$filter: {input: $a, as: v, cond: $$v.x, limit: $c}}") \
   X ("{$firstN: {input: $a, n: $b}}") \
   X ("{$lastN: {input: $a, n: $b}}") \
   X ("{$maxN: {input: $a, n: $b}}") \
   X ("{$minN: {input: $a, n: $b}}") \
   X ("{$in: [$a, $b]}") \
   X ("{$map: {input: $a, in: {x: $$this.x, y: $$this}}}") \
   X ("{$map: {input: $a, as: v, in: [$$v, $b]}}") \
   X ("{$reduce: {input: $a, initialValue: $b, in: {$concatArrays: [$$value, [$$this]]}}}") \
   X ("{$reduce: {input: $a, initialValue: '', in: {$concat: [$$value, $$this, $b]}}}") \
   X ("{$reduce: {input: $a, initialValue: {}, in: {$mergeObjects: [$$value, $$this]}}}") \
   X ("{$sortArray: {input: $a, sortBy: 1}}") \
   X ("{$sortArray: {input: $a, sortBy: {x: 1, y.z: -1}}}") \
   X ("{$zip: {inputs: [$a, $b, $c]}}") \
   X ("{$zip: {inputs: [$a, $b], useLongestLength: true, defaults: [$c, $d]}}") \
   X ("{$cond: [$a, $b, $c]}") \
   X ("{$switch: {branches: [{case: $a, then: $b}, {case: {$eq: [$c, 1]}, then: $d}], default: $$ROOT}}") \
   X ("{$dateAdd: {startDate: $a, unit: $b, amount: $c, timezone: $d}}") \
   X ("{$dateAdd: {startDate: $a, unit: month, amount: $b}}") \
   X ("{$dateSubtract: {startDate: $a, unit: $b, amount: $c, timezone: $d}}") \
   X ("{$dateDiff: {startDate: $a, endDate: $b, unit: $c, timezone: $d}}") \
   X ("{$dateDiff: {startDate: $a, endDate: $b, unit: week, startOfWeek: $c}}") \
   X ("{$dateFromParts: {year: $a, month: $b, day: $c, hour: $d, timezone: $e}}") \
   X ("{$dateFromParts: {year: $a, month: $b, minute: $c, second: $d, millisecond: $e}}") \
   X ("{$dateFromParts: {isoWeekYear: $a, isoWeek: $b, isoDayOfWeek: $c, timezone: $d}}") \
   X ("{$dateFromString: {dateString: $a}}") \
   X ("{$dateFromString: {dateString: $a, format: $b, timezone: $c, onError: $d, onNull: $e}}") \
   X ("{$dateFromString: {dateString: $a, format: '%Y-%m-%dT%H:%M:%S.%L%z'}}") \
   X ("{$dateToParts: {date: $a, timezone: $b, iso8601: $c}}") \
   X ("{$dateToString: {date: $a, format: $b, timezone: $c, onNull: $d}}") \
   X ("{$dateToString: {date: $a, format: '%Y %m %d %H %M %S %L %j %w %U %G %V %u %b %B %z %Z %%', timezone: Europe/Paris}}") \
   X ("{$dateTrunc: {date: $a, unit: $b, binSize: $c, timezone: $d, startOfWeek: $e}}") \
   X ("{$dateTrunc: {date: $a, unit: quarter, binSize: $b}}") \
   X ("{$const: $a}") \
   X ("{$getField: {field: $a, input: $b}}") \
   X ("{$let: {vars: {x: $a, y: $b}, in: {p: $$x.y, q: [$$y, $$x]}}}") \
   X ("{$literal: $a}") \
   X ("{$setField: {field: {$literal: a.b}, input: $a, value: $b}}") \
   X ("{$setField: {field: x, input: $a, value: $$REMOVE}}") \
   X ("{$unsetField: {field: x, input: $a}}") \
   X ("{$setDifference: [$a, $b]}") \
   X ("{$setEquals: [$a, $b, $c]}") \
   X ("{$setIntersection: [$a, $b, $c]}") \
   X ("{$setIsSubset: [$a, $b]}") \
   X ("{$ltrim: {input: $a, chars: $b}}") \
   X ("{$rtrim: {input: $a, chars: $b}}") \
   X ("{$trim: {input: $a, chars: $b}}") \
   X ("{$trim: {input: $a}}") \
   X ("{$regexFind: {input: $a, regex: $b, options: $c}}") \
   X ("{$regexFind: {input: $a, regex: '(\\w+)\\s*(x)?'}}") \
   X ("{$regexFindAll: {input: $a, regex: $b}}") \
   X ("{$regexFindAll: {input: $a, regex: '(a)|.?'}}") \
   X ("{$regexMatch: {input: $a, regex: $b, options: $c}}") \
   X ("{$replaceOne: {input: $a, find: $b, replacement: $c}}") \
   X ("{$replaceAll: {input: $a, find: $b, replacement: $c}}") \
   X ("{$convert: {input: $a, to: $b, onError: $c, onNull: $d, format: $e}}") \
   X ("{$convert: {input: $a, to: $b}}") \
   X ("{$convert: {input: $a, to: binData, format: utf8}}") \
   X ("{$convert: {input: $a, to: string, format: base64}}") \
   X ("{$median: {input: $a, method: approximate}}") \
   X ("{$percentile: {input: $a, p: [0, 0.5, 1], method: approximate}}") \
   X ("$a.x.y") \
   X ("$$ROOT") \
   X ("$$CURRENT.a") \
   X ("[$a, $b, {x: $c, y: [$d]}]") \
   X ("{$literal: 1}") \
   X ("{$dayOfMonth: {date: $a, timezone: $b}}") \
   X ("{$dayOfWeek: {date: $a, timezone: $b}}") \
   X ("{$dayOfYear: {date: $a, timezone: $b}}") \
   X ("{$hour: {date: $a, timezone: $b}}") \
   X ("{$isoDayOfWeek: {date: $a, timezone: $b}}") \
   X ("{$isoWeek: {date: $a, timezone: $b}}") \
   X ("{$isoWeekYear: {date: $a, timezone: $b}}") \
   X ("{$millisecond: {date: $a, timezone: $b}}") \
   X ("{$minute: {date: $a, timezone: $b}}") \
   X ("{$month: {date: $a, timezone: $b}}") \
   X ("{$second: {date: $a, timezone: $b}}") \
   X ("{$week: {date: $a, timezone: $b}}") \
   X ("{$year: {date: $a, timezone: $b}}")
/* clang-format on */

#endif
