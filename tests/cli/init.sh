# A new project passes lint as it is, and is found from below; nothing is ever overwritten.
eclose init
eclose lint
cat eclose.yaml
echo "database: mine" > eclose.yaml
status 1 eclose init
cat eclose.yaml
eclose init other
eclose lint -C other
eclose lint --config other/eclose.yaml
mkdir -p a/b
cd a/b
eclose lint
eclose -C ../../other new users first
cd ../..
ls other/migrations/users
# Nothing is half done.
mkdir taken
touch taken/migrations
status 1 eclose init taken
ls taken
