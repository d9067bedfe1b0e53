/* SPOP 2.0, agent side (doc/SPOE.txt of HAProxy, section 3): the typed data, the frames and the connection machine. Sans-IO.
 *
 *     n = spop_agent_feed(a, bytes)      at most to the end of one frame
 *     spop_agent_next(a, &ev)            what it meant; false when there is nothing
 *     spop_ack(a, stream, frame, ...)    an answer, at once or later, in any order
 *     spop_agent_out(a)                  bytes for HAProxy; the owner drains them
 *
 * One machine is one connection, used by one thread at a time. */
#ifndef GH_SPOA_SPOP_H
#define GH_SPOA_SPOP_H

#include "filters/bytes.h"

#include <string.h>

/* --- data (section 3.1) --- */

enum spop_type {
    SPOP_NULL = 0,
    SPOP_BOOL,
    SPOP_INT32,
    SPOP_UINT32,
    SPOP_INT64,
    SPOP_UINT64,
    SPOP_IPV4,
    SPOP_IPV6,
    SPOP_STRING,
    SPOP_BINARY,
};

struct spop_value {
    enum spop_type type;
    bool b;              /* SPOP_BOOL */
    int64_t i;           /* SPOP_INT32, SPOP_INT64 */
    uint64_t u;          /* SPOP_UINT32, SPOP_UINT64 */
    const uint8_t *data; /* SPOP_IPV4 (4 bytes), SPOP_IPV6 (16 bytes), SPOP_STRING and SPOP_BINARY (len bytes, no closing NUL) */
    size_t len;
};

struct spop_kv {
    const char *name; /* not NUL-terminated; name_len 0 for an argument without a name */
    size_t name_len;
    struct spop_value value;
};

static inline struct spop_value spop_str(const char *s) {
    return (struct spop_value){.type = SPOP_STRING, .data = (const uint8_t *)s, .len = strlen(s)};
}
static inline struct spop_value spop_bytes(const void *data, size_t len) {
    return (struct spop_value){.type = SPOP_BINARY, .data = (const uint8_t *)data, .len = len};
}
static inline struct spop_value spop_bool(bool b) { return (struct spop_value){.type = SPOP_BOOL, .b = b}; }
static inline struct spop_value spop_int(int64_t i) { return (struct spop_value){.type = SPOP_INT64, .i = i}; }

/* Decoders advance c only on success. GH_NEED_MORE: the bytes end inside the item; inside a whole frame that is malformed.
 * Pointers in values point into c's memory. */
enum gh_rc spop_get_varint(struct cur *c, uint64_t *v);
enum gh_rc spop_get_string(struct cur *c, const uint8_t **data, size_t *len);
enum gh_rc spop_get_value(struct cur *c, struct spop_value *v);
enum gh_rc spop_get_kv(struct cur *c, struct spop_kv *kv);

void spop_put_varint(struct buf *b, uint64_t v);
void spop_put_string(struct buf *b, const void *data, size_t len);
void spop_put_value(struct buf *b, const struct spop_value *v);
void spop_put_kv(struct buf *b, const char *name, const struct spop_value *v);

/* --- frames (section 3.2) --- */

enum spop_frame {
    SPOP_FRM_UNSET = 0,
    SPOP_FRM_HAPROXY_HELLO = 1,
    SPOP_FRM_HAPROXY_DISCONNECT = 2,
    SPOP_FRM_NOTIFY = 3,
    SPOP_FRM_AGENT_HELLO = 101,
    SPOP_FRM_AGENT_DISCONNECT = 102,
    SPOP_FRM_ACK = 103,
};
enum { SPOP_FL_FIN = 0x1, SPOP_FL_ABORT = 0x2 };

/* Status codes of DISCONNECT frames (section 3.5). */
enum spop_status {
    SPOP_ST_NORMAL = 0,
    SPOP_ST_IO = 1,
    SPOP_ST_TIMEOUT = 2,
    SPOP_ST_TOO_BIG = 3,
    SPOP_ST_INVALID = 4,
    SPOP_ST_NO_VERSION = 5,
    SPOP_ST_NO_FRAME_SIZE = 6,
    SPOP_ST_NO_CAPABILITIES = 7,
    SPOP_ST_BAD_VERSION = 8,
    SPOP_ST_BAD_FRAME_SIZE = 9,
    SPOP_ST_FRAGMENTATION = 10,
    SPOP_ST_INTERLACED = 11,
    SPOP_ST_NO_FRAME_ID = 12,
    SPOP_ST_RESOURCES = 13,
    SPOP_ST_UNKNOWN = 99,
};
/* The specification's words for a status code; "unknown status code" for one that it does not list. */
const char *spop_status_text(uint64_t status);

/* --- the agent --- */

#define SPOP_FRAME_SIZE_MIN 256   /* section 3.2 */
#define SPOP_FRAME_SIZE_CAP 65536 /* what we will hold at most */
#define SPOP_MESSAGES_MAX   16    /* messages in one NOTIFY */
#define SPOP_ARGS_MAX       64    /* arguments of one message */
#define SPOP_NOTIFY_ARGS    256   /* arguments of all messages of one NOTIFY */

struct spop_message {
    const char *name; /* not NUL-terminated */
    size_t name_len;
    const struct spop_kv *args;
    size_t nargs;
};
/* True when the message has this name. */
bool spop_message_is(const struct spop_message *m, const char *name);
/* The value of the argument with this name; NULL when there is none, or more than one (ambiguous is as good as missing). */
const struct spop_value *spop_arg(const struct spop_message *m, const char *name);

enum spop_ev_kind {
    SPOP_EV_HELLO = 1,  /* the handshake is done, our AGENT-HELLO is in the output; CLOSE follows when it was a health check */
    SPOP_EV_NOTIFY,     /* to be answered with one spop_ack(), however many messages it holds */
    SPOP_EV_DISCONNECT, /* HAProxy said goodbye; our answer is in the output, CLOSE follows */
    SPOP_EV_CLOSE,      /* drain the output, then close the socket; nothing follows */
};

/* Pointers are valid until the next spop_agent_feed() or spop_agent_free(). */
struct spop_event {
    enum spop_ev_kind kind;
    union {
        struct {
            bool healthcheck;
            const char *engine_id; /* not NUL-terminated; engine_id_len 0 when absent */
            size_t engine_id_len;
            uint32_t max_frame_size; /* negotiated */
            bool pipelining;         /* both sides can */
        } hello;
        struct {
            uint64_t stream_id, frame_id;
            const struct spop_message *messages;
            size_t nmessages; /* at least 1 */
        } notify;
        struct {
            uint64_t status;
            const char *message; /* not NUL-terminated; from the peer: escape it in a log */
            size_t message_len;
        } disconnect;
        struct {
            enum spop_status status; /* what we told HAProxy; SPOP_ST_NORMAL for an orderly end */
            const char *reason;      /* static; for the log */
        } close;
    };
};

/* Zero takes the default in brackets. */
struct spop_agent_conf {
    uint32_t max_frame_size; /* bytes [16384], made to fit SPOP_FRAME_SIZE_MIN to SPOP_FRAME_SIZE_CAP */
    size_t max_pending;      /* NOTIFY frames without an answer [1024]; one more is a DISCONNECT (HAProxy's own default is 20) */
    size_t max_out;          /* bytes of output that the peer has not read [1 MiB]; more closes the connection */
};

struct spop_agent; /* opaque */

/* NULL when out of memory. conf may be NULL. */
struct spop_agent *spop_agent_new(const struct spop_agent_conf *conf);
void spop_agent_free(struct spop_agent *a);
/* Gives bytes that came from HAProxy. Returns how many were taken: up to the end of the frame, so call again with the rest after
 * taking the events. 0 while an event waits, and always after SPOP_EV_CLOSE. Never fails: errors come as SPOP_EV_CLOSE with
 * AGENT-DISCONNECT in the output. */
size_t spop_agent_feed(struct spop_agent *a, const void *data, size_t len);
/* The next event; false when there is none now. */
bool spop_agent_next(struct spop_agent *a, struct spop_event *ev);
/* Bytes for HAProxy. Drain with buf_drain(). */
struct buf *spop_agent_out(struct spop_agent *a);
/* NOTIFY frames that are not answered yet. */
size_t spop_agent_pending(const struct spop_agent *a);
/* Ends the connection from our side (drain, an internal error): AGENT-DISCONNECT, then SPOP_EV_CLOSE. reason is static. */
void spop_agent_disconnect(struct spop_agent *a, enum spop_status status, const char *reason);

/* --- a connection that another process goes on with --- */

struct spop_agent_state {
    uint32_t frame_size;    /* bytes, as negotiated so far */
    bool ready, pipelining; /* ready: the handshake is done */
    const uint8_t *bytes;   /* the beginning of a frame that is not complete yet */
    size_t len;
};
/* What the other process needs. False when the connection cannot be handed on now: something waits for an answer, to be taken or to be
 * written, or it is closed. st's bytes are valid until the next call on a. */
bool spop_agent_state(const struct spop_agent *a, struct spop_agent_state *st);
/* A machine in this state, for the same connection; its bytes are to be given to spop_agent_feed() first. NULL when out of memory, or when
 * there can be no such state. */
struct spop_agent *spop_agent_resume(const struct spop_agent_conf *conf, const struct spop_agent_state *st);

/* --- answers (sections 3.2.7 and 3.4) --- */

enum spop_action_type { SPOP_SET_VAR = 1, SPOP_UNSET_VAR = 2 };
enum spop_scope { SPOP_PROC, SPOP_SESS, SPOP_TXN, SPOP_REQ, SPOP_RES };
struct spop_action {
    enum spop_action_type type;
    enum spop_scope scope;
    const char *name;        /* without HAProxy's prefix: "verdict" becomes txn.<var-prefix>.verdict */
    struct spop_value value; /* set-var only */
};

enum spop_ack_rc {
    SPOP_ACK_OK = 0,
    SPOP_ACK_NOT_PENDING, /* no NOTIFY of these ids waits for an answer */
    SPOP_ACK_TOO_BIG,     /* over the negotiated frame size; nothing was sent, the NOTIFY still waits: answer with less */
    SPOP_ACK_CLOSED,      /* the connection has ended, or ends because of this answer (output over its ceiling, no memory) */
};
/* Queues an ACK frame for the NOTIFY. Actions may be none. Strings and bytes are copied. */
enum spop_ack_rc spop_ack(struct spop_agent *a, uint64_t stream_id, uint64_t frame_id, const struct spop_action *actions, size_t n);

#endif
