# Documents that match.
printf '{"_id": 1, "a": 5}\n{"_id": 2, "a": "x"}\n{"_id": 3, "a": [7, 1]}\n' > docs.json
eclose match '{a: {$gt: 4}}' docs.json
echo '---- relaxed, inverted, counted'
eclose match --relaxed --invert '{a: {$gt: 4}}' docs.json
eclose match --count '{"a": {"$gt": 4}}' docs.json
eclose match -cv '{}' < docs.json
echo '{"$jsonSchema": {"properties": {"a": {"bsonType": "string"}}}}' > schema.json
eclose match --relaxed @schema.json docs.json
echo '---- refused'
status 1 eclose match '{a: {$gtt: 4}}' docs.json
status 1 eclose match '[]' docs.json
status 1 eclose match '{$expr: {$divide: [1, $_id, 2]}}' docs.json
status 1 eclose match --relaxed '{$expr: {$toInt: $a}}' docs.json
