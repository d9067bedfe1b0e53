/* The filter seam: a database wire protocol as a sans-IO machine between a client and a server.
 *
 * The owner (spoa/session.c, a test, a fuzzer) moves bytes and answers questions; the filter knows the protocol and
 * nothing else. It holds no socket, clock, log or event loop, so it can be driven byte by byte.
 *
 *     flt_feed(f, side, bytes)     bytes that came from the client or from the server
 *     flt_next(f, &ev)             what they mean: a login, a statement to judge, a result that ended, ...
 *     flt_out(f, side)             bytes that go to that side; the owner drains the buffer
 *
 * Events that ask (LOGIN, STATEMENT, UPSTREAM) hold the client's direction until they are answered, at once or later.
 * One question is open at a time, the server's direction keeps flowing meanwhile, and whatever is not understood ends in an error to the
 * client, never in bytes to the server. */
#ifndef GH_FILTERS_FILTER_H
#define GH_FILTERS_FILTER_H

#include "filters/bytes.h"

enum flt_side { FLT_CLIENT, FLT_SERVER };

struct flt_kv {
    const char *name, *value; /* NUL-terminated */
};

/* Ceilings for what a peer can make us hold. Zero takes the default in brackets. */
struct flt_limits {
    size_t startup;    /* bytes of a startup packet [10000, as PostgreSQL's own MAX_STARTUP_PACKET_LENGTH] */
    size_t token;      /* bytes of a password message [8192 + 64] */
    size_t statement;  /* bytes of one Query or Parse text [16 MiB] */
    size_t params;     /* bytes of parameter values kept for the record, per execution [8192] */
    size_t reply;      /* bytes of one server message that must be held whole (errors, notices, ...) [1 MiB] */
    size_t statements; /* prepared statements a session may keep [4096] */
    size_t portals;    /* portals a session may keep [1024] */
    size_t inflight;   /* forwarded messages whose answers are outstanding [4096] */
};

enum flt_ev_kind {
    FLT_EV_LOGIN = 1,      /* asks: flt_login_accept() or flt_login_refuse() */
    FLT_EV_STATEMENT,      /* asks: flt_answer() */
    FLT_EV_UPSTREAM,       /* asks: flt_upstream_open() or flt_upstream_failed() */
    FLT_EV_UPSTREAM_READY, /* tells: logged in; ev.upstream holds the server's parameters (for the owner's cache) */
    FLT_EV_UPSTREAM_LOST,  /* tells: the login over there failed: close that connection, drop what it still
                            * sent, log ev.lost. The session lives on */
    FLT_EV_RESULT,         /* tells: a statement that was allowed has ended */
    FLT_EV_CANCEL,         /* tells: the connection is a CancelRequest; CLOSE follows */
    FLT_EV_CLOSE,          /* tells: drain both outputs, then close both sides; nothing follows */
};

enum flt_stmt_kind {
    FLT_STMT_QUERY = 1, /* simple query: text may hold several statements; it is one unit */
    FLT_STMT_PREPARE,   /* extended Parse: judged now, run later */
    FLT_STMT_EXECUTE,   /* extended Execute of a prepared text, with its parameters */
};

struct flt_param {
    const uint8_t *data; /* NULL for SQL NULL */
    uint32_t len;        /* its full length */
    uint32_t kept;       /* bytes present at data; less than len when over flt_limits.params */
    bool binary;
};

struct flt_event {
    enum flt_ev_kind kind;
    union {
        struct {                  /* FLT_EV_LOGIN: pointers live until the answer */
            const char *user;     /* as sent: recorded, never trusted */
            const char *database; /* "" when none was named: the user's name applies */
            const char *token;    /* the password message's text; NUL-terminated, wiped after the answer */
            size_t token_len;
            const struct flt_kv *params; /* the remaining startup parameters */
            size_t nparams;
        } login;
        struct {         /* FLT_EV_STATEMENT: pointers live until the answer */
            uint64_t id; /* counts up from 1 within the filter */
            enum flt_stmt_kind kind;
            const char *text; /* NUL-terminated too; may contain any bytes, NUL excepted */
            size_t len;
            const char *name; /* prepared statement's name ("" unnamed); NULL for a simple query */
            void *ctx;        /* EXECUTE: the ctx that the PREPARE's answer gave */
            const struct flt_param *params;
            size_t nparams;
            bool params_cut; /* the client sent more parameters than are listed */
        } stmt;
        struct {                         /* FLT_EV_UPSTREAM_READY */
            const struct flt_kv *params; /* what the server reported, valid during the event */
            size_t nparams;
        } upstream;
        struct {              /* FLT_EV_UPSTREAM_LOST: for the log only, the client was told something neutral */
            char sqlstate[6]; /* the server's, or "" */
            const char *text; /* valid until the next call */
        } lost;
        struct {              /* FLT_EV_RESULT */
            uint64_t id;      /* of the QUERY or EXECUTE that ended; every one that was allowed ends exactly once */
            uint64_t rows;    /* rows sent to the client, or copied; affected rows for INSERT, UPDATE, DELETE, MERGE */
            uint64_t bytes;   /* payload bytes of the rows, both COPY directions included */
            char sqlstate[6]; /* "00000", or the error's; "" when it was skipped or its outcome is unknown */
            bool skipped;     /* the server never ran it (an earlier error in its pipeline, no upstream); else "" means: connection lost */
        } result;
        struct { /* FLT_EV_CANCEL */
            uint32_t pid, secret;
        } cancel;
        struct {                /* FLT_EV_CLOSE */
            enum gh_rc rc;      /* GH_OK: an orderly end */
            const char *reason; /* static; for the log and the record */
        } close;
    };
};

/* What the owner decided on a statement. Strings are copied during the call. */
struct flt_answer {
    bool allow;
    /* allowed */
    bool copy_in;          /* PREPARE and EXECUTE: the statement is COPY ... FROM STDIN */
    void *ctx;             /* PREPARE: the owner's data for later EXECUTE events; given back through flt_conf.ctx_free */
    const char *rewritten; /* the text to forward instead; NULL: as sent. QUERY and PREPARE only */
    size_t rewritten_len;
    /* Names that the statement itself makes or drops (SQL's PREPARE, DEALLOCATE, DECLARE, CLOSE, DISCARD ALL): the filter forgets
     * what it knew of them, so that a later Bind or Execute cannot run one text and be recorded as another. */
    const char *const *forget_statements;
    size_t nforget_statements;
    bool forget_all_statements;
    const char *const *forget_portals;
    size_t nforget_portals;
    bool forget_all_portals;
    /* Portals that the text reads by name (FETCH, MOVE). When a Bind made one, an EXECUTE of its statement is asked about before the text
     * is sent, and ends with it. */
    const char *const *fetched;
    size_t nfetched;
    /* refused */
    const char *sqlstate, *message, *detail, *hint; /* detail and hint may be NULL */
    bool fatal;                                     /* end the session after the answer */
};

struct flt_conf {
    struct flt_limits limits;
    void (*ctx_free)(void *ctx); /* may be NULL */
    /* Server parameters that must keep the value they have here; a server that reports another value ends the session. */
    const struct flt_kv *pins; /* borrowed; outlives the filter */
    size_t npins;
};

struct flt_login_ok {
    /* ParameterStatus to show the client before there is an upstream; NULL: open it first and show the server's own. */
    const struct flt_kv *params;
    size_t nparams;
    uint32_t pid, secret; /* the cancel key for the client: ours, never the server's */
};

/* Gatehouse's own login. Copied during the call; the password is wiped after use. */
struct flt_upstream {
    const char *user, *password, *database;
    const struct flt_kv *params; /* startup parameters: pins, and what the client may set */
    size_t nparams;
    uint8_t nonce[24];    /* fresh random bytes (SCRAM's client nonce) */
    bool allow_cleartext; /* AuthenticationCleartextPassword may be answered: true on a Unix socket or inside TLS */
};

/* flt_feed() takes nothing for one side while the other side's output holds this much. */
#define FLT_OUT_MARK (256u << 10)

struct flt; /* opaque */

void flt_free(struct flt *f);
/* Gives len bytes that came from side. Returns how many were taken. The owner keeps the rest and feeds it again after events were taken,
 * after the next answer, after bytes came from the other side, or after the outputs drained below FLT_OUT_MARK.
 * Never fails: errors come as FLT_EV_CLOSE with the fitting message already in the client's output. */
size_t flt_feed(struct flt *f, enum flt_side side, const void *data, size_t len);
/* The peer closed its direction. A server's end of file closes the session with an error to the client. */
void flt_eof(struct flt *f, enum flt_side side);
/* The next event; false when there is none now. */
bool flt_next(struct flt *f, struct flt_event *ev);
/* Bytes for side. The owner drains it with buf_drain(). */
struct buf *flt_out(struct flt *f, enum flt_side side);

void flt_login_accept(struct flt *f, const struct flt_login_ok *ok);
void flt_login_refuse(struct flt *f, const char *sqlstate, const char *message, const char *detail, const char *hint);
/* id must be the open question's; answering twice is an error of ours and asserts. */
void flt_answer(struct flt *f, uint64_t id, const struct flt_answer *answer);
/* The owner has a connection to the server: the filter logs in over it. */
void flt_upstream_open(struct flt *f, const struct flt_upstream *up);
/* There will be none: the statement that wanted it is refused with this error. fatal ends the session. */
void flt_upstream_failed(struct flt *f, const char *sqlstate, const char *message, const char *hint, bool fatal);
/* Ends the session from outside (drain, kill, a lapsed token, a limit): an error to the client, then FLT_EV_CLOSE. */
void flt_terminate(struct flt *f, const char *sqlstate, const char *message, const char *hint);
/* The server's cancel key, when logged in. */
bool flt_server_key(const struct flt *f, uint32_t *pid, uint32_t *secret);
/* True when no statement is running and none is open in a transaction: a draining owner may end the session here. */
bool flt_idle(const struct flt *f);

/* PostgreSQL's frontend/backend protocol 3.0 (PostgreSQL documentation, chapter "Frontend/Backend Protocol"). NULL when out of memory. */
struct flt *pg_filter_new(const struct flt_conf *conf);
/* A whole error answer (ErrorResponse, severity FATAL) into out: for a peer that never gets a filter. */
void pg_put_fatal(struct buf *out, const char *sqlstate, const char *message, const char *hint);

#endif
