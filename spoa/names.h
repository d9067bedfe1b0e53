/* Names that SQL made on the server (PREPARE, DECLARE), each with the generation of the policy that allowed it.
 *
 * After a reload, EXECUTE and FETCH of a name that an older policy allowed must be refused. A name takes a newer generation only when the
 * server has said that the statement that makes it succeeded: until then the old object may still be behind it. What code on the server makes (a function
 * that opens a cursor) has names that nobody tells: they are as old as the oldest rights under which such code ran. */
#ifndef GH_SPOA_NAMES_H
#define GH_SPOA_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct name_entry;
struct names { /* zero-initialised: empty */
    struct name_entry **bucket;
    size_t n, bytes;
    uint64_t code; /* the oldest rights under which code ran that may make names; 0: none did */
    bool called;   /* somebody could have meant some of it to: else a name that is not listed is nobody's */
};
struct name_maker {
    uint64_t generation, rights;
    size_t bytes; /* of its text */
    bool hold;    /* a cursor WITH HOLD */
};
/* A statement that makes name is on its way: listed when it was not. names_end() must follow. */
void names_promise(struct names *s, const char *name, const struct name_maker *by);
/* It has ended, and was allowed by that generation. made: the server made it. */
void names_end(struct names *s, const char *name, uint64_t generation, bool made);
void names_dropped(struct names *s, const char *name); /* these keep what a statement on its way will make */
void names_clear(struct names *s);
void names_transaction_over(struct names *s); /* cursors without hold are gone */
void names_free(struct names *s);
/* Code is on its way that may make names of its own. called: it is there to be called, and not a view's or a trigger's. */
void names_code(struct names *s, uint64_t rights, bool called);

enum names_is {
    NAMES_UNKNOWN,
    NAMES_MADE,     /* by what this generation allowed, or an attempt at it */
    NAMES_OLD,      /* what stands behind it was allowed by an older one */
    NAMES_CODE,     /* not listed; code that was called may have made it, under these rights */
    NAMES_CODE_OLD, /* the same under older ones */
};
enum names_is names_look(const struct names *s, const char *name, uint64_t generation, uint64_t rights);

#endif
