/* Inside the PostgreSQL filter: its state, and what its two directions need of each other.
 *
 * The client's direction (pg_client.c) takes one message at a time; a message that must wait (for a verdict, for the upstream, for an
 * answer of the server) stays whole in msg and is dispatched again when something changed. The server's direction (pg_server.c) holds
 * every answer against the queue of what was forwarded, so that it is always known which statement it belongs to. */
#ifndef GH_FILTERS_PG_IMPL_H
#define GH_FILTERS_PG_IMPL_H

#include "filters/filter_impl.h"
#include "filters/pg_auth.h"
#include "filters/pg_names.h"
#include "filters/pg_wire.h"

/* A Bind longer than BIND_HOLD streams: its first BIND_PREFIX bytes are inspected (names, and the parameters for the record). */
#define BIND_HOLD   (1u << 20)
#define BIND_PREFIX (64u << 10)
/* What a Parse may have besides its text: name, and a type for each of 65,535 parameters. */
#define PARSE_EXTRA (64u + 2u + 4u * 65535u)
/* Ceiling of a held message beyond limits.statement. */
#define PARSE_ROOM (PARSE_EXTRA + BIND_HOLD + 64u)

/* Where the client is. */
enum pg_phase {
    PG_STARTUP,  /* waits for the startup packet */
    PG_HELLO,    /* the owner decides what to ask for */
    PG_PASSWORD, /* waits for the password message */
    PG_SASL,     /* waits for the initial response of OAUTHBEARER */
    PG_LOGIN,    /* the owner decides on the login */
    PG_SASL_BYE, /* refused: waits for the client to have read why, and then says it once more as an error */
    PG_WELCOME,  /* accepted, but the parameters to show come from the upstream, which is being opened */
    PG_READY,
};

enum pg_up {
    PG_UP_NONE,
    PG_UP_ASKED,    /* FLT_EV_UPSTREAM or _LOST was posted */
    PG_UP_STARTTLS, /* SSLRequest was sent */
    PG_UP_TLS,      /* FLT_EV_UPSTREAM_TLS was posted */
    PG_UP_LOGIN,
    PG_UP_READY,
};

/* The message at hand, in the client's direction. */
enum pg_step {
    PG_STEP_NEW,
    PG_STEP_ASKED,   /* FLT_EV_STATEMENT was posted */
    PG_STEP_ALLOWED, /* to be forwarded once there is an upstream */
    PG_STEP_REFUSED, /* to be refused: refusal holds the error */
};

/* A limited statement whose result is over its limit, and which. */
enum pg_over { PG_OVER_NOT, PG_OVER_ROWS, PG_OVER_BYTES, PG_OVER_TIME };
#define PG_OVER_STATE "53400" /* configuration_limit_exceeded */

/* A message that was forwarded and whose answer is outstanding. */
enum pg_sent {
    PG_S_QUERY,
    PG_S_PARSE,
    PG_S_BIND,
    PG_S_DESCRIBE_STATEMENT,
    PG_S_DESCRIBE_PORTAL,
    PG_S_EXECUTE,
    PG_S_CLOSE,
    PG_S_SYNC,
    PG_S_POISON
};
/* A name that a text makes or drops by itself. */
struct pg_forget {
    struct pg_name *name;
    bool portal;
};
struct pg_entry {
    enum pg_sent what;
    uint64_t id;          /* QUERY, EXECUTE: the statement's */
    uint64_t portal_id;   /* QUERY, EXECUTE of a FETCH or EXECUTE: the statement behind the name, which ends with it; 0: none */
    uint64_t rows, bytes; /* so far */
    char sqlstate[6];     /* QUERY: the error that it met */
    bool empty;           /* QUERY: held no statement */
    bool limited;         /* QUERY, EXECUTE: nothing follows it before it has ended */
    enum pg_over over;    /* what the server still sends of it is dropped */
    bool dropped;         /* some of it was */
    uint64_t max_rows, max_bytes, passed; /* limits; rows, or pieces of COPY data, that reached the client */
    uint64_t keep_rows, keep_bytes;       /* of the result, for the record; bytes 0: nothing */
    bool as_sent;                         /* QUERY, PARSE: positions in errors are of the text that the client sent */
    struct gh_piece *pieces;              /* QUERY, PARSE of a rewritten text: what of it the client sent (owned) */
    size_t npieces;
    bool statement;       /* CLOSE, POISON: of a statement, not a portal */
    struct pg_name *name; /* PARSE, BIND, CLOSE, POISON (of a Parse): the name with the change outstanding */
    void *obj;            /* PARSE, BIND: what the name will mean (referenced) */
    uint8_t *error;       /* POISON: the ErrorResponse to show instead (owned) */
    size_t error_len;
    struct pg_forget *forgets; /* QUERY, EXECUTE: names with a change outstanding (owned) */
    size_t nforgets;
    bool forgets_unread;      /* nobody knows what became of them, even when it goes well */
    enum flt_portals portals; /* QUERY, EXECUTE: until its fate was told */
    char *savepoint;          /* owned */
};

/* A savepoint of the transaction. */
#define PG_MARKS 64u
struct pg_mark {
    char *name;     /* owned */
    uint64_t since; /* how many there had been with it */
};
struct pg_marks {       /* the last of them, without those that are gone */
    struct pg_mark *of; /* PG_MARKS; NULL before the first one */
    size_t n;
    uint64_t last; /* how many there have been */
};

struct pg_param_status {
    char *name, *value; /* owned */
};

struct pg_filter {
    struct flt base;
    enum pg_phase phase;

    /* client's direction */
    struct buf msg;     /* the message being gathered or held */
    size_t need;        /* its whole length; 0: header not complete */
    bool whole;         /* msg holds all of it (or the inspected prefix of a long Bind) and waits to be dispatched */
    size_t stream_left; /* bytes of the current message that pass without being held... */
    bool stream_drop;   /* ...or are dropped */
    size_t stream_tail; /* bytes of the message in msg that will stream behind it */
    enum pg_step step;
    uint64_t asked_id; /* the open question; 0: none */
    uint64_t last_id;
    uint64_t msg_id;                 /* of the question about the message at hand */
    bool nested;                     /* a second question was asked, about what the message runs by its name */
    struct pg_portal *nested_portal; /* the portal that it fetches from, or one for the statement that it executes (referenced) */
    struct flt_answer answer;        /* the owner's; its strings are copied below */
    bool answered;                   /* there is one; else it is empty, and so are they */
    char **forget_statements, **forget_portals; /* owned, with the counts in answer */
    struct flt_use *fetched, *executed;         /* likewise, with their names */
    char *savepoint;                            /* likewise */
    char *rewritten;                            /* owned */
    struct gh_piece *pieces;                    /* owned, with the count in answer */
    bool secret;                                /* msg is to be wiped when it is dealt with */
    struct buf refusal;                         /* the ErrorResponse for the message at hand */
    bool refusal_fatal;
    bool unit_open;  /* messages were sent that no Sync or Query has followed */
    bool flushed;    /* the client wants the answers to what was sent without one */
    bool skip;       /* an error in this pipeline: everything until Sync is dropped */
    bool wait_query; /* a Query is running: nothing follows it before its ReadyForQuery */
    bool over_hold;  /* FLT_EV_OVER is not answered: a cancel request may be under way */
    bool copy_hold;  /* an Execute of COPY FROM STDIN was sent: nothing follows before the server has said whether it takes data */
    bool copy_in;    /* the server takes CopyData */
    size_t barrier;  /* answers still due of a Flush that was sent to learn the fate of what went before */
    uint64_t unit;   /* Sync units sent so far */
    struct buf kept; /* the first rows of the statement kept_id: type, length and body of each */
    uint64_t kept_id, kept_rows;
    bool kept_cut;          /* not all of its rows */
    size_t keeping;         /* bytes of the row that streams, still to be kept */
    size_t bound;           /* bytes of the parameters that the Binds in the queue hold */
    struct pg_portal *held; /* what the open question of an Execute points to (referenced) */

    /* login */
    struct buf startup; /* the startup packet's strings */
    struct flt_kv *startup_kv;
    size_t nstartup_kv;
    const char *user, *database;
    bool too_long;                 /* the password message is over its limit and was not read */
    char *where;                   /* OAUTHBEARER: the JSON for a refusal (owned); NULL: a password was asked for, or nothing */
    uint32_t key_pid, key_secret;  /* the client's */
    struct pg_param_status *shown; /* ParameterStatus as the client knows it */
    size_t nshown;

    /* server's direction */
    enum pg_up up;
    struct pg_auth auth;
    struct buf hello; /* the startup packet for the server, until it may be sent */
    bool auth_done;
    char poison[PG_NAME_MAX + 1]; /* a portal's name that nobody but this session's filter knows */
    uint32_t server_pid, server_secret;
    bool server_has_key;
    struct buf reply; /* the server message being gathered */
    size_t reply_need;
    struct cur said;                  /* the whole message of the server's that is being looked at: in reply, or where it came in */
    size_t reply_stream;              /* bytes of the current server message that pass without being held... */
    bool reply_drop;                  /* ...or are dropped */
    struct pg_param_status *reported; /* ParameterStatus of the server during its login */
    size_t nreported;
    struct flt_kv *event_kv; /* what FLT_EV_UPSTREAM_READY points to */
    char lost_text[256];
    char status;       /* of the last ReadyForQuery */
    bool veil;         /* of the last answers: see flt_answer */
    bool server_fatal; /* the server said FATAL: it will close */

    struct pg_names statements, portals;
    struct pg_marks marks;
    bool chained;           /* a transaction has ended since the last ReadyForQuery */
    uint64_t sent;          /* messages that were put into the queue so far */
    size_t ends;            /* of them in the queue: those that may end portals */
    uint64_t ends_sent;     /* sent, of the last of these */
    struct pg_entry *queue; /* ring of conf.limits.inflight + 2 */
    size_t q_head, q_len, q_cap;
};

static inline struct pg_filter *pg_of(struct flt *f) { return (struct pg_filter *)f; }

/* pg_filter.c */
void pg_fatal(struct pg_filter *f, enum gh_rc rc, const char *sqlstate, const char *message, const char *hint, const char *reason);
void pg_no_memory(struct pg_filter *f); /* the session's end: 53200 */
/* "reason" as the message too: the peer broke the protocol (08P01). */
void pg_violation(struct pg_filter *f, const char *reason);
void pg_parameter(struct pg_filter *f, const char *name,
                  const char *value); /* remembers and shows a ParameterStatus when new to the client */
void pg_welcome(struct pg_filter *f); /* AuthenticationOk was sent: parameters, key, ReadyForQuery */
void pg_wipe_message(struct pg_filter *f);
void pg_begin_tls(struct pg_filter *f); /* asks the owner for it */

/* pg_login.c */
size_t pg_login_feed(struct pg_filter *f, const uint8_t *data, size_t len); /* before PG_READY */
void pg_login_wipe(struct pg_filter *f);
void pg_login_ask(struct flt *base, enum flt_ask ask, const char *where);
void pg_login_accept(struct flt *base, const struct flt_login_ok *ok);
void pg_login_refuse(struct flt *base, const char *sqlstate, const char *message, const char *detail, const char *hint);

/* pg_client.c */
size_t pg_client_feed(struct pg_filter *f, const uint8_t *data, size_t len);
void pg_client_resume(struct pg_filter *f);  /* dispatches a held message again */
void pg_client_not_run(struct pg_filter *f); /* what was allowed and is held will not be sent: tells */
void pg_client_refuse_held(struct pg_filter *f, const char *sqlstate, const char *message,
                           const char *hint); /* the upstream cannot be had */

/* pg_server.c */
size_t pg_server_feed(struct pg_filter *f, const uint8_t *data, size_t len);
void pg_server_eof(struct pg_filter *f);

/* pg_forget.c */
bool pg_forget_waits(
    const struct pg_filter *f); /* before what makes or drops names is sent, the fate of every earlier change must be known */
bool pg_forget_begin(struct pg_filter *f,
                     struct pg_entry *e); /* e, which is sent, does what the answer says; false: the session is closed */
enum pg_fate {
    PG_WENT_WELL,
    PG_FAILED, /* at the beginning, in the middle, at the end */
    PG_NOT_RUN,
};
void pg_forget_end(struct pg_filter *f, struct pg_entry *e, enum pg_fate fate);

/* pg_ends.c */
void pg_ends_begin(struct pg_filter *f, struct pg_entry *e); /* e, which is sent, does what the answer says */
/* What was sent may have ended it, and was not answered; NULL: any portal. */
bool pg_ends_wait(const struct pg_filter *f, const struct pg_name *portal);
void pg_ends_bound(const struct pg_filter *f, struct pg_name *portal); /* the server has bound it */
void pg_ends_all(struct pg_filter *f);                                 /* the transaction is over */
void pg_ends_told(struct pg_filter *f, struct pg_entry *e, bool well);
void pg_ends_pop(struct pg_filter *f, struct pg_entry *e); /* e leaves the queue */
void pg_ends_free(struct pg_filter *f);

/* pg_forget.c: what the answer's text uses by name, with nothing outstanding: why it may not. */
enum pg_held {
    PG_HELD_NOT,
    PG_HELD_STATEMENT, /* nobody has made it */
    PG_HELD_PORTAL,
    PG_HELD_STATEMENT_OLD,
    PG_HELD_PORTAL_OLD,
    PG_HELD_STATEMENT_DOUBT,
    PG_HELD_PORTAL_DOUBT,
};
enum pg_held pg_held_back(struct pg_filter *f);

/* pg_keep.c: a row, COPY data or a RowDescription of e goes to the client; body NULL: it streams, and pg_keep_more() gets it. */
void pg_keep(struct pg_filter *f, const struct pg_entry *e, char type, const uint8_t *body, uint32_t len);
void pg_keep_more(struct pg_filter *f, const uint8_t *data, size_t len);
void pg_kept(const struct pg_filter *f, const struct pg_entry *e, struct flt_event *ev); /* into its result */

/* pg_limit.c: e is a QUERY or EXECUTE */
bool pg_limit_fits(struct pg_filter *f, struct pg_entry *e, uint32_t body); /* a row, or COPY data, that the server sends; counts it */
bool pg_limit_overrun(struct pg_filter *f);
void pg_limit_error(struct pg_filter *f, const struct pg_entry *e); /* to the client, in place of the server's */
/* The server has finished what is over its limit, and was (popped by now) knows nothing of an error: poisons. */
void pg_limit_undo(struct pg_filter *f, const struct pg_entry *was);

void pg_free_uses(struct flt_use **uses, size_t n); /* pg_client.c */

/* pg_queue.c */
struct pg_entry *pg_queue_push(struct pg_filter *f, enum pg_sent what); /* NULL (session closed) when over the limit */
struct pg_entry *pg_queue_head(struct pg_filter *f);
bool pg_queue_full(const struct pg_filter *f);
bool pg_queue_open(const struct pg_filter *f); /* no Sync stands behind what was sent last */
void pg_queue_pop(struct pg_filter *f);        /* releases what the head holds */
/* The server answered the head well: its name change is committed. Pops. */
void pg_queue_done(struct pg_filter *f);
/* The server answered the head with an error: everything up to the next SYNC was skipped. True when a SYNC is in the queue. */
bool pg_queue_fail(struct pg_filter *f, const char *sqlstate);
void pg_queue_end(struct pg_filter *f, bool lost); /* tells of every statement whose end will not be seen */
void pg_post_result(struct pg_filter *f, const struct pg_entry *e, const char *sqlstate, bool skipped);

#endif
