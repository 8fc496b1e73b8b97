/* Errors: what a bson_error_t holds after a function of eclose failed.
 *
 * Every function that can fail returns false (or NULL) and fills a bson_error_t, which may be NULL. Its message is one
 * line that says what is wrong, where (file and line, or collection, _id and path) and what was expected. It holds some
 * 500 bytes: what more there is comes from eclose_project_problems() and eclose_upgrader_error_document().
 *
 * Errors of libbson and libmongoc keep their own domains, which are small numbers.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_ERROR_H
#define ECLOSE_ERROR_H

/* error.domain */
typedef enum {
   ECLOSE_ERROR_BASE = 0x45434c00, /* files, memory bounds */
   ECLOSE_ERROR_BSON,              /* bytes that are no document, or too large a one */
   ECLOSE_ERROR_TEXT,              /* YAML, JSON, Extended JSON */
   ECLOSE_ERROR_MQL,               /* an expression or a filter; error.code is MongoDB's own code */
   ECLOSE_ERROR_PROJECT,           /* the project file, migrations, chains */
   ECLOSE_ERROR_UPGRADE,           /* one document on its way along the chain */
   ECLOSE_ERROR_STORE,             /* eclose's own records in the database */
   ECLOSE_ERROR_RUN,               /* jobs, and what the server answers */
   ECLOSE_ERROR_USAGE              /* wrong use of a function */
} eclose_error_domain_t;

/* error.code in all of these domains but ECLOSE_ERROR_MQL. Numbers are never given to something else. */
typedef enum {
   ECLOSE_CODE_INVALID = 1,       /* an argument or content that is not valid */
   ECLOSE_CODE_TOO_LARGE = 2,     /* larger than the bound */
   ECLOSE_CODE_TOO_DEEP = 3,      /* nested deeper than the bound */
   ECLOSE_CODE_SYNTAX = 4,        /* not well formed */
   ECLOSE_CODE_UNKNOWN_KEY = 5,   /* a key that nothing reads */
   ECLOSE_CODE_DUPLICATE_KEY = 6, /* a key twice */
   ECLOSE_CODE_UNSUPPORTED = 7,   /* not supported, and refused instead of skipped */
   ECLOSE_CODE_FILE = 8,          /* a file that cannot be read */
   ECLOSE_CODE_CHAIN = 9,         /* a gap, a double or a cycle in a chain */
   ECLOSE_CODE_NO_WAY = 10,       /* no way to that version */
   ECLOSE_CODE_VERSION = 11,      /* a version that cannot be read */
   ECLOSE_CODE_CONFLICT = 12,     /* the stored document changed meanwhile */
   ECLOSE_CODE_LOSSY = 13,        /* something would be lost */
   ECLOSE_CODE_SERVER = 14,       /* the server refused, or did not answer */
   ECLOSE_CODE_NEEDS = 15,        /* documents of other collections are needed first: see eclose_context_find */
   ECLOSE_CODE_CANCELLED = 16,    /* somebody asked to stop */
   ECLOSE_CODE_LEASE = 17         /* the lease is somebody else's, or was lost */
} eclose_error_code_t;

#endif
