/* Shared by the session_*.c files. */
#ifndef GH_SPOA_SESSION_INT_H
#define GH_SPOA_SESSION_INT_H

#include "filters/filter.h"
#include "filters/proxyv2.h"
#include "spoa/dial.h"
#include "spoa/names.h"
#include "spoa/pump.h"
#include "spoa/session.h"
#include "spoa/startup.h"

enum session_state {
    SESSION_HEADER, /* waits for the PROXY header */
    SESSION_LOGIN,  /* the filter speaks, nobody is logged in */
    SESSION_OPEN,
    SESSION_OVER, /* the filter has closed; bytes drain */
};

/* What the daemon keeps of a prepared text: the ctx of the filter's PREPARE. */
struct prep {
    struct facts_ref *facts;    /* NULL: forwarded unread, in observe mode */
    struct pol_parse_error err; /* when there are no facts */
    uint64_t id;                /* of the record of its Parse */
    uint64_t generation;        /* of the policy that judged it last */
    bool observed;              /* that verdict was a refusal, forwarded by mode: observe */
    char rule[128];
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
    struct prep *prep;       /* EXECUTE */
    struct facts_ref *facts; /* ours; NULL: none, see err */
    struct pol_parse_error err;
    struct pol_verdict verdict;
    bool observed; /* refused, but forwarded */
};

/* A forwarded statement that has not ended. */
struct running {
    uint64_t id, started_us, generation;
    struct facts_ref *facts; /* only when it names prepared statements or cursors */
};

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
    char id[SID_SIZE], src[PP2_ADDR_SIZE];
    uint16_t src_port;
    uint64_t started_ms;

    int fd; /* while in SESSION_HEADER; later the pump's */
    struct event *head_ev;
    struct buf head;
    struct flt *filter;
    struct pump pump;

    /* who */
    struct jwt_identity *who;
    bool who_counted;
    char *groups;                   /* joined with commas, for the record */
    char *user;                     /* as sent */
    const struct conf_database *db; /* of login */
    struct startup *startup;        /* settings that the client asked for */
    struct pol_role *role;          /* NULL: the database is no longer configured */
    uint32_t key_pid;               /* 0: none */

    /* statements */
    struct question q;
    struct {
        struct wmsg msg;
        struct session *s;
        uint64_t id;
        enum led_status status;
    } wait;                  /* for the ledger; one at a time, because one question is open at a time */
    struct running *running; /* ring */
    size_t run_head, run_count, run_cap;
    struct names prepared, cursors; /* made by SQL, with the generation that allowed them */
    uint64_t statements, refused, rows, bytes;
    const char *why; /* of the close; static */

    /* upstream */
    struct dial *dial;
    struct conf_addr up_addr;
    uint64_t up_deadline_ms; /* for the server's login; 0: none */
};

/* session.c */
void session_close(struct session *s, const char *sqlstate, const char *message, const char *hint);
void session_ref(struct session *s);
void session_unref(struct session *s);
/* What the database's configuration pins; borrowed from it. */
struct pol_pins session_pins(const struct conf_database *db);
/* Takes a newer snapshot when there is one. */
void session_renew(struct session *s);
void session_idle_check(struct session *s);

/* session_login.c */
void session_on_login(struct session *s, const struct flt_event *ev);

/* session_stmt.c */
void session_on_statement(struct session *s, const struct flt_event *ev);
void session_on_result(struct session *s, const struct flt_event *ev);
void session_drop_question(struct session *s);
void session_drop_running(struct session *s);
void session_prep_free(void *ctx);

/* session_upstream.c */
void session_on_upstream(struct session *s);
void session_on_upstream_lost(struct session *s, const struct flt_event *ev);
void session_on_upstream_ready(struct session *s, const struct flt_event *ev);

#endif
