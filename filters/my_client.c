/* What the client says: packets, commands, and what becomes of each. */
#include "filters/my_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISCARD_KEEP 7u /* of a command over its limit: the command, and of long data its statement and parameter */
#define CURSOR_FLAGS 0x07u

/* --- to the server --- */

void my_send(struct my_filter *f, const void *payload, size_t len) {
    f->up_seq = 0;
    my_put_packet(&f->base.out[FLT_SERVER], &f->up_seq, payload, len);
    f->from.seq = f->up_seq;
}

static void send_text(struct my_filter *f, uint8_t command, const char *text, size_t len) {
    struct buf b = BUF_INIT(len + 1);
    buf_u8(&b, command);
    buf_put(&b, text, len);
    if (b.failed)
        my_no_memory(f);
    else
        my_send(f, buf_at(&b), buf_used(&b));
    if (f->answer.secret && b.data != NULL) gh_wipe(b.data, b.cap);
    buf_free(&b);
}

/* The command as it came, whose answer is due. */
static void pass_on(struct my_filter *f, enum my_due due) {
    my_send(f, buf_at(&f->msg), buf_used(&f->msg));
    f->due = due;
    f->step = MY_STEP_RUNNING;
}

/* --- refusals --- */

static void refuse(struct my_filter *f, const char *sqlstate, const char *message, const char *hint) {
    my_say_error(f, sqlstate, message, NULL, hint);
    my_done(f);
}

static void unknown_stmt(struct my_filter *f) {
    struct buf b = BUF_INIT(256);
    my_put_err(&b, 1243, "HY000", "Unknown prepared statement handler given to gatehouse");
    my_say(f, &b);
    buf_free(&b);
    my_done(f);
}

void my_client_refuse_held(struct my_filter *f, const char *sqlstate, const char *message, const char *hint) {
    if (f->run_id != 0) my_post_result(f, "", true);
    refuse(f, sqlstate, message, hint);
}

/* --- questions --- */

static bool is_ascii(const uint8_t *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (text[i] >= 0x80) return false;
    return true;
}

static void ask(struct my_filter *f, enum flt_stmt_kind kind, const char *text, size_t len) {
    struct flt_event ev = {.kind = FLT_EV_STATEMENT,
                           .stmt = {.id = ++f->last_id,
                                    .kind = kind,
                                    .text = text,
                                    .len = len,
                                    .name = kind == FLT_STMT_QUERY ? NULL : "",
                                    .alone = (f->status & MY_STATUS_IN_TRANS) == 0,
                                    .multi = f->multi && kind == FLT_STMT_QUERY}};
    if (f->ascii && !is_ascii((const uint8_t *)text, len)) {
        refuse(f, "22021", "this connection's character set is not UTF-8, and the statement has characters that are not ASCII",
               "Connect with utf8mb4 (--default-character-set=utf8mb4), or send such values as parameters.");
        return;
    }
    if (kind == FLT_STMT_EXECUTE) {
        ev.stmt.ctx = f->stmt->ctx;
        ev.stmt.params = f->params;
        ev.stmt.nparams = f->stmt->nparams;
        ev.stmt.types = f->stmt->types;
        ev.stmt.ntypes = f->stmt->types == NULL ? 0 : f->stmt->nparams;
    }
    f->kind = kind;
    f->asked_id = ev.stmt.id;
    f->step = MY_STEP_ASKED;
    flt_post(&f->base, &ev);
}

/* What a text means depends on the server, so there must be one. */
static bool have_upstream(struct my_filter *f) {
    if (f->up == MY_UP_READY) return true;
    f->step = MY_STEP_HELD;
    if (f->up == MY_UP_NONE) {
        f->up = MY_UP_ASKED;
        flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_UPSTREAM});
    }
    return false;
}

static void ask_text(struct my_filter *f, enum flt_stmt_kind kind) {
    if (!have_upstream(f)) return;
    size_t len = buf_used(&f->msg) - 1;
    buf_u8(&f->msg, 0);
    if (f->msg.failed)
        my_no_memory(f);
    else
        ask(f, kind, (const char *)buf_at(&f->msg) + 1, len);
}

/* A command that is no text is asked about as the statement that does the same: before, and the name as an identifier. */
static void ask_as(struct my_filter *f, const char *before, const uint8_t *name, size_t len) {
    if (!have_upstream(f)) return;
    buf_reset(&f->said);
    buf_str(&f->said, before);
    if (name != NULL) {
        buf_u8(&f->said, '`');
        for (size_t i = 0; i < len; i++) {
            if (name[i] == '`') buf_u8(&f->said, '`');
            buf_u8(&f->said, name[i]);
        }
        buf_u8(&f->said, '`');
    }
    size_t said = buf_used(&f->said);
    buf_u8(&f->said, 0);
    if (f->said.no_memory)
        my_no_memory(f);
    else if (f->said.failed || (name != NULL && (len == 0 || !gh_utf8_valid(name, len))))
        refuse(f, "22021", "the name in this command cannot be read", "Send the statement that does the same instead.");
    else
        ask(f, FLT_STMT_QUERY, (const char *)buf_at(&f->said), said);
}

/* --- prepared statements --- */

/* What a session keeps of its prepared statements and their long data. */
static bool over_budget(const struct my_filter *f) { return f->stmts.bytes > 4 * f->base.conf.limits.statement; }

static struct my_stmt *named_stmt(struct my_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg) + 1, buf_used(&f->msg) - 1);
    uint32_t id;
    return cur_le32(&c, &id) ? my_stmts_find(&f->stmts, id) : NULL;
}

static void on_execute(struct my_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg) + 1, buf_used(&f->msg) - 1);
    uint32_t id, rounds;
    uint8_t flags;
    struct gh_err err = {0};
    struct my_stmt *one = named_stmt(f);
    if (one == NULL) {
        unknown_stmt(f);
        return;
    }
    if (one->broken) {
        refuse(f, "54000", "the parameters of this statement are too long",
               "Send less, or ask who runs this gate to raise limits.statement.");
        return;
    }
    if (!cur_le32(&c, &id) || !cur_u8(&c, &flags) || !cur_le32(&c, &rounds) || (flags & ~CURSOR_FLAGS) != 0 || rounds != 1) {
        refuse(f, "0A000", "this way to execute a prepared statement is not supported",
               "Use a client of MySQL or MariaDB without bulk operations.");
        return;
    }
    f->stmt = one;
    f->params = calloc((size_t)one->nparams + 1, sizeof *f->params);
    enum gh_rc rc = f->params == NULL ? GH_LIMIT : my_stmts_params(&f->stmts, one, c, f->params, f->base.conf.limits.params, &err);
    if (rc == GH_LIMIT)
        my_no_memory(f);
    else if (rc != GH_OK)
        refuse(f, "0A000", err.reason, NULL);
    else
        ask(f, FLT_STMT_EXECUTE, one->text, one->len);
}

/* With its types, which an execution before may have told that never reached the server, and without a cursor: the rows come at once. */
static void send_execute(struct my_filter *f) {
    const struct my_stmt *one = f->stmt;
    const uint8_t *msg = buf_at(&f->msg);
    size_t len = buf_used(&f->msg), nulls = one->nparams == 0 ? 0 : (one->nparams + 7u) / 8u, at = 10 + nulls;
    struct buf b = BUF_INIT(len + 2u * MY_PARAMS_MAX + 16);
    buf_put(&b, msg, 5);
    buf_u8(&b, 0);
    buf_put(&b, msg + 6, 4);
    if (one->nparams > 0) {
        bool told = msg[at] == 1;
        buf_put(&b, msg + 10, nulls);
        buf_u8(&b, 1);
        for (size_t i = 0; i < one->nparams; i++) buf_le16(&b, (uint16_t)one->types[i]);
        at += 1 + (told ? 2u * one->nparams : 0);
        buf_put(&b, msg + at, len - at);
    }
    if (b.failed) {
        my_no_memory(f);
    } else {
        my_send(f, buf_at(&b), buf_used(&b));
        my_stmts_forget_long(&f->stmts, f->stmt);
        f->due = MY_DUE_RESULT;
        f->step = MY_STEP_RUNNING;
    }
    buf_free(&b);
}

static void send_prepare(struct my_filter *f, const char *text, size_t len) {
    struct my_stmt *one = calloc(1, sizeof *one);
    if (one != NULL) one->text = malloc(len + 1);
    if (one == NULL || one->text == NULL) {
        free(one);
        my_no_memory(f);
        return;
    }
    /* What later executions are asked about, and recorded as, is what the client sent, but for a secret. */
    const char *told = f->answer.secret ? text : (const char *)buf_at(&f->msg) + 1;
    size_t told_len = f->answer.secret ? len : buf_used(&f->msg) - 2;
    if (told_len != len) {
        char *other = realloc(one->text, told_len + 1);
        if (other == NULL) {
            my_stmt_free(one, NULL);
            my_no_memory(f);
            return;
        }
        one->text = other;
    }
    memcpy(one->text, told, told_len);
    one->text[told_len] = '\0';
    one->len = told_len;
    one->rewritten = f->rewritten != NULL;
    one->ctx = f->answer.ctx;
    f->answer.ctx = NULL;
    f->preparing = one;
    send_text(f, MY_COM_STMT_PREPARE, text, len);
    f->due = MY_DUE_PREPARED;
    f->step = MY_STEP_RUNNING;
}

static void on_long_data(struct my_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg) + 1, buf_used(&f->msg) - 1);
    uint32_t id;
    uint16_t n;
    struct my_stmt *one = named_stmt(f);
    /* No answer is due, whatever it says; the server would complain at the execution, and so do we. */
    if (one != NULL && cur_le32(&c, &id) && cur_le16(&c, &n)) {
        bool memory = true;
        if (f->discard || over_budget(f) || !my_stmts_add_long(&f->stmts, one, n, c, f->base.conf.limits.params, &memory))
            one->broken = true;
        else if (!one->broken)
            my_send(f, buf_at(&f->msg), buf_used(&f->msg));
        if (!memory) my_no_memory(f);
    }
    my_done(f);
}

static void on_close(struct my_filter *f) {
    struct my_stmt *one = named_stmt(f);
    if (one != NULL) {
        my_send(f, buf_at(&f->msg), buf_used(&f->msg));
        my_stmts_drop(&f->stmts, one->id);
    }
    my_done(f);
}

static void on_reset(struct my_filter *f) {
    struct my_stmt *one = named_stmt(f);
    if (one == NULL) {
        unknown_stmt(f);
        return;
    }
    one->broken = false;
    my_stmts_forget_long(&f->stmts, one);
    pass_on(f, MY_DUE_SIMPLE);
}

/* --- other commands --- */

static void on_set_option(struct my_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg) + 1, buf_used(&f->msg) - 1);
    uint16_t option;
    if (!cur_le16(&c, &option) || option > 1 || cur_left(&c) != 0) {
        refuse(f, "0A000", "an option that is not known", NULL);
        return;
    }
    if (f->up == MY_UP_READY) {
        f->multi_next = option == 0;
        pass_on(f, MY_DUE_SIMPLE);
        return;
    }
    f->multi = option == 0;
    struct buf b = BUF_INIT(16);
    if ((f->caps & MY_CAP_DEPRECATE_EOF) != 0)
        my_put_ok(&b, f->status);
    else
        my_put_eof(&b, f->status);
    my_say(f, &b);
    buf_free(&b);
    my_done(f);
}

static void on_kill(struct my_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg) + 1, buf_used(&f->msg) - 1);
    uint32_t id;
    char text[40];
    if (!cur_le32(&c, &id) || cur_left(&c) != 0) {
        refuse(f, "0A000", "this command cannot be read", NULL);
        return;
    }
    snprintf(text, sizeof text, "KILL CONNECTION %u", (unsigned)id);
    ask_as(f, text, NULL, 0);
}

static void on_field_list(struct my_filter *f) {
    struct cur c = cur_of(buf_at(&f->msg) + 1, buf_used(&f->msg) - 1);
    const char *table;
    size_t len;
    if (!cur_cstr(&c, &table, &len))
        refuse(f, "0A000", "this command cannot be read", NULL);
    else
        ask_as(f, "SHOW COLUMNS FROM ", (const uint8_t *)table, len);
}

static void local_or(struct my_filter *f, enum my_due due) {
    if (f->up == MY_UP_READY) {
        pass_on(f, due);
        return;
    }
    my_say_ok(f);
    my_done(f);
}

void my_command(struct my_filter *f) {
    uint8_t command = buf_at(&f->msg)[0];
    f->out_seq = f->in.seq;
    if (f->discard && command != MY_COM_STMT_SEND_LONG_DATA) {
        refuse(f, "54000", "this statement is longer than limits.statement allows", "Send shorter statements.");
        return;
    }
    switch (command) {
    case MY_COM_QUIT: flt_post_close(&f->base, GH_OK, "client closed the connection"); break;
    case MY_COM_QUERY: ask_text(f, FLT_STMT_QUERY); break;
    case MY_COM_STMT_PREPARE:
        if (f->stmts.n >= f->base.conf.limits.statements)
            refuse(f, "53400", "this session keeps too many prepared statements", "Close those that you do not need.");
        else if (over_budget(f))
            refuse(f, "53400", "the prepared statements of this session are too long in all", "Close those that you do not need.");
        else
            ask_text(f, FLT_STMT_PREPARE);
        break;
    case MY_COM_STMT_EXECUTE: on_execute(f); break;
    case MY_COM_STMT_SEND_LONG_DATA: on_long_data(f); break;
    case MY_COM_STMT_CLOSE: on_close(f); break;
    case MY_COM_STMT_RESET: on_reset(f); break;
    case MY_COM_INIT_DB: ask_as(f, "USE ", buf_at(&f->msg) + 1, buf_used(&f->msg) - 1); break;
    case MY_COM_FIELD_LIST: on_field_list(f); break;
    case MY_COM_STATISTICS: ask_as(f, "SHOW GLOBAL STATUS", NULL, 0); break;
    case MY_COM_PROCESS_INFO: ask_as(f, "SHOW PROCESSLIST", NULL, 0); break;
    case MY_COM_PROCESS_KILL: on_kill(f); break;
    case MY_COM_PING: local_or(f, MY_DUE_SIMPLE); break;
    case MY_COM_RESET_CONNECTION: local_or(f, MY_DUE_SIMPLE); break;
    case MY_COM_SET_OPTION: on_set_option(f); break;
    case MY_COM_CHANGE_USER:
        refuse(f, "0A000", "COM_CHANGE_USER is not supported: a session is one identity's", "Open a new connection with the other token.");
        break;
    case MY_COM_STMT_FETCH:
        refuse(f, "0A000", "there is no cursor: an execution sends all its rows", "Read the rows of the execution, without a cursor.");
        break;
    default:
        refuse(f, "0A000", "this command is not supported by gatehouse", "Send the SQL statement that does the same, if there is one.");
        break;
    }
}

/* --- the owner's answer --- */

static bool keep_answer(struct my_filter *f, const struct flt_answer *a) {
    f->answer = *a;
    f->answer.rewritten = NULL;
    f->rewritten = NULL;
    if (a->rewritten == NULL) return true;
    f->rewritten = malloc(a->rewritten_len + 1);
    if (f->rewritten == NULL) return false;
    memcpy(f->rewritten, a->rewritten, a->rewritten_len);
    f->rewritten[a->rewritten_len] = '\0';
    return true;
}

static void forward(struct my_filter *f) {
    const char *text = f->rewritten != NULL ? f->rewritten : (const char *)buf_at(&f->msg) + 1;
    uint8_t command = buf_at(&f->msg)[0];
    bool is_text = command == MY_COM_QUERY || command == MY_COM_STMT_PREPARE;
    size_t len = f->rewritten != NULL ? f->answer.rewritten_len : is_text ? buf_used(&f->msg) - 2 : 0;
    if (f->kind == FLT_STMT_PREPARE) {
        send_prepare(f, text, len);
    } else if (f->kind == FLT_STMT_EXECUTE) {
        send_execute(f);
    } else if (command == MY_COM_QUERY || f->rewritten != NULL) {
        send_text(f, MY_COM_QUERY, text, len);
        f->due = MY_DUE_RESULT;
        f->step = MY_STEP_RUNNING;
    } else {
        pass_on(f, command == MY_COM_FIELD_LIST     ? MY_DUE_FIELDS
                   : command == MY_COM_STATISTICS   ? MY_DUE_TEXT
                   : command == MY_COM_PROCESS_INFO ? MY_DUE_RESULT
                                                    : MY_DUE_SIMPLE);
    }
}

void my_client_answer(struct flt *base, uint64_t id, const struct flt_answer *a) {
    struct my_filter *f = my_of(base);
    if (base->closed) {
        if (a->ctx != NULL && base->conf.ctx_free != NULL) base->conf.ctx_free(a->ctx);
        return;
    }
    assert(f->step == MY_STEP_ASKED && id == f->asked_id && (!a->secret || !a->allow || a->rewritten != NULL));
    f->asked_id = 0;
    f->veil = a->veil;
    if (!a->allow) {
        if (a->ctx != NULL && base->conf.ctx_free != NULL) base->conf.ctx_free(a->ctx);
        bool column = a->column && strcmp(a->sqlstate, "42501") == 0;
        my_say_error(f, column ? MY_COLUMN_DENIED : a->sqlstate, a->message, a->detail, a->hint);
        if (a->fatal) {
            flt_post_close(base, GH_OK, "a refusal ended the session");
            return;
        }
        f->answer.secret = a->secret;
        my_done(f);
        return;
    }
    uint8_t command = buf_at(&f->msg)[0];
    if (f->kind != FLT_STMT_PREPARE) f->run_id = id;
    if (!keep_answer(f, a)) {
        my_no_memory(f);
        return;
    }
    f->file_ok = a->copy_in;
    f->retrack = a->retrack;
    if (f->rewritten != NULL && (command == MY_COM_FIELD_LIST || command == MY_COM_STATISTICS)) {
        my_client_refuse_held(f, "0A000", "this command cannot run: the policy changes the statement that does the same",
                              "Send that statement.");
        return;
    }
    forward(f);
}

/* --- bytes --- */

/* Data of a file goes on packet by packet; an empty one ends it. */
static void file_packet(struct my_filter *f) {
    my_put_header(&f->base.out[FLT_SERVER], f->up_seq++, (uint32_t)buf_used(&f->msg));
    buf_put(&f->base.out[FLT_SERVER], buf_at(&f->msg), buf_used(&f->msg));
    f->bytes += buf_used(&f->msg);
    if (buf_used(&f->msg) == 0) {
        f->step = MY_STEP_RUNNING;
        f->due = MY_DUE_RESULT;
        f->from.seq = f->up_seq;
        f->out_seq = f->in.seq;
    }
    buf_reset(&f->msg);
}

static void whole_packet(struct my_filter *f) {
    f->in.body = false;
    if (f->in.more) {
        f->in.continues = true;
        if (f->step == MY_STEP_FILE) my_violation(f, "a piece of a file is too long");
        return;
    }
    f->in.continues = false;
    if (f->step == MY_STEP_FILE && f->discard) /* longer than what is held of a statement */
        my_violation(f, "a piece of a file is too long");
    else if (f->step == MY_STEP_FILE)
        file_packet(f);
    else if (f->phase != MY_READY)
        my_login_packet(f);
    else if (buf_used(&f->msg) == 0)
        my_violation(f, "a command without a byte");
    else
        my_command(f);
}

static size_t limit(const struct my_filter *f) {
    if (f->phase == MY_READY) return f->base.conf.limits.statement + 1;
    size_t startup = f->base.conf.limits.startup, token = f->base.conf.limits.token;
    return f->phase == MY_HANDSHAKE ? startup + token : token + 1;
}

static void take(struct my_filter *f, const uint8_t *p, size_t n) {
    f->in.left -= (uint32_t)n;
    if (f->discard) {
        size_t kept = buf_used(&f->msg);
        if (kept < DISCARD_KEEP) buf_put(&f->msg, p, n < DISCARD_KEEP - kept ? n : DISCARD_KEEP - kept);
        return;
    }
    buf_put(&f->msg, p, n);
    if (f->msg.failed) my_no_memory(f);
}

static void header_done(struct my_filter *f) {
    size_t used = buf_used(&f->msg);
    if (f->discard || (used <= limit(f) && f->in.left <= limit(f) - used)) return;
    if (f->phase == MY_HANDSHAKE) {
        my_violation(f, "the login packet is too long");
        return;
    }
    f->discard = true;
    if (used > DISCARD_KEEP) {
        buf_reset(&f->msg); /* it is at the front: what is dropped is the end */
        buf_commit(&f->msg, DISCARD_KEEP);
    }
}

static bool takes(const struct my_filter *f) {
    if (f->base.closed || buf_used(&f->base.out[FLT_SERVER]) > FLT_OUT_MARK) return false;
    if (f->phase == MY_HELLO || f->phase == MY_LOGIN) return false;
    return f->phase != MY_READY || f->step == MY_STEP_IDLE || f->step == MY_STEP_FILE;
}

size_t my_client_feed(struct my_filter *f, const uint8_t *data, size_t len) {
    const uint8_t *p = data;
    size_t left = len;
    bool bad = false;
    while (takes(f) && (left > 0 || (f->in.body && f->in.left == 0))) {
        if (!f->in.body) {
            if (!my_take_header(&f->in, &p, &left, &bad)) {
                if (bad) my_violation(f, "a packet has a wrong number");
                continue;
            }
            header_done(f);
        }
        size_t n = left < f->in.left ? left : f->in.left;
        if (n > 0) {
            take(f, p, n);
            p += n;
            left -= n;
        }
        if (!f->base.closed && f->in.body && f->in.left == 0) whole_packet(f);
    }
    return f->base.closed ? len : len - left;
}
