/* Shared by the session_*.c files. */
#ifndef GH_SPOA_SESSION_INT_H
#define GH_SPOA_SESSION_INT_H

#include "filters/filter.h"
#include "filters/proxyv2.h"
#include "policy/facts_my.h"
#include "spoa/approval.h"
#include "spoa/dial.h"
#include "spoa/identity.h"
#include "spoa/names.h"
#include "spoa/pump.h"
#include "spoa/rewrites.h"
#include "spoa/session.h"
#include "spoa/startup.h"
#include "spoa/statement.h"
#include "spoa/upstream.h"

enum session_state {
    SESSION_HEADER, /* waits for the PROXY header */
    SESSION_LOGIN,  /* the filter speaks, nobody is logged in */
    SESSION_OPEN,
    SESSION_OVER, /* the filter has closed; bytes drain */
};

/* What is remembered of a verdict that allowed. */
struct allowed {
    const char *rule;
    struct pol_limits limits;
    bool rewrite, unpins, retracks, counts;
};

/* What the daemon keeps of a prepared text: the ctx of the filter's PREPARE. */
struct prep {
    struct facts_ref *facts;    /* NULL: forwarded unread, in observe mode */
    struct pol_parse_error err; /* when there are no facts */
    uint64_t id;                /* of the record of its Parse */
    uint64_t made_ms;           /* worker_now_ms(), before the server had it */
    uint64_t epoch;             /* of the session, when it was judged last */
    bool observed;              /* that verdict was a refusal, forwarded by mode: observe */
    bool reason, breaks;        /* SET gatehouse.reason, gatehouse.breakglass */
    bool asks;                  /* it was that approval is needed: judged again at each execution */
    bool renews;                /* SET gatehouse.token */
    struct jwt_identity *fresh; /* what its token says, until it is executed */
    struct rewrite *sent;       /* what the server has in its place; NULL: the text itself */
    struct allowed allowed;     /* that verdict; not whether it rewrites, which was settled by the Parse */
    char rule[128];             /* allowed.rule */
};

/* The question that is open. */
struct question {
    bool open;
    uint64_t id;
    enum flt_stmt_kind kind;
    const char *text, *name;
    size_t len;
    const struct flt_param *params;
    size_t nparams;
    bool params_cut;
    bool by_name;               /* EXECUTE: by SQL's EXECUTE, with values that are in the text of that */
    struct prep *prep;          /* EXECUTE */
    struct facts_ref *facts;    /* ours; NULL: none, see err */
    bool observed;              /* refused, but forwarded */
    bool fatal;                 /* the refusal ends the session */
    bool quiet;                 /* nor is it logged: there were many before */
    bool renews;                /* SET gatehouse.token: text shows no token */
    struct jwt_identity *fresh; /* of it: what the new token says. PREPARE and QUERY */
    bool in_pool;               /* which parses, judges, rewrites or records it; until that is done nobody else touches it */
    bool no_room;               /* there was none in the pool */
    uint64_t epoch;             /* of the session, when its verdict was given */
    bool pooled;                /* that has looked for its facts */
    bool holds_token;           /* what it said then, of a text without facts */
    struct parse_job *ahead;    /* with what runs, made for the role of epoch; NULL: nothing */
    struct rewrite *rewrite;    /* what runs; NULL: the text itself */
    bool grants;                /* SHOW gatehouse.grants */
    struct pol_limits limits;
    bool undoes; /* flt_answer.undoes */
    uint64_t asked_us;
    const uint32_t *types; /* of parameters; EXECUTE */
    size_t ntypes;
    bool alone;             /* holding it holds nobody else */
    bool asking;            /* the desk has it */
    bool reason;            /* SET gatehouse.reason: the server gets RENEWAL_INSTEAD */
    bool breaks;            /* SET gatehouse.breakglass: likewise */
    bool glass;             /* it needs approval, and runs without */
    const char *instead;    /* what the server gets in its place, because Gatehouse itself does what it says; static; NULL: the text */
    uint32_t kill;          /* KILL of this connection; 0: none */
    bool kill_session;      /* and not just of its statement */
    bool multi;             /* MySQL: several statements in the text are several */
    uint64_t hold_until_ms; /* held for a decision; 0: not */
    uint64_t hold_epoch;    /* appr_epoch() when it was asked about */
    char approval[APPR_ID_SIZE];
    char grant[ORD_ID_SIZE]; /* by which it runs; "": by none */
    /* From here on what is mostly text: most questions have none of it, and nobody clears it all (open_question()). */
    char approved_by[512];
    char rule[128]; /* verdict.rule, when it must outlive the policy */
    struct pol_parse_error err;
    struct pol_verdict verdict;
    struct appr_reply reply; /* while it is held */
};

/* A forwarded statement that has not ended. */
struct running {
    uint64_t id, started_us, epoch;
    uint64_t limit_ms; /* 0: none */
    bool changes_schema;
    struct facts_ref *facts; /* only when it names prepared statements or cursors */
};

/* A verdict that allowed, see session_judged.c. */
#define SESSION_JUDGED 4u
struct judged {
    struct facts_ref *facts; /* NULL: none */
    struct allowed allowed;  /* its rule is borrowed from the role's policy */
};

/* What follows when the open question's record is there: only then is it forwarded; or (a Parse, a refusal) anyhow. */
enum then { THEN_WAIT, THEN_ALLOW, THEN_REFUSE };

struct session {
    struct session *next, **link; /* in the worker's list */
    struct wstate *ws;
    struct snap *snap;  /* judged by */
    struct snap *login; /* logged in under: its pins stay the session's */
    uint64_t serial;
    unsigned refs;   /* the session's own life, and each message that is on its way to it */
    struct wmsg bye; /* drops the first of these, from the loop */
    enum session_state state;
    bool counted, draining;
    bool ended_counted; /* a refusal that is in the numbers already */
    char id[SID_SIZE], src[PP2_ADDR_SIZE];
    uint16_t src_port;
    uint64_t started_ms;

    int fd; /* while in SESSION_HEADER; later the pump's */
    struct event *head_ev;
    struct buf head;
    struct flt *filter;
    struct pump pump;

    /* who */
    bool mysql;    /* the client speaks MySQL's protocol */
    struct {       /* its server's session, once there is one: what the facts of a text depend on */
        char *key; /* all of it, for the cache of facts */
        bool mariadb, fold;
        uint32_t version;
        unsigned mode; /* MY_* bits */
    } my;
    struct admit *admit;       /* what the SPOP door learnt; NULL: nothing is known any more, and no certificate was shown */
    enum conf_require require; /* of the database, when the client was asked */
    bool oauthbearer;          /* what it was asked for */
    bool lacking;              /* after a reload the database demands another credential */
    uint64_t bye_ms;           /* when a refused client must have taken its leave; 0: it need not */
    struct jwt_identity *who;
    bool who_counted;
    char *groups;                   /* joined with commas, for the record */
    char *user;                     /* as sent */
    const struct conf_database *db; /* of login */
    struct startup *startup;        /* settings that the client asked for */
    struct catalog_use catalog;     /* of the role */
    struct pol_role *role;          /* NULL: the database is no longer configured */
    uint64_t epoch;          /* counts up whenever an earlier verdict may no longer hold: another policy, other groups, another catalog */
    uint64_t rights;         /* the same without the catalogs: what code on the server made is not rewritten anyway */
    uint32_t key_pid;        /* 0: none */
    struct {                 /* an answer that is held back */
        struct event *timer; /* NULL: none is */
        void (*then)(struct session *s);
        struct flt_event ev; /* of a login; its strings are the filter's */
        bool late;           /* not looked at before now: its source is over its budget */
    } held;

    /* a login that waits for the issuer's keys */
    struct {
        struct keywait wait;
        struct flt_event ev; /* its texts are the filter's, until that has its answer */
        bool done;           /* it has waited: not again */
        /* a renewal that does: the open question, and the token in its text, which is the filter's */
        uint64_t question;
        const char *token;
        size_t token_len;
    } keys;

    /* statements */
    struct led_run *whose; /* of their records; NULL: not made */
    struct question *q;    /* the open one; else an empty one that is nobody's, to be read only */
    struct {
        struct wmsg msg;
        struct session *s;
        uint64_t id;
        enum led_status status;
        enum then then;
        bool out; /* on its way */
    } wait;       /* for the ledger; one at a time, because one question is open at a time */
    struct {      /* for a new catalog */
        struct catalog_wait wait;
        void (*then)(struct session *s);
        uint64_t id;
    } looking;
    struct {
        struct wmsg msg;
        uint64_t of, began_us; /* the pump's turn, and when its first statement came */
        uint64_t id;           /* of the question that was put off */
        bool posted;
    } turn;                           /* session_on_statement() */
    bool schema_changed, schema_told; /* a statement of ours may have changed it: wait for the new catalog; the catalogs' thread knows */
    struct running *running;          /* ring */
    size_t run_head, run_count, run_cap;
    struct {
        uint64_t epoch;
        unsigned next;
        struct judged of[SESSION_JUDGED];
    } judged;
    struct rewrites *rewrites; /* NULL: none yet. Of this epoch: */
    uint64_t rewrites_epoch;
    bool named_undoes;              /* any of them changes data and returns rows, and is limited */
    bool named_overwrites;          /* any of them puts rows in the place of others */
    struct pol_limits named;        /* the least of those that SQL's PREPARE and DECLARE had */
    struct names prepared, cursors; /* made by SQL, with the epoch that allowed them, or the rights */
    char *reason;                   /* SET gatehouse.reason; NULL: none */
    char changed[64];               /* the first setting whose change may make texts mean something else; "": none */
    unsigned leaves;                /* enum pol_leaves: what its statements have left behind */
    char sets[65];                  /* of all that SET has said, one after the other; "": nothing */
    char charsets[65];              /* MySQL: of SET NAMES and its kin, likewise */
    bool unpinned;                  /* names may mean something else than the pins say: pol_role_everything() */
    bool blind;                     /* it has changed rows that it may not read: what the server says is veiled */
    bool counts;                    /* MySQL: it may tell of hidden rows: pol_role_counts() */
    uint64_t statements, refused, rows, bytes;
    struct roster_entry *entry;           /* while it is open */
    const char *why;                      /* of the close; static */
    char *glass;                          /* SET gatehouse.breakglass: why; NULL: not broken */
    uint64_t glass_at_ms, glass_until_ms; /* worker_now_ms() */
    uint64_t orders;                      /* ord_epoch() when it was last found not to be blocked */

    /* upstream */
    struct dial *dial;
    struct conf_addr up_addr;
    struct tls_ctx *up_tls; /* of the connection; NULL: plain text */
    bool up_direct;
    struct upstream_cred up_cred; /* of the login under way */
    struct cred_wait renewal;     /* the database refused it: it is being read again */
    bool up_retried;
    char up_sqlstate[6], up_why[256]; /* that refusal */
    uint64_t up_deadline_ms;          /* for the server's login; 0: none */
};

/* session.c */
void session_close(struct session *s, const char *sqlstate, const char *message, const char *hint);
void session_ref(struct session *s);
void session_unref(struct session *s);
/* Takes a newer snapshot when there is one. */
void session_renew(struct session *s);
void session_idle_check(struct session *s);

/* session_login.c */
void session_on_hello(struct session *s, const struct flt_event *ev);
/* Holds an identity against the connection's certificate, as far as the token or the configuration demand, and shortens its life to the
 * certificate's. False and *why (static, for the record) when they do not go together. */
bool session_bind(struct session *s, struct jwt_identity *who, const char **why);
void session_on_login(struct session *s, const struct flt_event *ev);

/* session_hold.c */
/* A credential that was refused: counts it and records the true reason, within the budgets. Gives the time that the answer has to wait. todo: for
 * the log, may be NULL. The session's own address is the source. */
uint64_t session_bad_credential(struct session *s, const struct identity_refusal *r);
/* How long what its source sends waits when that is over its budget. */
uint64_t session_late_ms(const struct session *s);
/* Calls then after delay_ms and some more. False when no more can be held, or delay_ms is 0. */
bool session_hold(struct session *s, uint64_t delay_ms, void (*then)(struct session *s));
/* Forgets what is held: the session is over. */
void session_drop_held(struct session *s);

/* session_names.c */
bool session_names_matter(const struct pol_facts *f);
/* Before the open question, of f, is forwarded: true when the verdict says why it is not. */
bool session_names_refuse(struct session *s, const struct pol_facts *f, struct pol_verdict *v);
/* f is forwarded: what it makes is on its way. */
void session_names_promised(struct session *s, const struct pol_facts *f);
void session_names_code(struct session *s, bool called); /* the same of what is unread: see names_code() */
/* It has ended; r is no longer in the ring. */
void session_names_ended(struct session *s, const struct running *r, bool ok);
struct session_names {
    const char **names;
    struct flt_use *uses;
};
/* Puts into the answer what f makes, drops and uses; behind session_names_promised(). as_sent: that is what runs. The lists, which borrow from f, live until
 * flt_answer(). False without memory. */
bool session_fill_names(struct session *s, const struct pol_facts *f, bool as_sent, struct flt_answer *a, struct session_names *lists);
void session_names_free(struct session_names *lists);
/* What f does to the portals that messages made. */
void session_fill_portals(const struct pol_facts *f, struct flt_answer *a);

/* session_token.c */
/* A statement that names gatehouse.token: true, and it is dealt with. */
bool session_on_token(struct session *s);
/* Refuses the open question for that. */
void session_deny_token_name(struct session *s);
bool session_names_token(const struct pol_facts *f);
/* Puts the fresh token's identity in force, before the statement is forwarded. */
void session_token_renewed(struct session *s);

/* session_catalog.c */
/* Before a statement is judged: true when it waits for a catalog, after which then(s) is called with the question still open. */
bool session_wait_catalog(struct session *s, void (*then)(struct session *s));
/* The same for a catalog that this session's own verdicts do without. */
bool session_want_catalog(struct session *s, void (*then)(struct session *s));
/* f NULL: unread. */
bool session_changes_schema(const struct pol_facts *f);
/* A statement that may have done so went well. */
void session_schema_changed(struct session *s);
void session_schema_tick(struct session *s);
/* The session, which was open, ends. */
void session_schema_leave(struct session *s);

/* session_grants.c */
bool session_shows_grants(const struct pol_facts *f);
/* Answers the open question, which is that. */
void session_show_grants(struct session *s);

/* session_rewrite.c */
/* The open question, which f's verdict allows: finds out what runs in its place. False: the verdict refuses it now, or, when q.in_pool, session_rewritten()
 * will be called. */
bool session_rewrite(struct session *s, const struct pol_facts *f);
void session_oblige(const struct session *s, struct flt_answer *a);
void session_limit_tick(struct session *s, uint64_t now_us);

/* session_cancel.c */
/* KILL of a MySQL session by its owner: what it runs, or (end) all of it. */
void session_cancel_target(const struct registry_target *target, const char *src, bool end);
/* Answers FLT_EV_OVER, once the server was told to stop. */
void session_cancel_own(struct session *s);
/* Before a session is ended by force: the server is told to stop what runs, which else goes on to its end for nobody. */
void session_cancel_last(struct session *s);

/* session_stmt.c */
void session_rewritten(struct session *s, bool ok);
void session_on_statement(struct session *s, const struct flt_event *ev);
void session_on_result(struct session *s, const struct flt_event *ev);
/* The open question: forwards it once it is recorded; records and refuses it. */
void session_forward(struct session *s);
void session_refuse_statement(struct session *s);
void session_refuse_recorded(struct session *s);
void session_drop_question(struct session *s);
/* Before anything else is done with s->q. */
void session_no_question(struct session *s);
void session_drop_running(struct session *s);
void session_prep_free(void *ctx);

/* The verdict on the open question, and what follows from it. */
void session_judge(struct session *s);
/* v, a verdict on q, keeps the name of its rule when the policy goes. */
void session_own_rule(struct question *q, struct pol_verdict *v);
/* Leaves a part of the open question's work to the parse pool; who is asking is filled in. False: a refusal is in the question's verdict. */
bool session_in_pool(struct session *s, struct stmt_pooled *what);
/* It comes back: false when its question is gone. */
bool session_from_pool(struct session *s, const struct parse_job *job);

/* session_judged.c */
/* Rules with times: what the clock says now; an earlier verdict may count no more. */
void session_clock(struct session *s);
/* This role, which is taken over (NULL: none) and was made with use, in the place of the session's. The caller has counted the epoch for another policy and another
 * identity; another catalog, what the clock has changed since the last statement, and a session without a role are counted here. */
void session_take_role(struct session *s, struct pol_role *role, const struct catalog_use *use);
/* The whole of a verdict that allows, and back. */
struct allowed session_allowed(const struct pol_verdict *v);
void session_allow_again(const struct allowed *a, struct pol_verdict *v);
/* The open question's facts were allowed before, and still are: true, and v says so. */
bool session_judged(struct session *s, struct pol_verdict *v);
/* The open question has just been judged. */
void session_keep_judged(struct session *s);
/* The session ends. */
void session_forget_judged(struct session *s);

/* session_glass.c */
/* SET gatehouse.breakglass: true, and it is dealt with. Its execution: the glass is broken, or whole again. */
bool session_on_glass(struct session *s);
void session_take_glass(struct session *s);
/* Its time is over. */
void session_glass_over(struct session *s);
/* The open question needs approval, and runs without: true, and the verdict allows it. */
bool session_glass_passes(struct session *s);
/* What passed so may still leave. */
bool session_glass_holds(const struct session *s);
/* The open question is recorded in the journal alone, because Redis is away. */
bool session_glass_without_redis(const struct session *s);

/* session_orders.c */
/* Tells the hooks about this session's open question. v may be NULL. */
void session_tell(const struct session *s, const char *event, const struct pol_verdict *v);
/* True when it is blocked: the session is told and closed; the caller lets the pump run. Cheap while nothing has changed. */
bool session_blocked(struct session *s);
/* The open question was allowed and recorded, and may leave now: false when that is over since, and it is refused. */
bool session_still_may(struct session *s);

/* session_ask.c */
/* The open question needs approval: asks, and answers, perhaps later. */
void session_ask(struct session *s);
/* A statement goes to the server: what its settings mean for later requests. */
void session_ask_forwarded(struct session *s, const struct pol_facts *f);
/* SET gatehouse.reason: true, and it is dealt with. Its execution: the session takes it. */
bool session_on_reason(struct session *s);
void session_take_reason(struct session *s);
/* Time passes for a question that is held. */
void session_ask_tick(struct session *s, uint64_t now_ms);

/* session_label.c */
#define SESSION_LABEL 256
/* False: application_name would be set in a way that the template cannot follow. */
bool session_label_ok(const struct session *s, const struct pol_facts *f);
/* True: text is what goes to the database in place of this SET application_name. */
bool session_relabel(const struct session *s, const struct pol_facts *f, char text[SESSION_LABEL]);

/* session_my.c: what is different for MySQL */
#define SESSION_MY_NOTHING "DO 0" /* what the server runs where Gatehouse itself has done what the text says */
void session_my_free(struct session *s);
/* The server's session is known. False, with the reason for the log: its statements cannot be judged. */
bool session_my_ready(struct session *s, const struct flt_event *ev, const char **why);
/* What the connection begins with. kv has room for max. */
size_t session_my_upstream(const struct session *s, struct startup_who *who, struct flt_kv *kv, size_t max);
/* Registers the connection's id, which the greeting told. */
void session_my_register(struct session *s);
/* KILL and USE of the session's own database: true, and the open question is dealt with. */
bool session_my_own(struct session *s);
/* The facts of the open question's text; NULL and q.err when there are none. */
struct facts_ref *session_my_facts(struct session *s);
struct my_options session_my_options(const struct session *s);
/* Why nobody can agree to the open question's text: it means what the session has made of it. NULL: it does not. */
const char *session_my_unaskable(const struct session *s);
/* The open question changes rows and may return some (MariaDB's RETURNING). */
bool session_my_returns(const struct session *s, const struct pol_facts *f);
/* A statement that was KILL is on its way. */
void session_my_kill(struct session *s);
/* Has the server stop what this session runs; told: then flt_over(). */
void session_my_stop(struct session *s, bool told);

/* session_upstream.c */
void session_on_upstream(struct session *s);
void session_on_upstream_tls(struct session *s);
void session_on_tls(void *owner, const char *why); /* the pump's on_tls */
void session_on_upstream_lost(struct session *s, const struct flt_event *ev);
/* Counts and logs a database that cannot be reached, refuses our login, or was lost. kind: a metric's label; sqlstate may be NULL. */
void session_upstream_failed(struct session *s, const char *kind, const char *sqlstate, const char *why, const char *todo);
void session_on_upstream_ready(struct session *s, const struct flt_event *ev);

#endif
