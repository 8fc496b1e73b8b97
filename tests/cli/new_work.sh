# A database migration from a template: its time, what lint says of it and of the hints in it; programs; usage.
masked() { sed 's/[0-9]\{8\}T[0-9]\{4\}/TIME/g'; }
eclose init >/dev/null
eclose new merge_categories | masked
cat migrations/*_merge_categories.yaml
# The hints are whole examples, and those made later run later.
sed -i -e 's/^#  /  /' -e 's/: \[\]$/:/' migrations/*_merge_categories.yaml
eclose new aardvark | masked
ls migrations | sed 's/^[^_]*_//'
for language in py js sh; do eclose new "reindex_$language" --executable $language | masked; done
eclose lint
cat migrations/*.py migrations/*.js migrations/*.sh
ECLOSE_URI=x ECLOSE_DATABASE=x ECLOSE_TOKEN=1 ECLOSE_DIRECTION=up status 1 sh -c migrations/*_reindex_sh.sh
eclose new users one
status 2 eclose new users
status 2 eclose new x --to 3
status 2 eclose new users x --executable py
status 2 eclose new x --executable rb
status 2 eclose new 'a b'
