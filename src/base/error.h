/* Errors: one bson_error_t, one domain per module, one table of codes.
 *
 * A function that can fail returns false, NULL or a value of its own for it. Where there is more to say than that it
 * failed it fills a bson_error_t, which may be NULL. A message is one line in lower case that says what, where (file and
 * line, or collection, _id and dotted path) and what was expected. A callee's message is never overwritten; at a
 * boundary it may be given context once, with ecl_error_prefix.
 */
#ifndef ECL_BASE_ERROR_H
#define ECL_BASE_ERROR_H

#include <bson/bson.h>

#if defined(__GNUC__)
#define ECL_MUST_CHECK __attribute__ ((warn_unused_result))
#define ECL_PRINTF(f, a) __attribute__ ((format (printf, f, a)))
#define ECL_LIKELY(x) __builtin_expect (!!(x), 1)
#define ECL_UNLIKELY(x) __builtin_expect (!!(x), 0)
#define ECL_NOINLINE __attribute__ ((noinline))
#define ECL_HOT __attribute__ ((hot))
#else
#define ECL_MUST_CHECK
#define ECL_PRINTF(f, a)
#define ECL_LIKELY(x) (x)
#define ECL_UNLIKELY(x) (x)
#define ECL_NOINLINE
#define ECL_HOT
#endif

/* Domains. libbson and libmongoc use small numbers; ours start far above them. */
typedef enum {
   ECL_DOMAIN_BASE = 0x45434c00, /* "ECL": memory bounds, files, environment */
   ECL_DOMAIN_BSON,              /* malformed or oversized BSON */
   ECL_DOMAIN_TEXT,              /* YAML, JSON, Extended JSON */
   ECL_DOMAIN_MQL,               /* the code is MongoDB's own error code */
   ECL_DOMAIN_PROJECT,           /* eclose.yaml, migration files, chains */
   ECL_DOMAIN_UPGRADE,           /* one document on its way along the chain */
   ECL_DOMAIN_STORE,             /* eclose's own records in the database */
   ECL_DOMAIN_RUN,               /* jobs */
   ECL_DOMAIN_CLI,               /* wrong usage */
} ecl_domain_t;

/* Codes of all domains but ECL_DOMAIN_MQL: name, number, text. Append only: numbers are public. */
#define ECL_ERROR_CODES(X)                                             \
   X (ECL_ERROR_INVALID, 1, "invalid argument or content")             \
   X (ECL_ERROR_TOO_LARGE, 2, "larger than the bound")                 \
   X (ECL_ERROR_TOO_DEEP, 3, "nested deeper than the bound")           \
   X (ECL_ERROR_SYNTAX, 4, "not well formed")                          \
   X (ECL_ERROR_UNKNOWN_KEY, 5, "unknown key")                         \
   X (ECL_ERROR_DUPLICATE_KEY, 6, "duplicate key")                     \
   X (ECL_ERROR_UNSUPPORTED, 7, "not supported")                       \
   X (ECL_ERROR_FILE, 8, "file cannot be read or written")             \
   X (ECL_ERROR_CHAIN, 9, "gap, double or cycle in a chain")           \
   X (ECL_ERROR_NO_WAY, 10, "no way to the target version")            \
   X (ECL_ERROR_VERSION, 11, "a version that cannot be read")          \
   X (ECL_ERROR_CONFLICT, 12, "the stored document changed meanwhile") \
   X (ECL_ERROR_LOSSY, 13, "something would be lost")                  \
   X (ECL_ERROR_SERVER, 14, "the server refused or did not answer")    \
   X (ECL_ERROR_NEEDS, 15, "another document is needed first")         \
   X (ECL_ERROR_CANCELLED, 16, "cancelled")                            \
   X (ECL_ERROR_LEASE, 17, "the lease is not held, or not any more")

typedef enum {
#define X(name, number, text) name = number,
   ECL_ERROR_CODES (X)
#undef X
} ecl_error_code_t;

/* Sets *error (may be NULL) from a printf format and returns false, so that a caller can `return ecl_fail (…)`. */
bool
ecl_fail (bson_error_t *error, uint32_t domain, uint32_t code, const char *format, ...) ECL_PRINTF (4, 5);

/* Puts text (a printf format) and ": " before the message that *error holds; cuts at the end where it is too long. */
void
ecl_error_prefix (bson_error_t *error, const char *format, ...) ECL_PRINTF (2, 3);

/* How many of the len bytes of a text are shown where that may be max: not a part of a character. */
size_t
ecl_shown (const char *text, size_t len, size_t max);

/* "MQL", "text", …; "error" for a domain that is not ours. Static storage. */
const char *
ecl_domain_name (uint32_t domain);

#endif
