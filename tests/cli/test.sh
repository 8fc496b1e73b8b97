# Differences from `out`, losses of the way back, broken schemas, expressions that fail.
eclose init >/dev/null
mkdir -p migrations/users
cat > migrations/users/0001_a.yaml <<'END'
to: 1
up:
  - $set: {total: {$multiply: [$price, 2]}}
  - $unset: secret
down:
  - $set: {n: {$strLenCP: $text}}
  - $unset: [total, n]
schema:
  properties: {total: {minimum: 10}}
examples:
  - in:  {_id: 1, price: 10, text: a}
    out: {_id: 1, price: 10, text: a, total: 20}
  - in:  {_id: 2, secret: x, price: 10, text: a}
    out: {text: b, _id: 2, price: "10", total: 20.0, more: true}
  - in:  {_id: 3, price: 1, text: a}
    out: {_id: 3, price: 1, text: a, total: 2}
  - in:  {_id: 4, price: x}
    out: {_id: 4}
  - in:  {_id: 5, price: 5, text: 7}
    out: {_id: 5, price: 5, text: 7, total: 10}
  - in:  {_id: 6, secret: x, price: 10, text: a}
    out: {_id: 6, price: 10, text: a, total: 20}
END
status 1 eclose test
status 1 eclose test users --format json
status 1 eclose test --color always | sed -n 2,6p | cat -v
status 1 eclose test posts
