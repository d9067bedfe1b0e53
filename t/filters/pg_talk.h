/* Conversations with the PostgreSQL filter, as text: what a test says for the client and the server, and what it sees come out.
 *
 * Messages are written in a shorthand: "Q'select 1'" is a Query, "Pname'text'" a Parse, and so on (see pg_talk.c). The owner's part is played by rules: a
 * text with the word "refuse" is refused, one with "later" is answered only by talk_release(), "copyin" marks COPY FROM STDIN. */
#ifndef GH_T_PG_TALK_H
#define GH_T_PG_TALK_H

#include "filters/filter.h"

struct talk {
    struct flt *f;
    size_t chop; /* bytes per feed; 0: all at once, SIZE_MAX: random pieces */
    unsigned seed;
    bool params_cached; /* the owner knows ParameterStatus already */
    bool cancelling;    /* FLT_EV_OVER is answered by the test */
    bool upstream_down; /* the owner can reach no server */
    enum flt_tls tls;
    bool tls_later; /* the owner's handshake takes its time */
    bool tls_fails; /* the owner's handshake does */
    bool again;     /* after a login that failed the owner tries once more */
    bool need_binding;
    const char *password; /* NULL: "secret" */
    struct flt_secured secured;
    uint64_t open_id; /* the question that waits for talk_release() */
    char open_text[256];
    bool alone;        /* of the last question */
    uint32_t types[4]; /* likewise; the first ones */
    size_t ntypes;
    char events[8192]; /* what the filter told, a line each */
    size_t events_len;
    struct buf pending[2]; /* fed, but not yet taken */
    char seen[65536];      /* last summary */
    bool closed;
};

void talk_start(struct talk *t, size_t chop, const struct flt_limits *limits);
void talk_end(struct talk *t);
/* Start-up, token, welcome: with cached parameters there is no upstream yet. */
void talk_login(struct talk *t);
/* As talk_login(), and a first statement that opens the upstream, answered. */
void talk_ready(struct talk *t);
void talk_client(struct talk *t, const char *shorthand);
void talk_server(struct talk *t, const char *shorthand);
void talk_raw(struct talk *t, enum flt_side side, const void *data, size_t len);
void talk_release(struct talk *t, bool allow);
/* Everything that came out for a side since the last look, as shorthand. */
const char *talk_saw(struct talk *t, enum flt_side side);
#define talk_expect(t, side, text) ck_assert_str_eq(talk_saw(t, side), text)
#define talk_events(t, text)                                                                                                               \
    do {                                                                                                                                   \
        ck_assert_str_eq((t)->events, text);                                                                                               \
        (t)->events[(t)->events_len = 0] = '\0';                                                                                           \
    } while (0)

#endif
