/* Who is logged in: for the admin door. Sessions enter and leave on their workers' threads; anybody may look. */
#ifndef GH_SPOA_ROSTER_H
#define GH_SPOA_ROSTER_H

#include "spoa/registry.h"

#include <jansson.h>
#include <stdatomic.h>

struct roster;
struct roster *roster_new(void);
void roster_free(struct roster *r); /* NULL is fine */

enum roster_state { ROSTER_IDLE, ROSTER_JUDGED, ROSTER_RUNNING, ROSTER_WAITS /* for approval */ };
struct roster_info { /* strings are copied; NULL: none */
    const char *id, *principal, *issuer, *groups, *database, *user, *src, *application_name;
    uint16_t src_port;
    uint64_t started_ms; /* since 1970 */
    struct registry_target target;
};
struct roster_entry;
/* NULL when out of memory: the session is then not listed. */
struct roster_entry *roster_enter(struct roster *r, const struct roster_info *i);
void roster_leave(struct roster *r, struct roster_entry *e); /* e NULL is fine */
/* The session's own numbers, by its thread. */
void roster_tell(struct roster_entry *e, enum roster_state state, uint64_t statements, uint64_t refused, uint64_t rows);

/* All of them as an array of objects, or the one with this id; a new reference. NULL: out of memory, or none. */
json_t *roster_list(struct roster *r);
json_t *roster_show(struct roster *r, const char *id);
bool roster_find(struct roster *r, const char *id, struct registry_target *target);

#endif
