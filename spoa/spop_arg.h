/* The arguments of a SPOP message as the values that a handler needs. */
#ifndef GH_SPOA_SPOP_ARG_H
#define GH_SPOA_SPOP_ARG_H

#include "filters/proxyv2.h"
#include "spoa/spop.h"

/* All take NULL for an argument that is absent. */
bool spop_arg_is(const struct spop_value *v, const char *word);
bool spop_arg_addr(const struct spop_value *v, char out[PP2_ADDR_SIZE]);
/* HAProxy sends numbers as INT32, INT64 or unsigned, by where the sample came from. */
bool spop_arg_uint(const struct spop_value *v, uint64_t max, uint64_t *out);
/* Cut to size; NULL when it is no string. */
const char *spop_arg_text(const struct spop_value *v, char *out, size_t size);

/* A copy of the message that needs nothing of the frame it came in; NULL when out of memory. spop_message_free() wipes it; NULL is fine. */
struct spop_message *spop_message_copy(const struct spop_message *m);
void spop_message_free(struct spop_message *m);

#endif
