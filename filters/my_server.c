/* What the server says, packet by packet: rows pass as they come, everything else is held whole and looked at. */
#include "filters/my_impl.h"

#include <string.h>

/* A server that goes away says nothing to its clients: drivers connect again when the connection ends (2006, 2013), and not for an error that they read. */
void my_server_eof(struct my_filter *f) {
    if (f->up == MY_UP_NONE || f->up == MY_UP_ASKED) return;
    if (f->phase == MY_READY && f->up == MY_UP_READY)
        my_over(f, GH_OK, "the database closed the connection");
    else
        my_upstream_lost(f, "", "the server closed the connection during the login");
}

/* A server that does not keep to the protocol: nothing that it says can be trusted any more. */
static void broken(struct my_filter *f, const char *reason) {
    if (f->up == MY_UP_READY)
        my_fatal(f, GH_MALFORMED, "08006", "the database broke the protocol",
                 "Connect again; the operators of Gatehouse find more in its log.", reason);
    else
        my_upstream_lost(f, "", reason);
}

static void unasked(struct my_filter *f, struct cur body) {
    struct my_err e;
    bool said = my_read_err(body, &e);
    my_fatal(f, GH_OK, "57P01", "the database ended the connection", "Connect again.",
             said ? "the database ended the connection" : "the database spoke without a question");
}

static void whole(struct my_filter *f) {
    struct cur body = cur_of(buf_at(&f->reply), buf_used(&f->reply));
    if (f->reply.failed) {
        broken(f, "a message of the server is too long to be held");
        return;
    }
    if (f->up != MY_UP_READY || f->step == MY_STEP_PINNING)
        my_upstream_packet(f, body);
    else if (f->due == MY_DUE_NOTHING)
        unasked(f, body);
    else
        my_answer_packet(f, body);
}

/* The packet begins: first is its first byte, 0 when it is empty. */
static void begin(struct my_filter *f, uint8_t first) {
    enum my_take how = f->up == MY_UP_READY && f->step != MY_STEP_PINNING && f->due != MY_DUE_NOTHING
                           ? my_answer_look(f, first, f->from.left, f->from.more)
                           : MY_HOLD;
    f->begun = true;
    f->holding = how == MY_HOLD;
    f->streaming = how == MY_PASS;
    buf_reset(&f->reply);
    if (f->streaming && !f->base.closed) my_put_header(&f->base.out[FLT_CLIENT], f->out_seq++, f->from.left);
}

static void end(struct my_filter *f) {
    f->from.body = false;
    f->from.continues = f->from.more;
    if (f->from.more) return;
    bool held = f->holding;
    f->begun = f->holding = f->streaming = false;
    if (held)
        whole(f);
    else
        my_answer_passed(f);
}

static bool header(struct my_filter *f, const uint8_t **p, size_t *left) {
    bool bad = false;
    f->from.any = f->due == MY_DUE_NOTHING && f->up == MY_UP_READY && f->step != MY_STEP_PINNING; /* without a question */
    if (!my_take_header(&f->from, p, left, &bad)) {
        if (bad) broken(f, "a packet of the server has a wrong number");
        return false;
    }
    if (f->from.continues) {
        if (f->streaming) my_put_header(&f->base.out[FLT_CLIENT], f->out_seq++, f->from.left);
        return true;
    }
    f->begun = false;
    if (f->from.left == 0) begin(f, 0);
    return true;
}

static void take(struct my_filter *f, const uint8_t *p, size_t n) {
    if (!f->begun) {
        begin(f, *p);
        if (f->base.closed) return;
    }
    if (f->holding)
        buf_put(&f->reply, p, n);
    else if (f->streaming)
        buf_put(&f->base.out[FLT_CLIENT], p, n);
    f->from.left -= (uint32_t)n;
}

size_t my_server_feed(struct my_filter *f, const uint8_t *data, size_t len) {
    const uint8_t *p = data;
    size_t left = len;
    bool waits = f->up == MY_UP_NONE || f->up == MY_UP_ASKED;
    if (waits) return len; /* of a connection that is over */
    while (!f->base.closed && f->up != MY_UP_ASKED && f->up != MY_UP_TLS && buf_used(&f->base.out[FLT_CLIENT]) <= FLT_OUT_MARK &&
           (left > 0 || (f->from.body && f->from.left == 0))) {
        if (!f->from.body && !header(f, &p, &left)) continue;
        size_t n = left < f->from.left ? left : f->from.left;
        if (n > 0) {
            take(f, p, n);
            p += n;
            left -= n;
        }
        if (!f->base.closed && f->from.left == 0) end(f);
    }
    if (f->up == MY_UP_TLS && left > 0) { /* what came in plain text behind the greeting is nobody's we know */
        my_upstream_lost(f, "", "the server sent more than its greeting before TLS");
        return len;
    }
    return f->base.closed || f->up == MY_UP_ASKED ? len : len - left;
}
