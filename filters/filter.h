/* The filter seam: a database wire protocol as a sans-IO machine between a client and a server.
 *
 * The owner (spoa/session.c, a test, a fuzzer) moves bytes and answers questions; the filter knows the protocol and
 * nothing else. It holds no socket, clock, log or event loop, so it can be driven byte by byte.
 *
 *     flt_feed(f, side, bytes)     bytes that came from the client or from the server
 *     flt_next(f, &ev)             what they mean: a login, a statement to judge, a result that ended, ...
 *     flt_out(f, side)             bytes that go to that side; the owner drains the buffer
 *
 * Events that ask (LOGIN, STATEMENT, UPSTREAM, ...) hold the client's direction until they are answered, at once or later.
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
    FLT_EV_HELLO = 1,      /* asks: flt_login_ask(), what the client has to show, or flt_login_refuse() */
    FLT_EV_LOGIN,          /* asks: flt_login_accept() or flt_login_refuse() */
    FLT_EV_STATEMENT,      /* asks: flt_answer() */
    FLT_EV_UPSTREAM,       /* asks: flt_upstream_open() or flt_upstream_failed() */
    FLT_EV_UPSTREAM_TLS,   /* asks: begin TLS on the server's side, then flt_upstream_secured() or flt_upstream_failed(). From here on
                            * only bytes that came out of TLS may be fed for it */
    FLT_EV_UPSTREAM_READY, /* tells: logged in; ev.upstream holds the server's parameters (for the owner's cache) */
    FLT_EV_UPSTREAM_LOST,  /* asks: the login over there failed: close that connection, drop what it still sent, log ev.lost, then
                            * flt_upstream_open() once more with another, or flt_upstream_failed() */
    FLT_EV_RESULT,         /* tells: a statement that was allowed has ended */
    FLT_EV_OVER,           /* asks: the result of a limited statement is over its limit. Have the server stop it if that is worth while (a
                            * CancelRequest), and then call flt_over() */
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
        struct {                  /* FLT_EV_HELLO, FLT_EV_LOGIN: pointers live until the answer */
            const char *user;     /* as sent: recorded, never trusted */
            const char *database; /* "" when none was named: the user's name applies */
            const char *token;    /* LOGIN: what the client showed; NUL-terminated, wiped after the answer. "" when nothing was asked for */
            size_t token_len;
            bool too_long;  /* over flt_limits.token: token is "", the answer must be a refusal */
            bool discovery; /* the client asks by OAUTHBEARER where to get a token: the answer must be a refusal, of nobody's fault */
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
            const uint32_t
                *types; /* EXECUTE: OIDs that the Parse gave its first parameters; 0: left to the server. MySQL: types and flags */
            size_t ntypes;
            bool by_name; /* EXECUTE: by SQL's EXECUTE, whose values are in its own text: there are no params */
            bool alone;   /* no transaction is open at the server, and nothing of this unit was sent: holding it holds nobody else */
            bool multi;   /* MySQL: the server takes several statements in this text */
        } stmt;
        struct {                         /* FLT_EV_UPSTREAM_READY */
            const struct flt_kv *params; /* what the server reported, valid during the event */
            size_t nparams;
        } upstream;
        struct {              /* FLT_EV_UPSTREAM_LOST: for the log only, the client must be told something neutral */
            char sqlstate[6]; /* the server's, or "" */
            const char *text; /* valid until the next call */
        } lost;
        struct {              /* FLT_EV_RESULT */
            uint64_t id;      /* of the QUERY or EXECUTE that ended; every one that was allowed ends exactly once */
            uint64_t rows;    /* rows sent to the client, or copied; affected rows for INSERT, UPDATE, DELETE, MERGE */
            uint64_t bytes;   /* payload bytes of the rows, both COPY directions included */
            char sqlstate[6]; /* "00000", or the error's; "" when it was skipped or its outcome is unknown */
            const uint8_t
                *kept; /* what flt_answer.keep_bytes asked for, until the next call: for each row, or piece of COPY data, the type of
                                  * the message ('D', 'd'; 'T' for a QUERY's RowDescription), its body's length (4 bytes, big-endian), the body */
            size_t kept_len;
            bool kept_cut; /* and there were more */
            bool skipped;  /* the server never ran it (an earlier error in its pipeline, no upstream); else "" means: connection lost */
        } result;
        struct {         /* FLT_EV_OVER */
            uint64_t id; /* of the statement */
        } over;
        struct { /* FLT_EV_CANCEL */
            uint32_t pid, secret;
        } cancel;
        struct {                /* FLT_EV_CLOSE */
            enum gh_rc rc;      /* GH_OK: an orderly end */
            const char *reason; /* static; for the log and the record */
        } close;
    };
};

/* A name that a text uses, and who may have made it, as far as the owner knows. A message of the protocol is what the filter knows. */
enum flt_made {
    FLT_MADE_NOT, /* nobody */
    FLT_MADE_SQL, /* SQL that was allowed: PREPARE, DECLARE, code that these sessions may run */
    FLT_MADE_OLD, /* code that ran when this session had other rights */
    FLT_MADE_ANY, /* whoever: nothing is held back */
};
struct flt_use {
    const char *name;
    enum flt_made made;
    bool place; /* it runs nothing (WHERE CURRENT OF) */
};

/* What the filter knows of a name. */
enum flt_name {
    FLT_NAME_NONE,
    FLT_NAME_MESSAGE, /* a message made it, or may be making it or dropping it */
    FLT_NAME_DOUBT,   /* a message made it; what became of it is not known */
};
/* In whose words the use of a name is refused, by filter and owner alike. */
#define FLT_NO_STATEMENT  "there is no such prepared statement in this session"
#define FLT_NO_PORTAL     "there is no such cursor or portal in this session"
#define FLT_STATEMENT_OLD "the policy, or your groups, have changed since this statement may have been prepared"
#define FLT_PORTAL_OLD    "the policy, or your groups, have changed since this cursor may have been opened"
#define FLT_OLD_HINT                                                                                                                       \
    "End those of this session (DISCARD ALL; DEALLOCATE ALL; CLOSE ALL), each in a text of its own, and make it again; or connect again."
#define FLT_STATEMENT_DOUBT      "it is not known what this prepared statement is: a text that was to make or drop it has failed"
#define FLT_STATEMENT_DOUBT_HINT "DEALLOCATE it, in a text of its own, and prepare it again; or use another name."
#define FLT_PORTAL_DOUBT                                                                                                                   \
    "it is not known what this cursor is: a text that was to make or close it has failed, or its transaction or savepoint may be over"
#define FLT_PORTAL_DOUBT_HINT "CLOSE it, in a text of its own, or end the transaction; or use another name."

/* What a text does to the portals that messages made, when it goes well. */
enum flt_portals {
    FLT_PORTALS_STAY,
    FLT_PORTALS_MARK,    /* SAVEPOINT: those that are bound from here on... */
    FLT_PORTALS_RELEASE, /* RELEASE: (the savepoint is gone) */
    FLT_PORTALS_BACK,    /* ...end with ROLLBACK TO it */
    FLT_PORTALS_END,     /* COMMIT, ROLLBACK: all end, also where the next transaction follows at once */
    FLT_PORTALS_MARKS,   /* a text of several statements, some of them SAVEPOINT or RELEASE */
    FLT_PORTALS_MANY,    /* the same, with some that end portals */
    FLT_PORTALS_CODE,    /* it runs code that may end a transaction (CALL, DO) */
};

/* What the owner decided on a statement. Strings are copied during the call. */
struct flt_answer {
    bool allow;
    bool secret; /* the text as sent holds a secret: wiped after use; what is kept of it, and told at EXECUTE, is rewritten */
    /* allowed */
    bool copy_in;          /* PREPARE and EXECUTE: the statement is COPY ... FROM STDIN */
    void *ctx;             /* PREPARE: the owner's data for later EXECUTE events; given back through flt_conf.ctx_free */
    const char *rewritten; /* the text to forward instead; NULL: as sent. QUERY and PREPARE only */
    size_t rewritten_len;
    const struct gh_piece
        *pieces; /* of the text as sent that are in rewritten, in order: positions in errors are put back by them; npieces 0: left out */
    size_t npieces;
    /* Data is hidden from this client: of the server's errors and notices it gets what can hold none (pg_veil.h). From the answer on for whatever
     * the server says, until an answer without it finds nothing under way. */
    bool veil;
    bool
        veil_rows; /* MySQL, with veil: how many rows it changed would tell what was there (ON DUPLICATE KEY UPDATE, REPLACE): those that it was given are told */
    bool
        veil_columns; /* MySQL, with veil: what runs may have been rewritten when SQL's PREPARE came: columns and errors are told as of such a text */
    bool
        retrack; /* MySQL, QUERY (of one statement) and EXECUTE: it sets what the server reports of its session, which is set again, and the session looked at, before its client is answered */
    /* QUERY (of one statement) and EXECUTE: how much of a result the client gets; 0: all. limited: nothing else is sent to the server before it has
     * ended, so that what is over its limit can be undone; set with either of these, and for flt_overrun(). */
    bool limited;
    uint64_t max_rows, max_bytes;
    /* PostgreSQL, with these: it changes data and returns rows. A Query outside of a transaction block has committed when its rows are here, so such a one is refused. */
    bool undoes;
    /* QUERY and EXECUTE: how many rows, and bytes of them, the result event is to hold; bytes 0: none. */
    uint64_t keep_rows, keep_bytes;
    /* Names that the statement itself makes or drops (SQL's PREPARE, DEALLOCATE, DECLARE, CLOSE, DISCARD ALL): the filter forgets
     * what it knew of them, so that a later Bind or Execute cannot run one text and be recorded as another. When the text fails, and always when it is
     * unread, they are in doubt: nothing that uses them is sent. */
    const char *const *forget_statements;
    size_t nforget_statements;
    bool forget_all_statements;
    const char *const *forget_portals;
    size_t nforget_portals;
    bool forget_all_portals;
    bool forgets_unread;
    /* PostgreSQL: what it does to portals, with the savepoint's name for MARK, RELEASE and BACK. */
    enum flt_portals portals;
    const char *savepoint;
    /* Portals that the text reads by name (FETCH, MOVE). When a Bind made one, an EXECUTE of its statement is asked about before the text
     * is sent, and ends with it. What nobody made, or what is old, is refused. */
    const struct flt_use *fetched;
    size_t nfetched;
    /* Prepared statements that the text runs by name (SQL's EXECUTE). When a Parse made one, an EXECUTE of it (by_name) is asked about likewise. */
    const struct flt_use *executed;
    size_t nexecuted;
    bool many; /* QUERY: the text has several statements, so that no limit on what it runs by name could be kept */
    /* refused */
    const char *sqlstate, *message, *detail, *hint; /* detail and hint may be NULL */
    bool column;                                    /* MySQL, with 42501: it is about a column, not a table */
    uint32_t position;                              /* in the text, in characters from 1; 0: none */
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

/* How the server's connection gets its TLS. */
enum flt_tls {
    FLT_TLS_NONE,     /* not at all */
    FLT_TLS_STARTTLS, /* the protocol asks for it first */
    FLT_TLS_DIRECT,   /* with the connection's first byte */
};

/* Gatehouse's own login. Copied during the call, but for the password: that is borrowed until FLT_EV_UPSTREAM_READY, _LOST or the filter's end. */
struct flt_upstream {
    const char *user, *password, *database;
    const struct flt_kv *params; /* startup parameters: pins, and what the client may set */
    size_t nparams;
    uint8_t nonce[24];    /* fresh random bytes (SCRAM's client nonce) */
    bool allow_cleartext; /* AuthenticationCleartextPassword may be answered: on a Unix socket, or inside TLS with a verified server */
    bool need_binding;    /* only a login that is bound to the TLS connection counts (SCRAM-SHA-256-PLUS) */
    enum flt_tls tls;
    /* MySQL, caching_sha2_password: the server's RSA key (PEM), for a password that must not be sent in clear. NULL: none is trusted. Copied. */
    const char *public_key;
};

/* The handshake with the server is done, its certificate verified. */
struct flt_secured {
    /* tls-server-end-point (RFC 5929, section 4); NULL: undefined for this certificate's signature. Copied. */
    const uint8_t *end_point;
    size_t end_point_len; /* at most 64 */
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

enum flt_ask {
    FLT_ASK_NOTHING,     /* the owner knows who it is: LOGIN follows at once */
    FLT_ASK_PASSWORD,    /* in clear: TLS has ended in front of us */
    FLT_ASK_OAUTHBEARER, /* SASL OAUTHBEARER (RFC 7628; PostgreSQL documentation, "SASL Authentication", since version 18) */
};
/* where: for OAUTHBEARER, the JSON object that a refusal shows the client first (RFC 7628, section 3.2.2). Copied. */
void flt_login_ask(struct flt *f, enum flt_ask ask, const char *where);
void flt_login_accept(struct flt *f, const struct flt_login_ok *ok);
void flt_login_refuse(struct flt *f, const char *sqlstate, const char *message, const char *detail, const char *hint);
/* id must be the open question's; answering twice is an error of ours and asserts. */
void flt_answer(struct flt *f, uint64_t id, const struct flt_answer *answer);
/* The owner has a connection to the server: the filter logs in over it. */
void flt_upstream_open(struct flt *f, const struct flt_upstream *up);
/* Answers FLT_EV_UPSTREAM_TLS. */
void flt_upstream_secured(struct flt *f, const struct flt_secured *s);
/* There will be none: the statement that wanted it is refused with this error. fatal ends the session. */
void flt_upstream_failed(struct flt *f, const char *sqlstate, const char *message, const char *hint, bool fatal);
/* Ends the session from outside (drain, kill, a lapsed token, a limit): an error to the client, then FLT_EV_CLOSE. */
void flt_terminate(struct flt *f, const char *sqlstate, const char *message, const char *hint);
/* Answers FLT_EV_OVER: from here on nothing of ours can stop another statement. */
void flt_over(struct flt *f);
/* A limited statement has run for too long: FLT_EV_OVER follows. False when none is running, or it is over its limit already. */
bool flt_overrun(struct flt *f);
/* True inside of a transaction block, also of one that has failed, and while something is under way without a Sync behind it. */
bool flt_in_transaction(const struct flt *f);
enum flt_name flt_name(const struct flt *f, bool portal, const char *name);
/* What waits in the server's output runs nothing, and the server answers it only behind what the open question is about: sending it may wait for that answer,
 * so that both go together. False without an open question. */
bool flt_may_hold(const struct flt *f);
/* The server's cancel key, when logged in. */
bool flt_server_key(const struct flt *f, uint32_t *pid, uint32_t *secret);
/* True when no statement is running and none is open in a transaction: a draining owner may end the session here. */
bool flt_idle(const struct flt *f);
/* Nothing has moved for a while, and no question is open: buffers that are empty give their memory back. Not while an event is looked at. */
void flt_spare(struct flt *f);

/* PostgreSQL's frontend/backend protocol 3.0 (PostgreSQL documentation, chapter "Frontend/Backend Protocol"). NULL when out of memory. */
struct flt *pg_filter_new(const struct flt_conf *conf);
/* MySQL's client/server protocol, version 10, behind the greeting and SSLRequest (filters/my_wire.h), which the edge has seen to. Differences to what is said
 * above: the upstream is opened before the first STATEMENT is asked about, because what a text means depends on the server; UPSTREAM_READY has the parameters
 * version, sql_mode and lower_case_table_names of its session; flt_upstream.params become session variables; one command is under way at a time. NULL when
 * out of memory. */
struct flt *my_filter_new(const struct flt_conf *conf);
/* A whole error answer (ErrorResponse, severity FATAL) into out: for a peer that never gets a filter. */
void pg_put_fatal(struct buf *out, const char *sqlstate, const char *message, const char *hint);

#endif
