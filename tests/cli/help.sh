# What --help says; and that the man pages know every option of it.
# The commands that need a server come and go without this test.
eclose --help | sed '/^with a server/,/^$/d'
for command in init new lint test eval match; do
   echo "---- $command"
   eclose $command --help
done
eclose help lint | head -1
eclose --version | sed '2,$s/ [0-9].*//'
for command in $(eclose --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
   page=$SOURCE/man/eclose-$command.1.scd
   for option in $(eclose "$command" --help | sed -n '/^options:/,$s/.*\(--[a-z-]*\).*/\1/p'); do
      grep -q -- "\*$option\*" "$page" "$SOURCE/man/eclose.1.scd" || echo "$page: no word about $option"
   done
   grep -q -- "\*eclose-$command\*" "$SOURCE/man/eclose.1.scd" || echo "man/eclose.1.scd: no word about $command"
done
