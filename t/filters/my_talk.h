/* Conversations with the MySQL filter, as text: what a test says for the client and the server, and what it sees come out.
 *
 * A packet is "number:body"; a body is hex digits and 'texts', one behind the other, or one of the words OK, TXN (an OK inside of a transaction), MORE (an OK
 * with another result behind it), EOF, ERR (number 1054); "0:03'select 1'" is a COM_QUERY. What comes out is written the same way, with "E1142" for an error and
 * "login", "ssl" for what the filter begins with at a server. The owner's part is played by rules: a text with the word "refuse" is refused, one with "later" is
 * answered only by talk_release(). */
#ifndef GH_T_MY_TALK_H
#define GH_T_MY_TALK_H

#include "filters/filter.h"

struct talk {
    struct flt *f;
    size_t chop; /* bytes per feed; 0: all at once, SIZE_MAX: random pieces */
    unsigned seed;
    bool eof;   /* the client and the server have no CLIENT_DEPRECATE_EOF */
    bool track; /* the client has CLIENT_SESSION_TRACK */
    bool upstream_down, cancelling;
    enum flt_tls tls;
    enum flt_ask ask;
    const char *password, *public_key;
    bool clear_refused;   /* the password must not be sent in clear */
    const char *plugin;   /* of the client's HandshakeResponse; NULL: caching_sha2_password */
    const char *auth;     /* its answer, NULL: 32 bytes of something */
    const char *greeting; /* the plugin that the server's greeting names */
    const char *mode;     /* its sql_mode */
    uint8_t collation;    /* 0: 45 */
    struct flt_kv settings[4];
    size_t nsettings;
    uint64_t open_id;
    enum flt_stmt_kind open_kind;
    bool alone, multi;
    char events[8192]; /* what the filter told, a line each */
    size_t events_len;
    struct buf pending[2]; /* fed, but not yet taken */
    char seen[65536];      /* last summary */
    bool closed;
};

void talk_start(struct talk *t, size_t chop, const struct flt_limits *limits);
void talk_end(struct talk *t);
void talk_hello(struct talk *t); /* the HandshakeResponse */
void talk_login(struct talk *t); /* and the token, up to OK */
void talk_greet(struct talk *t); /* the server's greeting */
/* The server's login and session, once the filter has asked for it: from greeting to the answer of the last statement of ours. */
void talk_serve(struct talk *t);
/* The server's part behind its OK to the login. seq: of the next packet. */
void talk_pins(struct talk *t);
/* As talk_login(), and a first statement that opens the upstream, answered. */
void talk_ready(struct talk *t);
void talk_client(struct talk *t, const char *packets);
void talk_server(struct talk *t, const char *packets);
void talk_raw(struct talk *t, enum flt_side side, const void *data, size_t len);
void talk_release(struct talk *t, bool allow);
/* Everything that came out for a side since the last look. */
const char *talk_saw(struct talk *t, enum flt_side side);
#define talk_expect(t, side, text) ck_assert_str_eq(talk_saw(t, side), text)
#define talk_events(t, text)                                                                                                               \
    do {                                                                                                                                   \
        ck_assert_str_eq((t)->events, text);                                                                                               \
        (t)->events[(t)->events_len = 0] = '\0';                                                                                           \
    } while (0)

#endif
