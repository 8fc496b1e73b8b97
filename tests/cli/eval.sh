# Documents through a pipeline.
printf '{"_id": 1, "a": 5}\n{"_id": 2, "a": "x"}\n\n  {"_id": 3,\n "a": {"$numberLong": "7"}}' > docs.json
pipeline='[{$set: {b: {$add: [$a, 1]}}}]'
status 1 eclose eval "$pipeline" docs.json
status 0 eclose eval --keep-going "$pipeline" docs.json
echo '---- relaxed, from a file, from standard input'
echo '[{"$set": {"b": {"$type": "$a"}}}, {"$unset": "_id"}]' > pipeline.json
eclose eval --relaxed @pipeline.json < docs.json
printf '%s\n' '- $project: {_id: 0, a: 1}' > pipeline.yaml
eclose eval --relaxed @pipeline.yaml - < docs.json
echo '---- the documents themselves'
printf '{"a": 1}\n{"a": {"$date": "never"}}\n{"a": 3}\n{"a": \n' > bad.json
status 1 eclose eval '[]' bad.json
status 1 eclose eval -k '[]' bad.json
status 1 eclose eval '[]' missing.json
eclose eval '[]' /dev/null
echo '---- the pipeline'
status 1 eclose eval '[{$sett: {a: 1}}, {$set: {a: {$substr: 1}}}]' docs.json
status 1 eclose eval '[' docs.json
status 1 eclose eval '{$set: {a: 1}}' docs.json
status 1 eclose eval @nowhere docs.json
status 1 eclose eval @ docs.json
echo '---- the time'
echo '{}' | eclose eval --relaxed '[{$project: {t: {$type: $$NOW}, late: {$gt: [$$NOW, {$date: "2020-01-01T00:00:00Z"}]}}}]'
echo '---- BSON'
echo '{"_id": 1, "a": 5}' | eclose eval '[{$set: {b: 1}}]' | cat
printf '\014\000\000\000\020a\000\005\000\000\000\000\005\000\000\000\000' > docs.bson
eclose eval --bson '[{$set: {a: {$add: [$a, 1]}}}]' docs.bson | od -An -tx1
eclose match --bson '{}' docs.bson | od -An -tx1 | head -1
printf '\014\000\000\000\020a' > cut.bson
status 1 eclose eval --bson '[]' cut.bson
printf '\003\000\000\000' | status 1 eclose eval --bson '[]'
