/* Threads that are none of the program's business. */
#ifndef ECL_BASE_THREAD_H
#define ECL_BASE_THREAD_H

#include <pthread.h>

/* pthread_create for a thread that gets no signals but those of its own faults (SIGSEGV and the like, for whatever
 * reports a crash): the others are for the threads of the program that we are in. 0, or the number of an error. */
int
ecl_thread_start (pthread_t *thread, void *(*run) (void *context), void *context);

#endif
