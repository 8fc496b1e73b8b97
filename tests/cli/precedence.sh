# A flag wins over the environment, that over the file; the project file may be named.
mkdir -p one/users two/users three/users
for n in one two three; do printf 'to: 1\nup: [{$nope: 1}]\n' > $n/users/0001_$n.yaml; done
printf 'migrations: ${WHICH:-one}\n' > eclose.yaml
show() { status 1 "$@" | cut -d: -f1; }
show eclose lint
export WHICH=three
show eclose lint
export ECLOSE_MIGRATIONS=two
show eclose lint
show eclose lint --migrations three
unset ECLOSE_MIGRATIONS WHICH
mkdir elsewhere
mv eclose.yaml elsewhere/other.yaml
mv one elsewhere/one
show eclose lint --config elsewhere/other.yaml
export ECLOSE_CONFIG=elsewhere/other.yaml
show eclose lint
