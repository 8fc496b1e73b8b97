# Wrong usage of commands that talk to a server: status 2, before anybody asks for one. None is named here: what looks for
# it ends with 1.
mkdir -p migrations/users
echo 'version_field: schema_version' > eclose.yaml
for v in 1 2; do
   printf 'to: %d\nup:\n  - $set: {b%d: 1}\ndown:\n  - $unset: b%d\n' $v $v $v > migrations/users/000${v}_b.yaml
done

echo '---- right but for the server' >&2
status 1 eclose backfill start users --down --to 2 --workers 3 --max-rate 5MB --max-lag 2 --detach
status 1 eclose backfill run users --for 2777h --throttle-command true --hook end=true
status 1 eclose backfill work --mode client --workers 2 --max-rate 100
status 1 eclose backfill set users --max-rate none
status 1 eclose up users --to 2 --workers 2
status 1 eclose up --wait=5 --only b
status 1 eclose verify users --all --range-docs 10
status 1 eclose status --exact --range-docs 10

echo '---- options that are for another verb' >&2
status 2 eclose backfill resume users --max-rate 100
status 2 eclose backfill start users --max-rat 100
status 2 eclose backfill start users --max-rat=100
status 2 eclose up users --for 2h
status 2 eclose up users --work 2
status 2 eclose up users --work
status 2 eclose status --exa=1
status 2 eclose backfill work --work=2
status 2 eclose backfill set users --max-rate 0
status 2 eclose backfill pause --batch-time 10
status 2 eclose backfill cancel users --max-lag 3
status 2 eclose backfill status users --to 2
status 2 eclose backfill status users --workers 2
status 2 eclose backfill work --detach
status 2 eclose backfill work --down
status 2 eclose backfill work --to 2
status 2 eclose backfill work --range-docs 10
status 2 eclose backfill work --max-errors 1
status 2 eclose backfill run users --detach
status 2 eclose backfill start users --for 2h
status 2 eclose backfill set users --workers 2
status 2 eclose backfill set users --max-rate 5 --throttle-command true
status 2 eclose backfill start users --detach --throttle-command true
status 2 eclose up users --wait
status 2 eclose up users --wait=5
status 2 eclose up --only a --to-migration b
status 2 eclose up --only a --steps 1
status 2 eclose up --to-migration a --steps 1
status 2 eclose verify users --range-docs 10
status 2 eclose status --range-docs 10
status 2 eclose verify users --workers 2
status 2 eclose status --workers 2
status 2 eclose complete users --workers 0

echo '---- arguments that are given with "="' >&2
status 2 eclose complete users --validator warn
status 2 eclose up --wait 5
status 2 eclose revert --wait 5

echo '---- what a verb needs' >&2
status 2 eclose backfill start users --down
status 2 eclose backfill run users --down
status 2 eclose backfill start
status 2 eclose backfill set
status 2 eclose backfill go
status 2 eclose down users
status 2 eclose unlock
status 2 eclose unlock users

echo '---- values' >&2
for option in '--workers 0' '--workers 99999' '--range-docs 0' '--max-errors 2' '--max-errors=-1' '--mode fast' \
   '--max-rate 5XB' '--batch-time 0' '--max-latency 0.5' '--max-lag=-1' '--min-window x' '--to 9' '--to x'; do
   status 2 eclose backfill start users $option
done
for option in --throttle-command --metrics; do
   status 2 eclose up users $option ''
done
for time in 2d 2hh 0 8 0.0001s 2778h; do
   status 2 eclose backfill run users --for $time
done
status 2 eclose up --workers 0
status 2 eclose up --max-errors 7
status 2 eclose up users --to 9
status 2 eclose complete users --to 9
status 2 eclose down users --to 9
status 2 eclose query users '{}' --to 9
status 2 eclose view users --version 9
status 2 eclose plan users --to 9

for id in '{bad' '{"$oid": 7}' '[1' ' "x' '{"a": 1} 2'; do
   status 2 eclose quarantine show users --id "$id"
done
status 1 eclose quarantine drop users --id 'a "b" {c'

echo '---- collections that the project does not know' >&2
for command in 'backfill start usres' 'up usres' 'complete usres' 'down usres --to 1' 'status usres' 'verify usres'; do
   status 1 eclose $command
done
