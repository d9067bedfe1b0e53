/* Shared by the api*.c files. */
#ifndef GH_SPOA_API_INT_H
#define GH_SPOA_API_INT_H

#include "filters/proxyv2.h"
#include "spoa/api.h"
#include "spoa/approval.h"
#include "spoa/catalog.h"
#include "spoa/identity.h"
#include "spoa/rewrites.h"
#include "spoa/statement.h"

/* By which server, in which mode a text of MySQL or MariaDB is read. */
enum api_reads {
    API_READS_NOT_ASKED, /* it is PostgreSQL's */
    API_READS_UNKNOWN,   /* the server has not told yet */
    API_READS_OTHERWISE, /* than the configuration says; the log has it */
    API_READS,
};
struct api_reading {
    enum api_reads is;
    enum my_server server; /* these as in struct my_options */
    uint32_t version;
    unsigned mode;
    bool fold, ascii; /* ascii: beyond it, a connection that was reset would take the text for another */
    char database[256];
};

/* One principal's use of one API (or, by database and text, of none): a stream of the record, as a session's. */
struct api_session {
    struct api_session *next, **link; /* in the worker's list */
    struct wstate *ws;
    unsigned refs; /* its own, and each question's */
    bool over, counted, who_counted;
    struct snap *snap; /* judged by */
    const struct conf_database *db;
    struct catalog_use catalog;
    struct pol_role *role; /* NULL: the database or the API is no longer configured */
    struct jwt_identity *who;
    char *groups, *api, *database; /* api "": none */
    char id[SID_SIZE];
    uint64_t started_ms, used_ms, statements, refused;
    uint64_t epoch; /* grows when what it is judged by changes */
    /* MySQL: what was last seen of the server, in that catalog and configuration */
    struct catalog *server;
    struct api_reading reading;
    uint64_t looked_generation, looked_snap;
};

struct api_ask {
    struct api_ask *next, **link;   /* in the connection's list */
    struct api_ask *other, **whose; /* in the worker's */
    struct api_asks *asks;          /* NULL: the connection is gone */
    struct spop_conn *conn;
    struct wstate *ws;
    uint64_t stream, frame;
    char src[PP2_ADDR_SIZE], listener[128], request[128], api[128];
    uint16_t src_port;
    struct keywait keys;        /* for the issuer's keys */
    struct spop_message *later; /* the message, which is taken again then; NULL: it has not waited */
    struct jwt_identity *who;   /* until there is a session */
    struct api_session *session;
    int64_t valid_until; /* of the token that came with it */
    uint64_t id;         /* of its record */
    char *body;          /* copied from the NOTIFY */
    size_t body_len;
    bool mcp, plain; /* plain: no API, text and database; the answer says all */
    struct api_call call;
    struct api_reading reading;  /* that its facts were made by */
    struct catalog_wait looking; /* for the server's catalog, once */
    bool looked;
    struct rewrite *rewrite; /* what is to run; NULL, or without a text: what was sent */
    struct pol_role *own;    /* by which the parse pool judges or rewrites it; NULL: it has not been there */
    bool asked;              /* a rule asks about it, as far as it could run */
    struct facts_ref *facts;
    struct pol_parse_error err;
    struct pol_verdict verdict; /* its rule is "" or rule */
    char rule[256];             /* copied: another question may bring the session a newer policy while this one waits */
    bool observed;
    char approval[APPR_ID_SIZE], approved_by[512], grant[ORD_ID_SIZE]; /* of what was asked for; "": nothing was */
    bool waits;                                                        /* for a decision, until expires_ms since 1970 */
    uint64_t expires_ms;
    uint64_t epoch;  /* of the session, when it was judged */
    struct wmsg msg; /* from the ledger */
    enum led_status status;
};

/* api.c */
void api_ask_free(struct api_ask *a);
/* The ends of a question that is judged: recorded, then answered. */
void api_refuse(struct api_ask *a);
void api_allow(struct api_ask *a);
/* False and a verdict: nobody may judge for its session now. */
bool api_still_served(struct api_ask *a);

/* api_ask.c */
/* Takes a question over that a rule asks about, and that would run as far as all else goes. */
void api_ask_approval(struct api_ask *a);

/* api_session.c */
/* The session for this identity, made (under snap, which db is of) when there is none; takes *who over when it does. NULL and a verdict that says why. */
struct api_session *api_session_find(struct wstate *ws, struct snap *snap, const char *api, const struct conf_database *db,
                                     struct jwt_identity **who, struct pol_verdict *why);
/* Takes a newer snapshot when there is one. */
void api_session_renew(struct api_session *s);
/* It has a role: what the clock says now of rules with times; what was asked about before may count no more. */
void api_session_clock(struct api_session *s);
void api_session_unref(struct api_session *s);

/* api_my.c */
/* What the server's connections read a text of this session's database by, as far as is known now: out->is. */
enum api_reads api_my_look(struct api_session *s, struct api_reading *out);
/* What the facts of this question were made by still holds. */
bool api_reads_same(struct api_ask *a);
/* For pol_facts_my() and its kin; refers to r. Several statements in one text are an error, whatever the application's connection would take. */
struct my_options api_my_options(const struct api_reading *r);
#define API_MY_KEY 400
void api_my_key(const struct api_reading *r, char out[API_MY_KEY]); /* all of it as text */
/* False and *err: the text would not be read as the same one by every connection. */
bool api_my_text(const struct api_reading *r, const char *text, size_t len, struct pol_parse_error *err);

/* api_pooled.c, api_pooled_my.c */
/* True when the text leaves nothing behind on the application's connection and uses nothing that was left there; else fills v. */
bool api_pooled_ok(const struct pol_facts *f, const char *text, size_t len, struct pol_verdict *v);
bool api_pooled_my_ok(const struct pol_facts *f, const char *text, size_t len, const struct my_options *o, struct pol_verdict *v);
const char *api_pooled_out_of_order(void); /* as pol_words_out_of_order(); for the tests */
const char *api_pooled_my_out_of_order(void);

/* api_answer.c */
/* Sends the answer that a->verdict (and observed) stand for. False when it said deny although the verdict allows: the answer was too large. */
bool api_answer(struct api_ask *a);

#endif
