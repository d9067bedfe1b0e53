/* Allocations that fail when a test wants it: in our code, and in every library of the process that calls malloc(), calloc(), realloc() or strdup().
 *
 * Linking nomem.c is enough: its definitions stand before those of the C library (or of the sanitizer, which they call). */
#ifndef GH_T_NOMEM_H
#define GH_T_NOMEM_H

#include <stdbool.h>
#include <stdint.h>

/* From now on, in this thread: the allocation number nth (from 1) fails, and with more also all behind it. nth 0: none does, they are only counted. */
void nomem_arm(uint64_t nth, bool more);
/* Whether one has failed since then. */
bool nomem_hit(void);
/* The test's own allocations are neither counted nor failed between these. They nest. */
void nomem_pause(void);
void nomem_resume(void);
/* Counts as one allocation; true: as one that fails. For who stands in for a library that does not survive its own. */
bool nomem_fails(void);
/* No more failures. Gives the number of allocations since nomem_arm(). */
uint64_t nomem_disarm(void);
/* Fails the process when the leak checker that it runs under finds anything lost; without one it does nothing. */
void nomem_leaks(const char *where);

#endif
