# The examples of this repository.
for name in users enabled inheritance cleanups two-steps; do
   echo "---- $name"
   cp -r "$SOURCE/examples/$name" .
   status 0 eclose lint -C $name
   status 0 eclose test -C $name
done
