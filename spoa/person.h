/* Whether two names may be one person's: providers treat names without case, and some give them out as they were typed. */
#ifndef GH_SPOA_PERSON_H
#define GH_SPOA_PERSON_H

#include <stdbool.h>

/* True for names that differ at most by case, accents, width and the like (the letters that Unicode calls compatible). Where it errs it says yes:
 * for use where that refuses. Without memory too, and starved() tells. Any thread. */
bool person_same(const char *a, const char *b);
/* The same, for use where a yes allows: where it cannot tell, for want of memory (starved()) or because a name is too long, it says no. */
bool person_surely_same(const char *a, const char *b);

#endif
