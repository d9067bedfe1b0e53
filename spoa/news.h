/* What happens that somebody outside wants to hear of: the one who finds out tells it, and whoever listens must not block. */
#ifndef GH_SPOA_NEWS_H
#define GH_SPOA_NEWS_H

#include <jansson.h>

struct news {
    void (*tell)(void *arg, const char *event, const json_t *what); /* NULL: nobody listens. Any thread; what is borrowed */
    void *arg;
};
static inline void news_tell(const struct news *n, const char *event, const json_t *what) {
    if (n->tell != NULL) n->tell(n->arg, event, what);
}

#endif
