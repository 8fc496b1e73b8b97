/* A server that is not there: a stream for libmongoc that answers from memory. It says hello, and any find or getMore
 * gets the same batch of documents, without end, so that what is measured is the client alone. */
#ifndef ECL_BENCH_CANNED_H
#define ECL_BENCH_CANNED_H

#include <mongoc/mongoc.h>

/* Documents of every batch; array is copied. */
void
canned_set_batch (const bson_t *array);

/* For mongoc_client_set_stream_initiator. */
mongoc_stream_t *
canned_stream (const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *context, bson_error_t *error);

#endif
