/* What the programs of tests against a server share: how each begins and ends. */
#ifndef ECL_TESTS_SERVER_CHECK_H
#define ECL_TESTS_SERVER_CHECK_H

#include "api_check.h"

#include <eclose/mongoc.h>

static inline int
begin_mongoc (void **state)
{
   (void) state;
   mongoc_init ();
   return 0;
}

static inline int
end_mongoc (void **state)
{
   (void) state;
   mongoc_cleanup ();
   return 0;
}

/* All that main does with a table of tests: runs those that argv[1] names, or all. */
#define RUN_TESTS(group, tests, argc, argv)                 \
   (cmocka_set_test_filter ((argc) > 1 ? (argv)[1] : NULL), \
    cmocka_run_group_tests_name (group, tests, begin_mongoc, end_mongoc))

#endif
