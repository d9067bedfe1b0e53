/* Whether this thread was refused memory since it last asked: by jansson and OpenSSL, whose functions say of it no more than "no", and by who notes it here.
 *
 * For who reads records back. One that could not be read for want of memory is not one that says nothing, and a signature that could not be looked at is not a
 * forged one: what it forbids, or says of what was used, would be forgotten. */
#ifndef GH_SPOA_STARVED_H
#define GH_SPOA_STARVED_H

#include <stdbool.h>

/* From now on, in this thread. */
void starved_reset(void);
bool starved(void);
/* The same for a part of it: what starved_begin() gave goes to starved_end(), which says whether memory was refused between the two. */
bool starved_begin(void);
bool starved_end(bool begun);
/* Memory was refused, to who says so. */
void starved_note(void);
/* Whether OpenSSL's allocations are seen: always, unless something that was loaded before had some already. */
bool starved_sees_openssl(void);

#endif
