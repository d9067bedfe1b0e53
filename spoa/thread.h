/* The daemon's threads. */
#ifndef GH_SPOA_THREAD_H
#define GH_SPOA_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* As pthread_create(); 0 or an errno. No signal is for the thread: they are for the main one, and SIGPIPE, which libraries raise when a peer is gone, is for nobody. stack: bytes
 * (reserved, and touched as far as it goes); 0: the system's default. */
int thread_start(pthread_t *t, size_t stack, void *(*run)(void *arg), void *arg);
/* A condition whose pthread_cond_timedwait() goes by CLOCK_MONOTONIC. */
void thread_cond_init(pthread_cond_t *c);

#endif
