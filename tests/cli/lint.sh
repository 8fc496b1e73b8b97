# Every problem at once, each with its place.
mkdir -p migrations/users migrations/posts
cat > eclose.yaml <<'END'
uri: ${NOWHERE}
databas: shop
version_field: [a]
collections:
  users: {unversioned: one}
  posts:
    detect:
      - {version: 1, filter: {a: {$gtt: 1}}}
END
cat > migrations/users/0001_a.yaml <<'END'
to: 1
up:
  - $set: {a: {$trimm: x}, b: 1}
  - $set: {a: {$subtract: [1]}}
  - $sett: {a: 1}
  - $lookup: {from: posts, as: p}
  - $set: {now: $$NOW, random: {$rand: {}}}
  - $set: {a: {$concat: [$$nobody, x]}}
down: sometimes
schema: {required: name}
exmples: []
END
cat > migrations/users/0003_b.yaml <<'END'
to: 4
to: 3
up: []
END
cat > migrations/users/0003_c.json <<'END'
{"to": 3, "up": [{"$unset": 3}], "examples": [{"in": {}, "out": 1}, {"in": {}, "outt": {}}]}
END
echo '{' > migrations/posts/0002_x.yaml
touch migrations/20261121T0900_merge_categories.yaml migrations/notes.txt migrations/posts/.hidden
status 1 eclose lint
status 1 eclose lint --format json | head -2
status 1 eclose lint --color=always | head -1
status 1 eclose test
status 1 eclose new users x 2>/dev/null
# Names that leave a message no room for why; a tab that indents.
long=$(printf '%0600d' 0)
status 1 eclose lint -C "$long" | sed 's/0\{600\}/LONG/'
mkdir -p tabs/migrations/users
echo 'version_field: schema_version' > tabs/eclose.yaml
printf 'to: 1\nup:\n\t- $set: {a: 1}\n' > tabs/migrations/users/0001_a.yaml
status 1 eclose lint -C tabs
