/* What `eclose new` writes: see templates.h. */
#include "cli/templates.h"

#include "base/buf.h"

#include <string.h>

/* clang-format off */
const char ecl_template_document[] =
   "to: %s\n"
   "description: %s\n"
   "\n"
   "# Stages of MongoDB's update pipelines: $set, $unset, $project, $replaceWith, ...\n"
   "# The version field is written by eclose.\n"
   "up: []\n"
   "#  - $set: {enabled: {$ifNull: [$enabled, true]}}\n"
   "\n"
   "# The way back, or `irreversible`.\n"
   "down: []\n"
   "#  - $unset: enabled\n"
   "\n"
   "# The $jsonSchema of a document of this version.\n"
   "# schema:\n"
   "#   required: [enabled]\n"
   "\n"
   "# Run by `eclose test`.\n"
   "examples: []\n"
   "#  - in:  {_id: 1}\n"
   "#    out: {_id: 1, enabled: true}\n";

static const char steps_text[] =
   "description: \"@\"\n"
   "\n"
   "# Steps, in order. Those that are done are not repeated; one that was under way when its process died begins again, so\n"
   "# what cannot be repeated (an insert without _id, $inc, $push) needs a transaction, a guard in its filter or a reason.\n"
   "# man eclose-migration lists them all.\n"
   "up: []\n"
   "#  - updateMany: {collection: users, filter: {plan: {$exists: false}}, update: {$set: {plan: free}}}\n"
   "#  - foreach: {find: users, filter: {tags: {$type: string}}}\n"
   "#    let: {id: $_id, list: {$split: [$tags, \",\"]}}\n"
   "#    do:\n"
   "#      - updateOne: {collection: users, filter: {_id: $$id}, update: {$set: {tag_list: $$list}, $unset: {tags: 1}}}\n"
   "#  - createIndex: {collection: users, keys: {plan: 1}}\n"
   "\n"
   "# The way back, or `irreversible`.\n"
   "down: []\n"
   "#  - dropIndex: {collection: users, keys: {plan: 1}}\n";

static const char python_text[] =
   "#!/usr/bin/env python3\n"
   "\"\"\"@\n"
   "\n"
   "`eclose up` and `eclose revert` run it under a lease. Its exit status decides; what it prints is shown, and the end of\n"
   "that is kept. One that is killed is started again: whatever it does must bear to be done twice.\n"
   "\"\"\"\n"
   "\n"
   "import os\n"
   "import sys\n"
   "\n"
   "import pymongo\n"
   "\n"
   "client = pymongo.MongoClient(os.environ['ECLOSE_URI'])\n"
   "db = client[os.environ['ECLOSE_DATABASE']]\n"
   "token = int(os.environ['ECLOSE_TOKEN'])  # larger with each grant of the lease; writes may carry and compare it\n"
   "\n"
   "\n"
   "def up():\n"
   "    sys.exit('up is not written yet')\n"
   "\n"
   "\n"
   "def down():\n"
   "    sys.exit('there is no way down')\n"
   "\n"
   "\n"
   "{'up': up, 'down': down}[os.environ['ECLOSE_DIRECTION']]()\n";

static const char mongosh_text[] =
   "#!/usr/bin/env -S mongosh --nodb --quiet\n"
   "// @\n"
   "//\n"
   "// `eclose up` and `eclose revert` run it under a lease. Its exit status decides: an error thrown is a failure. What it\n"
   "// prints is shown, and the end of that is kept. One that is killed is started again: whatever it does must bear to be\n"
   "// done twice.\n"
   "\n"
   "const { ECLOSE_URI, ECLOSE_DATABASE, ECLOSE_DIRECTION, ECLOSE_TOKEN } = process.env;\n"
   "\n"
   "db = new Mongo(ECLOSE_URI).getDB(ECLOSE_DATABASE);\n"
   "const token = Long(ECLOSE_TOKEN); // larger with each grant of the lease; writes may carry and compare it\n"
   "\n"
   "function up() {\n"
   "  throw new Error('up is not written yet');\n"
   "}\n"
   "\n"
   "function down() {\n"
   "  throw new Error('there is no way down');\n"
   "}\n"
   "\n"
   "({ up, down })[ECLOSE_DIRECTION]();\n";

static const char shell_text[] =
   "#!/bin/sh\n"
   "# @\n"
   "#\n"
   "# `eclose up` and `eclose revert` run it under a lease. Its exit status decides; what it prints is shown, and the end of\n"
   "# that is kept. One that is killed is started again: whatever it does must bear to be done twice.\n"
   "set -eu\n"
   "\n"
   ": \"$ECLOSE_URI\" \"$ECLOSE_DATABASE\"\n"
   ": \"$ECLOSE_TOKEN\" # larger with each grant of the lease; writes may carry and compare it\n"
   "\n"
   "case $ECLOSE_DIRECTION in\n"
   "up)\n"
   "   echo 'up is not written yet' >&2\n"
   "   exit 1\n"
   "   ;;\n"
   "down)\n"
   "   echo 'there is no way down' >&2\n"
   "   exit 1\n"
   "   ;;\n"
   "esac\n";

/* clang-format on */

static const ecl_template_t templates[] = {
   {"yaml", false, steps_text},
   {"py", true, python_text},
   {"js", true, mongosh_text},
   {"sh", true, shell_text},
};

const ecl_template_t *
ecl_template_find (const char *ending)
{
   if (!ending) {
      return &templates[0];
   }
   for (size_t i = 1; i < sizeof templates / sizeof *templates; i++) {
      if (strcmp (ending, templates[i].ending) == 0) {
         return &templates[i];
      }
   }
   return NULL;
}

char *
ecl_template_fill (const ecl_template_t *self, const char *words)
{
   const char *at = strchr (self->text, '@');

   BSON_ASSERT (at && !strchr (at + 1, '@'));
   return bson_strdup_printf ("%.*s%s%s", (int) (at - self->text), self->text, words, at + 1);
}
