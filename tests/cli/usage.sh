# Wrong usage: status 2, one line that says what, one that says how.
status 2 eclose
status 2 eclose tset
status 2 eclose xyzzy
status 2 eclose info
status 2 eclose rollback
status 2 eclose up --dry-run
status 2 eclose --nope
status 2 eclose lint --formt json
status 2 eclose lint --format yaml
status 2 eclose lint --format
status 2 eclose lint --color=sometimes
status 2 eclose lint extra
status 2 eclose lint -q
status 2 eclose lint --help=yes
status 2 eclose eval
status 2 eclose eval a b c
status 2 eclose new
status 2 eclose new 'sys$tem' x
status 2 eclose new eclose_jobs x
status 2 eclose new users 'two words'
status 1 eclose lint
status 1 eclose lint -C nowhere
status 1 eclose lint --config other.yaml
ECLOSE_CONFIG=another.yaml status 1 eclose lint
status 2 eclose up --hook end
status 2 eclose up --hook end=
status 2 eclose up --hook finish=true
status 2 eclose up --log-format xml
# Each line is one of JSON there.
eclose up --log-format json --steps 0 2>&1 | sed 's/"time"[^,]*, *//' >&2
# A variable of a script that was not set.
for option in --project --config --migrations --uri --database; do
   status 2 eclose "$option=" status
   status 2 eclose up users $option ''
done
status 2 eclose init ''
status 2 eclose new 'users~' x
