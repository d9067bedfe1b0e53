/* Shared by door.c and door_url.c. */
#ifndef GH_CTL_DOOR_INT_H
#define GH_CTL_DOOR_INT_H

#include "ctl/door.h"

#include "filters/bytes.h"

#define DOOR_ANSWER_MAX ((size_t)64 << 20)

struct door_url {
    char base[600]; /* "": the socket is asked */
    const char *ca; /* NULL: the system's */
};
extern struct door_url door_url;
/* One request; the HTTP status, with *out its JSON, or NULL when it is none. -1: there was no answer, and that has been said. */
int door_url_exchange(const char *path, const json_t *body, const char *token, json_t **out);

#endif
