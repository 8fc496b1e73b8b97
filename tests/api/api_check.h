/* What the tests of the public libraries share. They include nothing of src. */
#ifndef ECL_TESTS_API_CHECK_H
#define ECL_TESTS_API_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <eclose/eclose.h>

#include <string.h>

/* Example 1 as two files. */
#define USERS_2                                                                                   \
   "to: 2\n"                                                                                      \
   "up:\n"                                                                                        \
   "  - $set: {first: {$first: {$split: [$name, ' ']}}, last: {$last: {$split: [$name, ' ']}}}\n" \
   "  - $unset: name\n"                                                                           \
   "down:\n"                                                                                      \
   "  - $set: {name: {$concat: [$first, ' ', $last]}}\n"                                          \
   "  - $unset: [first, last]\n"

static inline void
check (bool good, const bson_error_t *error)
{
   if (!good) {
      fail_msg ("%s", error->message);
   }
}

static inline bson_t *
json (const char *text)
{
   bson_error_t error;
   bson_t *document = bson_new_from_json ((const uint8_t *) text, -1, &error);

   check (document != NULL, &error);
   return document;
}

static inline void
same_json (const bson_t *document, const char *expected)
{
   char *text = bson_as_relaxed_extended_json (document, NULL);

   assert_string_equal (text, expected);
   bson_free (text);
}

static inline void
add_text (eclose_project_t *project, const char *path, const char *text)
{
   bson_error_t error;

   check (eclose_project_add_text (project, path, text, -1, &error), &error);
}

static inline void
load (eclose_project_t *project)
{
   bson_error_t error;

   check (eclose_project_load (project, &error), &error);
}

static inline eclose_upgrader_t *
upgrader (const eclose_project_t *project, const char *collection, const char *target)
{
   bson_error_t error = {0};
   eclose_upgrader_t *made = eclose_upgrader_new (project, collection, target, &error);

   check (made != NULL, &error);
   return made;
}

/* Runs a document given as JSON and compares the result. */
static inline void
runs_to (eclose_upgrader_t *self, const char *in, const char *expected)
{
   bson_t *document = json (in);
   const bson_t *out;
   bson_error_t error;

   check (eclose_upgrader_run (self, document, &out, &error), &error);
   same_json (out, expected);
   bson_destroy (document);
}

#endif
