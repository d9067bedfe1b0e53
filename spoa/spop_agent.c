#include "spoa/spop.h"

#include <stdlib.h>

#define FRAME_SIZE_DEFAULT 16384
#define PENDING_DEFAULT    1024
#define OUT_DEFAULT        (1024 * 1024)
/* Room in the output, beyond its mark for ACKs, for an AGENT-HELLO and a last AGENT-DISCONNECT. */
#define OUT_SLACK 1024
/* Length prefix; then the shortest frame: type, flags, two identifiers. */
#define PREFIX_LEN 4
#define FRAME_MIN  7
#define HELLO_KVS  64

enum state { EXPECT_HELLO, READY, CLOSED };

struct frame_ids {
    uint64_t stream, frame;
};

struct spop_agent {
    enum state state;
    uint32_t frame_size; /* bytes that a frame may have now: ours, then the negotiated */
    size_t max_pending, max_out;
    bool pipelining;
    bool frame_done; /* the frame in `in` was handled; the next feed forgets it */
    struct buf in;   /* the frame being gathered, with its prefix; events point into it */
    struct buf out, ack;
    struct spop_event events[2]; /* a frame gives one, or one and CLOSE */
    size_t nevents;
    struct frame_ids *pending; /* [max_pending], allocated with the machine */
    size_t npending;
    struct spop_message messages[SPOP_MESSAGES_MAX];
    struct spop_kv args[SPOP_NOTIFY_ARGS];
};

struct header {
    uint8_t type;
    uint32_t flags;
    struct frame_ids ids;
};

struct spop_agent *spop_agent_new(const struct spop_agent_conf *conf) {
    static const struct spop_agent_conf none;
    if (conf == NULL) conf = &none;
    struct spop_agent *a = calloc(1, sizeof *a);
    if (a == NULL) return NULL;
    a->frame_size = conf->max_frame_size == 0 ? FRAME_SIZE_DEFAULT : conf->max_frame_size;
    if (a->frame_size < SPOP_FRAME_SIZE_MIN) a->frame_size = SPOP_FRAME_SIZE_MIN;
    if (a->frame_size > SPOP_FRAME_SIZE_CAP) a->frame_size = SPOP_FRAME_SIZE_CAP;
    a->max_pending = conf->max_pending == 0 ? PENDING_DEFAULT : conf->max_pending;
    a->max_out = conf->max_out == 0 ? OUT_DEFAULT : conf->max_out;
    if (a->max_out > SIZE_MAX - OUT_SLACK) a->max_out = SIZE_MAX - OUT_SLACK;
    a->pending = calloc(a->max_pending, sizeof *a->pending);
    if (a->pending == NULL) {
        free(a);
        return NULL;
    }
    a->in = BUF_INIT((size_t)PREFIX_LEN + a->frame_size);
    a->out = BUF_INIT(a->max_out + OUT_SLACK);
    return a;
}

void spop_agent_free(struct spop_agent *a) {
    if (a == NULL) return;
    buf_free(&a->in);
    buf_free(&a->out);
    buf_free(&a->ack);
    free(a->pending);
    free(a);
}

bool spop_agent_state(const struct spop_agent *a, struct spop_agent_state *st) {
    if (a->state == CLOSED || a->nevents > 0 || a->npending > 0 || buf_used(&a->out) > 0) return false;
    *st = (struct spop_agent_state){.frame_size = a->frame_size,
                                    .ready = a->state == READY,
                                    .pipelining = a->pipelining,
                                    .bytes = buf_at(&a->in),
                                    .len = a->frame_done ? 0 : buf_used(&a->in)};
    return true;
}

struct spop_agent *spop_agent_resume(const struct spop_agent_conf *conf, const struct spop_agent_state *st) {
    if (st->frame_size < SPOP_FRAME_SIZE_MIN || st->frame_size > SPOP_FRAME_SIZE_CAP || (st->pipelining && !st->ready)) return NULL;
    if (st->len > PREFIX_LEN + (size_t)st->frame_size) return NULL;
    struct spop_agent *a = spop_agent_new(conf);
    if (a == NULL) return NULL;
    a->frame_size = st->frame_size;
    a->in.max = (size_t)PREFIX_LEN + st->frame_size;
    a->pipelining = st->pipelining;
    a->state = st->ready ? READY : EXPECT_HELLO;
    return a;
}

struct buf *spop_agent_out(struct spop_agent *a) {
    return &a->out;
}
size_t spop_agent_pending(const struct spop_agent *a) { return a->npending; }

static void push_event(struct spop_agent *a, const struct spop_event *ev) { a->events[a->nevents++] = *ev; }

static void begin_frame(struct buf *b, uint8_t type, const struct frame_ids *ids) {
    buf_be32(b, 0); /* the length; see end_frame() */
    buf_u8(b, type);
    buf_be32(b, SPOP_FL_FIN);
    spop_put_varint(b, ids->stream);
    spop_put_varint(b, ids->frame);
}

static void end_frame(struct buf *b, size_t start) { buf_patch_be32(b, start, (uint32_t)(buf_used(b) - start - PREFIX_LEN)); }

static void put_disconnect(struct spop_agent *a, enum spop_status status, const char *message) {
    size_t start = buf_used(&a->out);
    begin_frame(&a->out, SPOP_FRM_AGENT_DISCONNECT, &(struct frame_ids){0, 0});
    spop_put_kv(&a->out, "status-code", &(struct spop_value){.type = SPOP_UINT32, .u = status});
    struct spop_value text = spop_str(message);
    spop_put_kv(&a->out, "message", &text);
    end_frame(&a->out, start);
}

static void close_now(struct spop_agent *a, enum spop_status status, const char *reason) {
    a->state = CLOSED;
    a->npending = 0;
    push_event(a, &(struct spop_event){.kind = SPOP_EV_CLOSE, .close = {status, reason}});
}

void spop_agent_disconnect(struct spop_agent *a, enum spop_status status, const char *reason) {
    if (a->state == CLOSED) return;
    put_disconnect(a, status, reason);
    close_now(a, status, reason);
}

static void invalid(struct spop_agent *a, const char *reason) { spop_agent_disconnect(a, SPOP_ST_INVALID, reason); }

/* --- HAPROXY-HELLO (section 3.2.4) --- */

struct hello {
    bool has_versions, has_frame_size, has_capabilities, has_healthcheck, has_engine_id;
    struct spop_value versions, frame_size, capabilities, healthcheck, engine_id;
};

/* The item is for this field: store it, once and of the right type. */
static bool keep(const struct spop_kv *kv, enum spop_type type, bool *has, struct spop_value *field) {
    if (*has || kv->value.type != type) return false;
    *has = true;
    *field = kv->value;
    return true;
}

static bool kv_is(const struct spop_kv *kv, const char *name) {
    return kv->name_len == strlen(name) && memcmp(kv->name, name, kv->name_len) == 0;
}

static bool take_hello_item(const struct spop_kv *kv, struct hello *h) {
    if (kv_is(kv, "supported-versions")) return keep(kv, SPOP_STRING, &h->has_versions, &h->versions);
    if (kv_is(kv, "max-frame-size")) return keep(kv, SPOP_UINT32, &h->has_frame_size, &h->frame_size);
    if (kv_is(kv, "capabilities")) return keep(kv, SPOP_STRING, &h->has_capabilities, &h->capabilities);
    if (kv_is(kv, "healthcheck")) return keep(kv, SPOP_BOOL, &h->has_healthcheck, &h->healthcheck);
    if (kv_is(kv, "engine-id")) return keep(kv, SPOP_STRING, &h->has_engine_id, &h->engine_id);
    return true; /* not one that we know: it changes nothing for us */
}

/* The next item of a comma-separated list with the spaces around it dropped; false at the end. */
static bool next_item(struct cur *list, struct cur *item) {
    if (cur_left(list) == 0) return false;
    const uint8_t *comma = memchr(list->p, ',', cur_left(list));
    const uint8_t *start = list->p, *end = comma == NULL ? list->end : comma;
    list->p = comma == NULL ? list->end : comma + 1;
    while (start < end && *start == ' ') start++;
    while (end > start && end[-1] == ' ') end--;
    *item = cur_of(start, (size_t)(end - start));
    return true;
}

/* "2.<digits>": a major version stands for all its minor versions up to the one named. */
static bool is_version_2(struct cur item) {
    if (cur_left(&item) < 3 || item.p[0] != '2' || item.p[1] != '.') return false;
    for (const uint8_t *p = item.p + 2; p < item.end; p++)
        if (*p < '0' || *p > '9') return false;
    return true;
}

static bool speaks_version_2(const struct spop_value *versions) {
    struct cur list = cur_of(versions->data, versions->len), item;
    while (next_item(&list, &item))
        if (is_version_2(item)) return true;
    return false;
}

static bool has_pipelining(const struct spop_value *capabilities) {
    static const char name[] = "pipelining";
    struct cur list = cur_of(capabilities->data, capabilities->len), item;
    while (next_item(&list, &item))
        if (cur_left(&item) == sizeof name - 1 && memcmp(item.p, name, sizeof name - 1) == 0) return true;
    return false;
}

static void put_hello(struct spop_agent *a) {
    size_t start = buf_used(&a->out);
    begin_frame(&a->out, SPOP_FRM_AGENT_HELLO, &(struct frame_ids){0, 0});
    struct spop_value version = spop_str("2.0"), capabilities = spop_str(a->pipelining ? "pipelining" : "");
    spop_put_kv(&a->out, "version", &version);
    spop_put_kv(&a->out, "max-frame-size", &(struct spop_value){.type = SPOP_UINT32, .u = a->frame_size});
    spop_put_kv(&a->out, "capabilities", &capabilities);
    end_frame(&a->out, start);
}

static void expect_hello(struct spop_agent *a, const struct header *hd, struct cur *c) {
    if (a->state != EXPECT_HELLO) return invalid(a, "a second HELLO");
    if (hd->ids.stream != 0 || hd->ids.frame != 0) return invalid(a, "a HELLO with identifiers");
    struct hello h = {0};
    for (int i = 0; cur_left(c) > 0; i++) {
        struct spop_kv kv;
        if (i == HELLO_KVS) return invalid(a, "too many items in HELLO");
        if (spop_get_kv(c, &kv) != GH_OK) return invalid(a, "an item of HELLO cannot be read");
        if (!take_hello_item(&kv, &h)) return invalid(a, "an item of HELLO comes twice or has the wrong type");
    }
    if (!h.has_versions) return spop_agent_disconnect(a, SPOP_ST_NO_VERSION, "supported-versions is missing");
    if (!h.has_frame_size) return spop_agent_disconnect(a, SPOP_ST_NO_FRAME_SIZE, "max-frame-size is missing");
    if (!h.has_capabilities) return spop_agent_disconnect(a, SPOP_ST_NO_CAPABILITIES, "capabilities is missing");
    if (!speaks_version_2(&h.versions)) return spop_agent_disconnect(a, SPOP_ST_BAD_VERSION, "SPOP 2.0 is not among supported-versions");
    if (h.frame_size.u < SPOP_FRAME_SIZE_MIN) return spop_agent_disconnect(a, SPOP_ST_BAD_FRAME_SIZE, "max-frame-size is under 256");
    if (h.frame_size.u < a->frame_size) a->frame_size = (uint32_t)h.frame_size.u;
    a->pipelining = has_pipelining(&h.capabilities);
    a->state = READY;
    put_hello(a);
    push_event(a, &(struct spop_event){.kind = SPOP_EV_HELLO,
                                       .hello = {.healthcheck = h.healthcheck.b,
                                                 .engine_id = (const char *)h.engine_id.data,
                                                 .engine_id_len = h.engine_id.len,
                                                 .max_frame_size = a->frame_size,
                                                 .pipelining = a->pipelining}});
    if (h.healthcheck.b) close_now(a, SPOP_ST_NORMAL, "health check answered");
}

/* --- HAPROXY-DISCONNECT (section 3.2.8) --- */

static void expect_disconnect(struct spop_agent *a, const struct header *hd, struct cur *c) {
    bool has_status = false, has_message = false;
    struct spop_value status = {0}, message = {0};
    if (hd->ids.stream != 0 || hd->ids.frame != 0) return invalid(a, "a DISCONNECT with identifiers");
    for (int i = 0; cur_left(c) > 0; i++) {
        struct spop_kv kv;
        if (i == HELLO_KVS) return invalid(a, "too many items in DISCONNECT");
        if (spop_get_kv(c, &kv) != GH_OK) return invalid(a, "an item of DISCONNECT cannot be read");
        bool ok = true;
        if (kv_is(&kv, "status-code")) ok = keep(&kv, SPOP_UINT32, &has_status, &status);
        if (kv_is(&kv, "message")) ok = keep(&kv, SPOP_STRING, &has_message, &message);
        if (!ok) return invalid(a, "an item of DISCONNECT comes twice or has the wrong type");
    }
    if (!has_status || !has_message) return invalid(a, "DISCONNECT without status-code or message");
    push_event(a, &(struct spop_event){.kind = SPOP_EV_DISCONNECT, .disconnect = {status.u, (const char *)message.data, message.len}});
    put_disconnect(a, SPOP_ST_NORMAL, spop_status_text(SPOP_ST_NORMAL));
    close_now(a, SPOP_ST_NORMAL, "HAProxy disconnected");
}

/* --- NOTIFY (section 3.2.6) --- */

/* One message of the list; its arguments go to args[*nargs] and on. NULL, or what is wrong. */
static const char *take_message(struct spop_agent *a, struct cur *c, struct spop_message *m, size_t *nargs) {
    const uint8_t *name;
    uint8_t count;
    if (spop_get_string(c, &name, &m->name_len) != GH_OK || m->name_len == 0) return "a message without a name";
    if (!cur_u8(c, &count)) return "a message is cut off";
    if (count > SPOP_ARGS_MAX) return "too many arguments in a message";
    if (count > SPOP_NOTIFY_ARGS - *nargs) return "too many arguments in a NOTIFY";
    m->name = (const char *)name;
    m->args = a->args + *nargs;
    m->nargs = count;
    for (size_t i = 0; i < count; i++)
        if (spop_get_kv(c, &a->args[*nargs + i]) != GH_OK) return "an argument cannot be read";
    *nargs += count;
    return NULL;
}

static bool find_pending(const struct spop_agent *a, uint64_t stream, uint64_t frame, size_t *at) {
    for (*at = 0; *at < a->npending; ++*at)
        if (a->pending[*at].stream == stream && a->pending[*at].frame == frame) return true;
    return false;
}

static void expect_notify(struct spop_agent *a, const struct header *hd, struct cur *c) {
    if (a->state != READY) return invalid(a, "NOTIFY before HELLO");
    size_t n = 0, nargs = 0, at;
    while (cur_left(c) > 0) {
        if (n == SPOP_MESSAGES_MAX) return invalid(a, "too many messages in a NOTIFY");
        const char *wrong = take_message(a, c, &a->messages[n++], &nargs);
        if (wrong != NULL) return invalid(a, wrong);
    }
    if (n == 0) return invalid(a, "a NOTIFY without a message");
    if (find_pending(a, hd->ids.stream, hd->ids.frame, &at)) return invalid(a, "a NOTIFY of these identifiers waits already");
    if (!a->pipelining && a->npending > 0)
        return spop_agent_disconnect(a, SPOP_ST_INTERLACED, "a NOTIFY before the answer to the last, without pipelining");
    if (a->npending == a->max_pending) return spop_agent_disconnect(a, SPOP_ST_RESOURCES, "too many NOTIFY frames without an answer");
    a->pending[a->npending++] = hd->ids;
    push_event(a, &(struct spop_event){.kind = SPOP_EV_NOTIFY, .notify = {hd->ids.stream, hd->ids.frame, a->messages, n}});
}

/* --- frames --- */

static void handle_frame(struct spop_agent *a) {
    struct cur c = cur_of(buf_at(&a->in) + PREFIX_LEN, buf_used(&a->in) - PREFIX_LEN);
    struct header hd;
    if (!cur_u8(&c, &hd.type) || !cur_be32(&c, &hd.flags) || spop_get_varint(&c, &hd.ids.stream) != GH_OK ||
        spop_get_varint(&c, &hd.ids.frame) != GH_OK)
        return invalid(a, "a frame's header cannot be read");
    /* A payload in pieces: its first frame lacks FIN, the others are UNSET. We did not announce that we can. */
    if (hd.type == SPOP_FRM_UNSET || (hd.flags & SPOP_FL_FIN) == 0)
        return spop_agent_disconnect(a, SPOP_ST_FRAGMENTATION, "a fragmented payload");
    if (hd.flags != SPOP_FL_FIN) return invalid(a, "a frame with ABORT or reserved flags");
    switch (hd.type) {
    case SPOP_FRM_HAPROXY_HELLO: return expect_hello(a, &hd, &c);
    case SPOP_FRM_HAPROXY_DISCONNECT: return expect_disconnect(a, &hd, &c);
    case SPOP_FRM_NOTIFY: return expect_notify(a, &hd, &c);
    default: return invalid(a, "a frame of a type that HAProxy does not send");
    }
}

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

size_t spop_agent_feed(struct spop_agent *a, const void *data, size_t len) {
    if (a->nevents > 0 || a->state == CLOSED || len == 0) return 0;
    if (a->frame_done) {
        buf_reset(&a->in);
        a->frame_done = false;
    }
    const uint8_t *p = data;
    size_t taken = 0;
    if (buf_used(&a->in) < PREFIX_LEN) {
        taken = min_size(len, PREFIX_LEN - buf_used(&a->in));
        buf_put(&a->in, p, taken);
    }
    if (!a->in.failed && buf_used(&a->in) >= PREFIX_LEN) {
        struct cur c = cur_of(buf_at(&a->in), PREFIX_LEN);
        uint32_t length = 0;
        if (!cur_be32(&c, &length) || length < FRAME_MIN) {
            invalid(a, "a frame too short for its header");
            return taken;
        }
        if (length > a->frame_size) {
            spop_agent_disconnect(a, SPOP_ST_TOO_BIG, "a frame over the negotiated size");
            return taken;
        }
        size_t more = min_size(len - taken, length - (buf_used(&a->in) - PREFIX_LEN));
        buf_put(&a->in, p + taken, more);
        taken += more;
        a->frame_done = !a->in.failed && buf_used(&a->in) - PREFIX_LEN == length;
    }
    if (a->in.failed)
        spop_agent_disconnect(a, SPOP_ST_RESOURCES, "no memory for a frame");
    else if (a->frame_done)
        handle_frame(a);
    return taken;
}

bool spop_agent_next(struct spop_agent *a, struct spop_event *ev) {
    if (a->nevents == 0) return false;
    *ev = a->events[0];
    a->events[0] = a->events[1];
    a->nevents--;
    return true;
}

/* --- ACK (sections 3.2.7 and 3.4) --- */

static void put_action(struct buf *b, const struct spop_action *action) {
    buf_u8(b, (uint8_t)action->type);
    buf_u8(b, action->type == SPOP_SET_VAR ? 3 : 2);
    buf_u8(b, (uint8_t)action->scope);
    spop_put_string(b, action->name, strlen(action->name));
    if (action->type == SPOP_SET_VAR) spop_put_value(b, &action->value);
}

enum spop_ack_rc spop_ack(struct spop_agent *a, uint64_t stream_id, uint64_t frame_id, const struct spop_action *actions, size_t n) {
    size_t at;
    if (a->state == CLOSED) return SPOP_ACK_CLOSED;
    if (!find_pending(a, stream_id, frame_id, &at)) return SPOP_ACK_NOT_PENDING;
    a->ack.max = (size_t)PREFIX_LEN + a->frame_size;
    buf_reset(&a->ack);
    begin_frame(&a->ack, SPOP_FRM_ACK, &a->pending[at]);
    for (size_t i = 0; i < n; i++) put_action(&a->ack, &actions[i]);
    if (a->ack.failed && !a->ack.no_memory) return SPOP_ACK_TOO_BIG;
    if (a->ack.failed) {
        spop_agent_disconnect(a, SPOP_ST_RESOURCES, "no memory for a frame");
        return SPOP_ACK_CLOSED;
    }
    end_frame(&a->ack, 0);
    size_t size = buf_used(&a->ack), used = buf_used(&a->out);
    if (size <= a->max_out && used <= a->max_out - size) {
        buf_put(&a->out, buf_at(&a->ack), size);
        if (!a->out.failed) {
            a->pending[at] = a->pending[--a->npending];
            return SPOP_ACK_OK;
        }
    }
    /* A peer that sends and does not read. */
    spop_agent_disconnect(a, SPOP_ST_RESOURCES, "HAProxy does not read its answers");
    return SPOP_ACK_CLOSED;
}
