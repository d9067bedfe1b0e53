/* The MySQL filter: its life, and what both directions share. */
#include "filters/my_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MSG_ROOM  (64u << 10) /* beyond limits.statement: null bitmap and types of an execution, the command's own bytes */
#define HELLO_MAX (128u << 10)

/* --- to the client --- */

void my_say(struct my_filter *f, const struct buf *payload) {
    if (f->retrack && !payload->failed) {
        buf_reset(&f->told);
        buf_put(&f->told, buf_at(payload), buf_used(payload));
        return;
    }
    if (payload->failed)
        f->base.out[FLT_CLIENT].failed = true;
    else
        my_put_packet(&f->base.out[FLT_CLIENT], &f->out_seq, buf_at(payload), buf_used(payload));
}

void my_say_ok(struct my_filter *f) {
    struct buf b = BUF_INIT(64);
    my_put_ok(&b, f->up == MY_UP_READY ? f->status : MY_STATUS_AUTOCOMMIT);
    my_say(f, &b);
    buf_free(&b);
}

void my_say_error(struct my_filter *f, const char *sqlstate, const char *message, const char *detail, const char *hint) {
    struct buf b = BUF_INIT(8192);
    my_put_refusal(&b, sqlstate, message, detail, hint);
    my_say(f, &b);
    buf_free(&b);
}

void my_over(struct my_filter *f, enum gh_rc rc, const char *reason) {
    if (f->base.closed) return;
    if (f->run_id != 0) my_post_result(f, "", f->step != MY_STEP_RUNNING && f->step != MY_STEP_FILE);
    flt_post_close(&f->base, rc, reason);
}

void my_fatal(struct my_filter *f, enum gh_rc rc, const char *sqlstate, const char *message, const char *hint, const char *reason) {
    if (f->base.closed) return;
    f->retrack = false;
    if (strncmp(sqlstate, "08", 2) == 0 && strcmp(sqlstate, "08P01") != 0)
        sqlstate = "57P01";                                              /* by 08S01 drivers and pools know that it is over */
    if (f->phase == MY_READY && f->step == MY_STEP_IDLE) f->out_seq = 1; /* read as the answer to the next command */
    /* In the middle of a packet the client would read the error as data: it gets the end of the connection. */
    if (!(f->streaming && f->from.left > 0)) my_say_error(f, sqlstate, message, NULL, hint);
    my_over(f, rc, reason);
}

void my_no_memory(struct my_filter *f) { my_fatal(f, GH_LIMIT, "53200", "out of memory", NULL, "out of memory"); }

void my_violation(struct my_filter *f, const char *reason) {
    my_fatal(f, GH_MALFORMED, "08P01", reason, "The session ends: what follows could not be read reliably.", reason);
}

/* --- packets --- */

bool my_take_header(struct my_frame *fr, const uint8_t **data, size_t *len, bool *bad) {
    while (*len > 0 && fr->head_len < MY_HEADER) {
        fr->head[fr->head_len++] = *(*data)++;
        --*len;
    }
    if (fr->head_len < MY_HEADER) return false;
    fr->head_len = 0;
    fr->left = (uint32_t)fr->head[0] | (uint32_t)fr->head[1] << 8 | (uint32_t)fr->head[2] << 16;
    fr->more = fr->left == MY_PACKET_MAX;
    *bad = !fr->any && fr->head[3] != fr->seq;
    fr->seq = (uint8_t)(fr->head[3] + 1);
    fr->body = !*bad;
    return fr->body;
}

/* --- the command at hand --- */

static void drop_answer(struct my_filter *f) {
    if (f->rewritten != NULL && f->answer.secret) gh_wipe(f->rewritten, f->answer.rewritten_len);
    free(f->rewritten);
    f->rewritten = NULL;
    if (f->answer.ctx != NULL && f->base.conf.ctx_free != NULL) f->base.conf.ctx_free(f->answer.ctx); /* no statement has taken it */
    f->answer = (struct flt_answer){0};
    if (f->preparing != NULL) my_stmt_free(f->preparing, f->base.conf.ctx_free);
    f->preparing = NULL;
}

void my_done(struct my_filter *f) {
    if (f->answer.secret && buf_used(&f->msg) > 0) gh_wipe(f->msg.data + f->msg.off, buf_used(&f->msg));
    drop_answer(f);
    if (buf_used(&f->msg) > MSG_ROOM)
        buf_free(&f->msg); /* an idle session keeps no large buffer */
    else
        buf_reset(&f->msg);
    buf_reset(&f->said);
    free(f->params);
    f->params = NULL;
    f->stmt = NULL;
    f->discard = f->file_ok = f->file_denied = f->over = f->over_told = f->late = f->has_rows = false;
    f->due = MY_DUE_NOTHING;
    f->run_id = 0;
    f->rows = f->bytes = f->passed = 0;
    f->multi_next = -1;
    f->in.seq = 0;
    f->step = f->over_hold ? MY_STEP_OVER : MY_STEP_IDLE;
}

void my_post_result(struct my_filter *f, const char *sqlstate, bool skipped) {
    struct flt_event ev = {.kind = FLT_EV_RESULT, .result = {.id = f->run_id, .rows = f->rows, .bytes = f->bytes, .skipped = skipped}};
    memcpy(ev.result.sqlstate, sqlstate, strlen(sqlstate) + 1);
    f->run_id = 0;
    flt_post(&f->base, &ev);
}

/* --- the owner --- */

static void terminate(struct flt *base, const char *sqlstate, const char *message, const char *hint) {
    my_fatal(my_of(base), GH_OK, sqlstate, message, hint, "ended by Gatehouse");
}

static bool server_key(const struct flt *base, uint32_t *pid, uint32_t *secret) {
    const struct my_filter *f = (const struct my_filter *)base;
    *pid = f->greeting.thread;
    *secret = 0;
    return f->up == MY_UP_READY;
}

static void spare(struct flt *base) {
    struct my_filter *f = (struct my_filter *)base;
    if (f->asked_id == 0) buf_spare(&f->msg);
    buf_spare(&f->reply);
}

static bool idle(const struct flt *base) {
    const struct my_filter *f = (const struct my_filter *)base;
    return f->phase == MY_READY && f->step == MY_STEP_IDLE && !f->in.body && f->in.head_len == 0 && buf_used(&f->msg) == 0 &&
           (f->up == MY_UP_NONE || (f->status & MY_STATUS_IN_TRANS) == 0);
}

static void over(struct flt *base) {
    struct my_filter *f = my_of(base);
    f->over_hold = false;
    if (f->step == MY_STEP_OVER) my_done(f);
}

static bool overrun(struct flt *base) {
    struct my_filter *f = my_of(base);
    if (f->step != MY_STEP_RUNNING || f->run_id == 0 || !f->answer.limited || f->over) return false;
    f->over = f->over_told = f->over_hold = f->late = true;
    flt_post(base, &(struct flt_event){.kind = FLT_EV_OVER, .over = {f->run_id}});
    return true;
}

static bool in_transaction(const struct flt *base) {
    const struct my_filter *f = (const struct my_filter *)base;
    bool runs = f->step != MY_STEP_IDLE && f->step != MY_STEP_HELD && f->step != MY_STEP_ASKED;
    return f->up == MY_UP_READY && (runs || (f->status & MY_STATUS_IN_TRANS) != 0);
}

/* --- life --- */

static size_t feed(struct flt *base, enum flt_side side, const uint8_t *data, size_t len) {
    return side == FLT_SERVER ? my_server_feed(my_of(base), data, len) : my_client_feed(my_of(base), data, len);
}

static void eof(struct flt *base, enum flt_side side) {
    struct my_filter *f = my_of(base);
    if (side == FLT_SERVER) {
        my_server_eof(f);
        return;
    }
    if (f->run_id != 0) my_post_result(f, "", f->step != MY_STEP_RUNNING && f->step != MY_STEP_FILE);
    flt_post_close(base, GH_OK, "client closed the connection");
}

static void destroy(struct flt *base) {
    struct my_filter *f = my_of(base);
    drop_answer(f);
    my_login_wipe(f);
    my_upstream_wipe(f);
    my_stmts_clear(&f->stmts);
    free(f->stmts.list);
    free(f->params);
    buf_free(&f->msg);
    buf_free(&f->said);
    buf_free(&f->hello);
    buf_free(&f->reply);
    buf_free(&f->told);
    flt_release(base);
    free(f);
}

struct flt *my_filter_new(const struct flt_conf *conf) {
    static const struct flt_ops ops = {.free = destroy,
                                       .feed = feed,
                                       .eof = eof,
                                       .login_ask = my_login_ask,
                                       .login_accept = my_login_accept,
                                       .login_refuse = my_login_refuse,
                                       .answer = my_client_answer,
                                       .upstream_open = my_upstream_open,
                                       .upstream_secured = my_upstream_secured,
                                       .upstream_failed = my_upstream_failed,
                                       .terminate = terminate,
                                       .server_key = server_key,
                                       .idle = idle,
                                       .spare = spare,
                                       .over = over,
                                       .overrun = overrun,
                                       .in_transaction = in_transaction};
    struct my_filter *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    flt_init(&f->base, &ops, conf);
    f->msg = BUF_INIT(f->base.conf.limits.statement + MSG_ROOM);
    f->said = BUF_INIT(4096);
    f->hello = BUF_INIT(HELLO_MAX);
    f->token = BUF_INIT(f->base.conf.limits.token + 1);
    f->reply = BUF_INIT(f->base.conf.limits.reply + 16);
    f->told = BUF_INIT(f->base.conf.limits.reply + 64);
    f->pins = f->attrs = BUF_INIT(64u << 10);
    f->stmts.ctx_free = conf->ctx_free;
    f->in.seq = 2; /* the greeting had 0, SSLRequest 1 */
    f->out_seq = 3;
    f->multi_next = -1;
    f->status = MY_STATUS_AUTOCOMMIT;
    f->auth.password = "";
    return &f->base;
}
