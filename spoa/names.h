/* Names that SQL made on the server (PREPARE, DECLARE), each with the generation of the policy that allowed it.
 *
 * After a reload, EXECUTE and FETCH of a name that an older policy allowed must be refused. A name takes a newer generation only when the
 * server has said that the statement that makes it succeeded: until then the old object may still be behind it. */
#ifndef GH_SPOA_NAMES_H
#define GH_SPOA_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_MAX 1024 /* of one session; beyond, the oldest generation stands for all that are not listed */

struct name_entry {
    char *name;
    uint64_t generation;
};
struct names { /* zero-initialised: empty */
    struct name_entry *list;
    size_t n, cap;
    uint64_t unlisted; /* the oldest generation of names that found no room; 0: none */
};
/* A statement that makes name is on its way: listed when it was not. */
void names_promise(struct names *s, const char *name, uint64_t generation);
/* The server made it. */
void names_made(struct names *s, const char *name, uint64_t generation);
void names_dropped(struct names *s, const char *name);
void names_clear(struct names *s);
/* True when what stands behind name was allowed by a policy older than generation. */
bool names_older(const struct names *s, const char *name, uint64_t generation);

#endif
