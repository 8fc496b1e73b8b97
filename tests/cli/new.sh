# The next number; a template that passes lint; nothing is overwritten.
eclose init >/dev/null
eclose new users split_name
cat migrations/users/0001_split_name.yaml
eclose new users no
eclose new posts x-1
eclose lint
eclose test
status 1 eclose new users x --to 7
echo "collections: {users: {unversioned: 4}, devices: {version_format: dotted, unversioned: '1.0'}}" >> eclose.yaml
status 1 eclose new users x
rm migrations/users/*
eclose new users x
status 2 eclose new devices tags
status 2 eclose new devices tags --to one
status 1 eclose new devices tags --to 0.9
eclose new devices tags --to 1.1.0
head -2 migrations/devices/1.1.0_tags.yaml
eclose lint
