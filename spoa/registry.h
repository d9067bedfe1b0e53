/* The live sessions: how many, how many of each principal, and which cancel key belongs to which. Any thread. */
#ifndef GH_SPOA_REGISTRY_H
#define GH_SPOA_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct registry;
struct worker;

/* NULL when out of memory. */
struct registry *registry_new(void);
void registry_free(struct registry *r);

/* Counts a session in; false when max are there already. */
bool registry_enter(struct registry *r, size_t max);
void registry_leave(struct registry *r);
size_t registry_count(struct registry *r);

/* Counts a session of this principal in; false when it has max already (or memory is out). */
bool registry_principal_enter(struct registry *r, const char *principal, size_t max);
void registry_principal_leave(struct registry *r, const char *principal);

/* Who to tell of a cancel request. */
struct registry_target {
    struct worker *worker;
    uint64_t serial; /* of the session, on any worker */
};
/* Draws a random key that no live session has. False when out of memory or randomness. */
bool registry_key_new(struct registry *r, const struct registry_target *target, uint32_t *pid, uint32_t *secret);
/* The same with an id that was drawn before (a MySQL connection's), and a secret that nobody gets to know. owner: who may ask for it by its id alone. False
 * when a live session has the id. */
bool registry_key_add(struct registry *r, const struct registry_target *target, uint32_t id, const char *owner);
/* The session of this id and owner. */
bool registry_key_owned(struct registry *r, uint32_t id, const char *owner, struct registry_target *target);
/* True when a live session has the id. */
bool registry_key_taken(struct registry *r, uint32_t id);
void registry_key_drop(struct registry *r, uint32_t pid);
/* The session with this key; the secret is compared in constant time. */
bool registry_key_find(struct registry *r, uint32_t pid, uint32_t secret, struct registry_target *target);

#endif
