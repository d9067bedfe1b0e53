/* gatehousectl approvals watch, full-screen: what waits, one request with its statement, and deciding on it. */
#ifndef GH_CTL_WATCH_H
#define GH_CTL_WATCH_H

#include <jansson.h>
#include <stdbool.h>

struct watch_conf {
    const char *socket;
    const char *token; /* NULL: only to look */
    /* The requests that wait; NULL and *rc: as door_ask(). */
    json_t *(*fetch)(void *arg, int *rc);
    void *arg;
};
/* False when there is no terminal for it: nothing was done. Else *rc is the exit status. */
bool watch_screen(const struct watch_conf *conf, int *rc);

#endif
