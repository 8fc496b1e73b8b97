/* Metrics: a file in Prometheus' text format, for node_exporter's textfile collector (whose names end with .prom).
 *
 * Several processes of a machine write a file each, and the collector puts them together: no series may be in two of
 * them. So each sample has the label process, by the name of the file: what is written there by the next process goes
 * on with the series of the last one.
 *
 * The file is written beside its place and renamed, so that nobody ever reads half of it. All names begin with
 * eclose_backfill_; docs/operations.md lists them with what to alert on.
 */
#ifndef ECL_CLI_METRICS_H
#define ECL_CLI_METRICS_H

#include "base/buf.h"
#include "cli/account.h"

/* What the file says of one collection. */
typedef struct {
   ecl_account_t account;
   double rate;     /* documents per second, lately */
   int64_t started; /* seconds since 1970 */
   int64_t written; /* likewise: now */
} ecl_metrics_row_t;

/* The whole text of that file. False where it is longer than buf allows. */
bool
ecl_metrics_format (const ecl_metrics_row_t *rows, size_t n, const char *database, const char *file,
                    ecl_buf_t *buf) ECL_MUST_CHECK;

/* Puts the text in place of the file, or of the one that it is a link to. False where another kind of file is there. */
bool
ecl_metrics_write (const char *file, const ecl_buf_t *buf, bson_error_t *error) ECL_MUST_CHECK;

#endif
