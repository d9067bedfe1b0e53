/* Inside the MySQL filter: its state, and what its two directions need of each other.
 *
 * The protocol is a dialogue: a command, then its whole answer. So one command is at hand at a time; what a client sends ahead is left with the owner until
 * the answer is over. A command is gathered whole (f->msg), asked about, forwarded; then f->answer_is says what of the server's answer is due, and each of
 * its packets is held against that. Packets to either side are numbered anew, because a rewritten text may need another number of them. */
#ifndef GH_FILTERS_MY_IMPL_H
#define GH_FILTERS_MY_IMPL_H

#include "filters/filter_impl.h"
#include "filters/my_auth.h"
#include "filters/my_stmt.h"
#include "filters/my_wire.h"

/* Where the client is. */
enum my_phase {
    MY_HANDSHAKE, /* waits for its HandshakeResponse */
    MY_HELLO,     /* the owner decides what to ask for */
    MY_SWITCH,    /* AuthSwitchRequest was sent: waits for a scramble that nobody looks at */
    MY_FULL,      /* caching_sha2_password, full authentication was asked for: waits for the token */
    MY_LOGIN,     /* the owner decides on the login */
    MY_READY,
};

enum my_up {
    MY_UP_NONE,
    MY_UP_ASKED,    /* FLT_EV_UPSTREAM or _LOST was posted */
    MY_UP_GREETING, /* waits for the server's */
    MY_UP_TLS,      /* FLT_EV_UPSTREAM_TLS was posted */
    MY_UP_AUTH,
    MY_UP_PINS, /* logged in; the session is being prepared */
    MY_UP_READY,
};

/* The command at hand. */
enum my_step {
    MY_STEP_IDLE,    /* none: the next may come */
    MY_STEP_HELD,    /* whole, and waits for the server's connection */
    MY_STEP_ASKED,   /* FLT_EV_STATEMENT was posted */
    MY_STEP_RUNNING, /* sent; the answer is due */
    MY_STEP_FILE,    /* the server reads a file of the client's (LOAD DATA LOCAL) */
    MY_STEP_OVER,    /* the answer has ended, but flt_over() is due */
    MY_STEP_PINNING, /* COM_RESET_CONNECTION was answered: the session is being prepared again, then the client gets its OK */
};

/* What the server has to send next. */
enum my_due {
    MY_DUE_NOTHING,
    MY_DUE_RESULT,  /* OK, ERR, a file's name, or a number of columns */
    MY_DUE_COLUMNS, /* due_left of them */
    MY_DUE_COLUMNS_EOF,
    MY_DUE_ROWS,     /* rows, and what ends them */
    MY_DUE_PREPARED, /* COM_STMT_PREPARE_OK or ERR */
    MY_DUE_PARAMS,   /* definitions of parameters: due_left */
    MY_DUE_PARAMS_EOF,
    MY_DUE_PREP_COLS,
    MY_DUE_PREP_COLS_EOF,
    MY_DUE_FIELDS, /* COM_FIELD_LIST: definitions, then EOF or ERR */
    MY_DUE_SIMPLE, /* OK, EOF or ERR */
    MY_DUE_TEXT,   /* COM_STATISTICS: one packet of any kind */
};

enum my_pin { MY_PIN_SET, MY_PIN_ASK }; /* which of the two statements of ours is under way */

/* One direction's packets. */
struct my_frame {
    uint8_t head[MY_HEADER];
    size_t head_len;
    bool body;      /* the header is complete */
    uint32_t left;  /* of the packet's payload */
    bool more;      /* it is of the greatest length: another one follows that belongs to it */
    bool continues; /* it belongs to the one before */
    uint8_t seq;    /* that the next packet must have */
    bool any;       /* whatever number the next has, it is the right one */
};

struct my_filter {
    struct flt base;
    enum my_phase phase;

    /* client's direction */
    struct my_frame in;
    struct buf msg; /* the payload being gathered or held */
    bool discard;   /* it is over its limit: swallowed, then refused */
    enum my_step step;
    uint64_t asked_id; /* the open question; 0: none */
    uint64_t last_id;
    enum flt_stmt_kind kind;  /* of the question */
    struct my_stmt *stmt;     /* EXECUTE: which */
    struct flt_param *params; /* EXECUTE: what the event points to (owned) */
    struct buf said;          /* a command as SQL, for the owner */
    uint8_t out_seq;          /* of the next packet to the client */
    uint32_t caps;            /* that the client and we agreed on */
    bool ascii;               /* its character set is not UTF-8: texts must be ASCII */
    bool multi;               /* multi-statements are on (the capability, COM_SET_OPTION) */
    int multi_next;           /* COM_SET_OPTION that is under way: 0, 1; -1: none */

    /* login */
    struct buf hello; /* strings of the HandshakeResponse */
    const char *user, *database;
    struct flt_kv kv[1]; /* application_name */
    size_t nkv;
    bool clear;       /* the token was in the HandshakeResponse (mysql_clear_password) */
    bool sha2;        /* the client's method is caching_sha2_password already */
    bool connector_j; /* the client is MySQL Connector/J */
    bool empty;       /* its scramble is that of an empty password */
    bool too_long;
    struct buf token;

    /* the answer under way */
    enum my_due due;
    uint64_t due_left;
    uint64_t run_id; /* the statement that runs; 0: none that is told of */
    uint64_t rows, bytes, passed;
    struct flt_answer answer;        /* the owner's; rewritten and ctx are copied or taken */
    char *rewritten;                 /* owned */
    bool over, over_told, over_hold; /* over its limit: dropped; FLT_EV_OVER was posted; flt_over() is due */
    bool late, has_rows;             /* over its limit of time; a result with columns has begun */
    bool veil;
    bool retrack;              /* the answer under way waits in told until the server reports again what it has to */
    struct buf told;           /* the payload of one packet */
    bool file_ok, file_denied; /* LOAD DATA LOCAL: allowed; the server asked all the same */
    struct my_stmt *preparing; /* owned until the server has answered */
    uint16_t prep_cols;

    /* server's direction */
    enum my_up up;
    struct my_frame from;
    struct buf reply; /* a server's packet that is held whole */
    bool holding;     /* it is being held */
    bool streaming;   /* its payload passes; when it is not held either, it is dropped */
    bool begun;       /* its first byte was seen */
    uint8_t up_seq;   /* of the next packet to the server */
    struct my_auth auth;
    struct my_greeting greeting;
    uint32_t up_caps;
    enum flt_tls up_tls;
    char *up_user, *up_database; /* owned */
    struct buf pins, attrs;      /* SET ..; the connection's attributes */
    bool read_only;
    enum my_pin pin;
    unsigned pin_step;           /* of MY_PIN_ASK: packets of its result so far */
    char *version, *mode, *fold; /* of the server's session (owned) */
    char *charset;               /* character_set_client, as the session begins and after a reset */
    bool ascii_first;            /* ascii, then */
    uint16_t status;             /* of the last OK or EOF */
    char lost_text[256];
    struct flt_kv event_kv[4];

    struct my_stmts stmts;
};

static inline struct my_filter *my_of(struct flt *f) { return (struct my_filter *)f; }

/* my_filter.c */
/* Ends the session without a word. */
void my_over(struct my_filter *f, enum gh_rc rc, const char *reason);
/* Ends the session with an error to the client, where that can still read one. */
void my_fatal(struct my_filter *f, enum gh_rc rc, const char *sqlstate, const char *message, const char *hint, const char *reason);
void my_no_memory(struct my_filter *f); /* the session's end */
void my_violation(struct my_filter *f, const char *reason);
/* One packet to the client. */
void my_say(struct my_filter *f, const struct buf *payload);
void my_say_ok(struct my_filter *f);
void my_say_error(struct my_filter *f, const char *sqlstate, const char *message, const char *detail, const char *hint);
/* The command at hand is dealt with: the next may come. */
void my_done(struct my_filter *f);
void my_post_result(struct my_filter *f, const char *sqlstate, bool skipped);
/* Reads headers: takes bytes of one from *data. False when it is not complete yet, or the session was closed (bad number). */
bool my_take_header(struct my_frame *fr, const uint8_t **data, size_t *len, bool *bad);

/* my_login.c */
void my_login_packet(struct my_filter *f); /* f->msg is a whole packet, and phase is not MY_READY */
void my_login_ask(struct flt *base, enum flt_ask ask, const char *where);
void my_login_accept(struct flt *base, const struct flt_login_ok *ok);
void my_login_refuse(struct flt *base, const char *sqlstate, const char *message, const char *detail, const char *hint);
void my_login_wipe(struct my_filter *f);

/* my_client.c */
size_t my_client_feed(struct my_filter *f, const uint8_t *data, size_t len);
void my_command(struct my_filter *f); /* f->msg is a whole command; called again once the server's connection is there */
void my_client_answer(struct flt *base, uint64_t id, const struct flt_answer *a);
void my_client_refuse_held(struct my_filter *f, const char *sqlstate, const char *message, const char *hint);
/* A command to the server. */
void my_send(struct my_filter *f, const void *payload, size_t len);

/* my_server.c */
size_t my_server_feed(struct my_filter *f, const uint8_t *data, size_t len);
void my_server_eof(struct my_filter *f);

/* my_upstream.c */
void my_upstream_open(struct flt *base, const struct flt_upstream *up);
void my_upstream_secured(struct flt *base, const struct flt_secured *s);
void my_upstream_failed(struct flt *base, const char *sqlstate, const char *message, const char *hint, bool fatal);
void my_upstream_packet(struct my_filter *f, struct cur body); /* before MY_UP_READY, and while pins are set again */
void my_upstream_lost(struct my_filter *f, const char *sqlstate, const char *text);
void my_upstream_wipe(struct my_filter *f);
void my_pin_again(struct my_filter *f);
/* What the server reports of its session is set again, and the session looked at, before the client gets what is in told. */
void my_track_again(struct my_filter *f);
/* Whether a text means the same in sql_mode text as in mode. */
bool my_same_reading(const uint8_t *text, size_t len, const char *mode);

/* my_answer.c */
/* A packet of the answer under way that was held whole. */
void my_answer_packet(struct my_filter *f, struct cur body);
/* What becomes of a packet by its first byte. */
enum my_take { MY_HOLD, MY_PASS, MY_DROP };
enum my_take my_answer_look(struct my_filter *f, uint8_t first, uint32_t len, bool more);
void my_answer_passed(struct my_filter *f); /* one has passed, or was dropped */
void my_file_denied(struct my_filter *f);

#endif
