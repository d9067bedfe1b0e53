/* The server's answer to the command at hand ("Text Resultset", "Binary Protocol Resultset", "COM_STMT_PREPARE Response"). */
#include "filters/my_impl.h"
#include "filters/my_veil.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has_eof(const struct my_filter *f) { return (f->caps & MY_CAP_DEPRECATE_EOF) == 0; }

static void broken(struct my_filter *f, const char *reason) {
    my_fatal(f, GH_MALFORMED, "08006", "the database broke the protocol", "Connect again; the operators of Gatehouse find more in its log.",
             reason);
}

/* --- what OK says of the session --- */

static bool same(const uint8_t *text, size_t len, const char *value, bool fold) {
    return len == strlen(value) && (fold ? strncasecmp((const char *)text, value, len) : memcmp(text, value, len)) == 0;
}

/* Words of sql_mode that do not change what a text means: what is left of two values must be equal. */
static bool is_free_mode(const uint8_t *word, size_t len) {
    static const char *const free_modes[] = {"ONLY_FULL_GROUP_BY",
                                             "NO_UNSIGNED_SUBTRACTION",
                                             "NO_DIR_IN_CREATE",
                                             "NO_AUTO_VALUE_ON_ZERO",
                                             "STRICT_TRANS_TABLES",
                                             "STRICT_ALL_TABLES",
                                             "NO_ZERO_IN_DATE",
                                             "NO_ZERO_DATE",
                                             "TRADITIONAL",
                                             "ERROR_FOR_DIVISION_BY_ZERO",
                                             "ALLOW_INVALID_DATES",
                                             "NO_AUTO_CREATE_USER",
                                             "NO_ENGINE_SUBSTITUTION",
                                             "PAD_CHAR_TO_FULL_LENGTH",
                                             "TIME_TRUNCATE_FRACTIONAL",
                                             "TIME_ROUND_FRACTIONAL"};
    for (size_t i = 0; i < sizeof free_modes / sizeof *free_modes; i++)
        if (same(word, len, free_modes[i], true)) return true;
    return false;
}

/* The next word that is not free; its length, 0 at the end. */
static size_t next_mode(const uint8_t **at, const uint8_t *end, const uint8_t **word) {
    while (*at < end) {
        const uint8_t *p = *at, *comma = memchr(p, ',', (size_t)(end - p));
        size_t len = (size_t)((comma != NULL ? comma : end) - p);
        *at = comma != NULL ? comma + 1 : end;
        *word = p;
        if (len > 0 && !is_free_mode(p, len)) return len;
    }
    return 0;
}

bool my_same_reading(const uint8_t *text, size_t len, const char *mode) {
    const uint8_t *a = text, *b = (const uint8_t *)mode, *aend = text + len, *bend = b + strlen(mode), *x = a, *y = b;
    for (;;) {
        size_t n = next_mode(&a, aend, &x), m = next_mode(&b, bend, &y);
        if (n != m || strncasecmp((const char *)x, (const char *)y, n) != 0) return false;
        if (n == 0) return true;
    }
}

/* UTF-8, or one of a byte each in which ASCII is ASCII. */
static bool follow_charset(struct my_filter *f, const uint8_t *value, size_t len) {
    bool utf8 = same(value, len, "utf8mb4", true) || same(value, len, "utf8mb3", true) || same(value, len, "utf8", true);
    f->ascii = !utf8;
    return utf8 || same(value, len, "latin1", true) || same(value, len, "ascii", true);
}

/* Verdicts lean on these: a session in which one has changed behind their back is over. */
static bool tracked_ok(struct my_filter *f, const struct my_ok *ok, const char **why) {
    struct cur c = cur_of(ok->track, ok->track_len);
    const uint8_t *data, *name, *value;
    size_t len, nlen, vlen;
    uint8_t type;
    *why = "the database reports a change of its session that cannot be read";
    while (cur_left(&c) > 0) {
        if (!cur_u8(&c, &type) || !my_lenenc_str(&c, &data, &len)) return false;
        struct cur one = cur_of(data, len);
        if (type == 0) {
            while (cur_left(&one) > 0) {
                if (!my_lenenc_str(&one, &name, &nlen) || !my_lenenc_str(&one, &value, &vlen)) return false;
                *why = "sql_mode or the character set was changed in the database, which decide how statements are read";
                if (same(name, nlen, "sql_mode", true) && !my_same_reading(value, vlen, f->mode)) return false;
                if (same(name, nlen, "character_set_client", true) && !follow_charset(f, value, vlen)) return false;
            }
        } else if (type == 1) {
            if (!my_lenenc_str(&one, &name, &nlen)) return false;
            *why = "the default database was changed, which decides what names mean";
            if (!same(name, nlen, f->up_database, false)) return false;
        }
        *why = "the database reports a change of its session that cannot be read";
    }
    return true;
}

/* Reads an OK, or the one that ends rows. False when the session is over. */
static bool take_ok(struct my_filter *f, struct cur body, struct my_ok *ok) {
    const char *why;
    if (!my_read_ok(body, true, ok)) {
        broken(f, "an OK of the server cannot be read");
        return false;
    }
    f->status = (uint16_t)(ok->status & ~MY_STATUS_STATE_CHANGED);
    if (tracked_ok(f, ok, &why)) return true;
    my_fatal(f, GH_UNSUPPORTED, "57P01", why, "Connect again. Such a change has to be made in gatehouse.yaml, under settings.", why);
    return false;
}

static void say_ok(struct my_filter *f, uint8_t head, const struct my_ok *ok) {
    struct buf b = BUF_INIT(f->base.conf.limits.reply + 64);
    struct my_ok said = *ok;
    char info[MY_VEIL_INFO];
    if (f->veil) my_veil_ok(&said, f->answer.veil_rows && head == 0, info);
    my_write_ok(&b, head, &said, (f->caps & MY_CAP_SESSION_TRACK) != 0);
    my_say(f, &b);
    buf_free(&b);
}

static void pass_body(struct my_filter *f, struct cur body) {
    if (f->retrack) {
        buf_reset(&f->told);
        buf_put(&f->told, body.p, cur_left(&body));
        return;
    }
    my_put_packet(&f->base.out[FLT_CLIENT], &f->out_seq, body.p, cur_left(&body));
}

/* The same, with a count of warnings in it, and behind that perhaps the status. */
static void pass_counted(struct my_filter *f, struct cur body, size_t warnings, bool status) {
    uint8_t copy[16];
    size_t len = cur_left(&body);
    if (!f->veil || len > sizeof copy || len < warnings + (status ? 4 : 2)) {
        pass_body(f, body);
        return;
    }
    memcpy(copy, body.p, len);
    copy[warnings] = copy[warnings + 1] = 0;
    if (status) {
        copy[warnings + 2] &= (uint8_t) ~(MY_STATUS_PLAN & 0xFFu);
        copy[warnings + 3] &= (uint8_t) ~(MY_STATUS_PLAN >> 8);
    }
    my_put_packet(&f->base.out[FLT_CLIENT], &f->out_seq, copy, len);
}

static void pass_eof(struct my_filter *f, struct cur body) { pass_counted(f, body, 1, true); }

/* --- the end --- */

static void finish(struct my_filter *f, const char *sqlstate) {
    if (f->over) {
        my_say_error(f, "53400", "the result is over a limit of the policy: what fitted was sent", NULL,
                     "Ask for less, with WHERE or LIMIT.");
        sqlstate = "53400";
    }
    if (f->run_id != 0) my_post_result(f, sqlstate, false);
    if (f->retrack)
        my_track_again(f);
    else
        my_done(f);
}

/* One result of the statement has ended well. */
static void ended(struct my_filter *f) {
    if ((f->status & MY_STATUS_MORE_RESULTS) != 0)
        f->due = MY_DUE_RESULT;
    else if (f->file_denied)
        my_file_denied(f);
    else
        finish(f, "00000");
}

void my_file_denied(struct my_filter *f) {
    my_say_error(f, "42501", "the database asked for a file of yours, and no rule allows that", NULL,
                 "LOAD DATA LOCAL must be granted; nothing was read.");
    if (f->run_id != 0) my_post_result(f, "42501", false);
    my_done(f);
}

static void on_error(struct my_filter *f, struct cur body) {
    struct my_err e;
    if (!my_read_err(body, &e)) {
        broken(f, "an error of the server cannot be read");
        return;
    }
    const char *instead =
        f->veil ? my_veil_error(e.code, f->rewritten == NULL && f->kind != FLT_STMT_EXECUTE && !f->answer.veil_columns) : NULL;
    if (f->over || f->file_denied) {
        /* what ended it is told below */
    } else if (instead != NULL) {
        struct buf b = BUF_INIT(512);
        my_put_err(&b, e.code, e.sqlstate, instead);
        my_say(f, &b);
        buf_free(&b);
    } else
        pass_body(f, body);
    if (f->file_denied)
        my_file_denied(f);
    else
        finish(f, e.sqlstate);
}

/* --- results --- */

static void on_file(struct my_filter *f, struct cur body) {
    if (f->file_ok && (f->caps & MY_CAP_LOCAL_FILES) != 0 && !f->over) {
        pass_body(f, body);
        f->step = MY_STEP_FILE;
        f->in.seq = f->out_seq;
        f->up_seq = f->from.seq;
        buf_reset(&f->msg); /* the statement has been sent */
        return;
    }
    f->file_denied = true;
    my_put_header(&f->base.out[FLT_SERVER], f->from.seq++, 0); /* an empty file */
    f->due = MY_DUE_RESULT;
}

static void on_result(struct my_filter *f, struct cur body) {
    struct my_ok ok;
    uint8_t first = body.p[0];
    uint64_t n;
    if (first == 0xff) {
        on_error(f, body);
    } else if (first == 0xfb) {
        on_file(f, body);
    } else if (first == 0) {
        if (!take_ok(f, body, &ok)) return;
        f->rows += ok.rows;
        if (f->late && !f->has_rows) f->over = false; /* it is done, and nobody is told anything else */
        if (!f->over && !f->file_denied) say_ok(f, 0, &ok);
        ended(f);
    } else if (f->retrack || !my_lenenc(&body, &n) || n == 0 || n > 65535 || cur_left(&body) != 0) { /* SET has no rows */
        broken(f, "a result of the server cannot be read");
    } else {
        if (!f->over) my_put_packet(&f->base.out[FLT_CLIENT], &f->out_seq, body.start, (size_t)(body.end - body.start));
        f->has_rows = true;
        f->due = MY_DUE_COLUMNS;
        f->due_left = n;
    }
}

static bool read_eof(struct my_filter *f, struct cur body) {
    uint8_t head;
    uint16_t warnings;
    return cur_u8(&body, &head) && head == 0xfe && cur_le16(&body, &warnings) && cur_le16(&body, &f->status) && cur_left(&body) == 0;
}

static void on_rows_end(struct my_filter *f, struct cur body) {
    struct my_ok ok;
    if (body.p[0] == 0xff) {
        on_error(f, body);
        return;
    }
    if (has_eof(f)) {
        if (!read_eof(f, body)) {
            broken(f, "the end of a result cannot be read");
            return;
        }
        if (!f->over) pass_eof(f, body);
    } else {
        if (!take_ok(f, body, &ok)) return;
        if (!f->over) say_ok(f, 0xfe, &ok);
    }
    ended(f);
}

/* --- prepared statements --- */

static void prepare_done(struct my_filter *f) {
    struct my_stmt *one = f->preparing;
    f->preparing = NULL;
    if (my_stmts_add(&f->stmts, one)) {
        my_done(f);
        return;
    }
    my_stmt_free(one, f->base.conf.ctx_free);
    my_no_memory(f);
}

static void after_params(struct my_filter *f) {
    f->due_left = f->prep_cols;
    if (f->prep_cols > 0)
        f->due = MY_DUE_PREP_COLS;
    else
        prepare_done(f);
}

static void on_prepared(struct my_filter *f, struct cur body) {
    uint8_t head;
    uint32_t id;
    uint16_t columns, params;
    struct cur c = body;
    if (body.p[0] == 0xff) {
        on_error(f, body);
        return;
    }
    if (!cur_u8(&c, &head) || head != 0 || !cur_le32(&c, &id) || !cur_le16(&c, &columns) || !cur_le16(&c, &params)) {
        broken(f, "the server's answer to a prepare cannot be read");
        return;
    }
    if (f->stmts.n >= f->base.conf.limits.statements && my_stmts_find(&f->stmts, id) == NULL) {
        my_fatal(f, GH_LIMIT, "53400", "too many prepared statements in this session", "Close those that you do not need.",
                 "too many prepared statements");
        return;
    }
    pass_counted(f, body, 10, false);
    f->preparing->id = id;
    f->preparing->nparams = params;
    f->prep_cols = columns;
    f->due_left = params;
    if (params > 0)
        f->due = MY_DUE_PARAMS;
    else
        after_params(f);
}

/* --- columns --- */

/* Of a text with what the policy has put into it. */
static bool was_rewritten(const struct my_filter *f) {
    return f->veil &&
           (f->rewritten != NULL || f->answer.veil_columns || (f->kind == FLT_STMT_EXECUTE && f->stmt != NULL && f->stmt->rewritten));
}

static void on_column(struct my_filter *f, struct cur body) {
    struct buf b = BUF_INIT(f->base.conf.limits.reply + 64);
    if (!my_veil_column(body, &b))
        broken(f, "a column's definition cannot be read");
    else {
        if (!f->over) my_say(f, &b);
        f->due_left--;
        my_answer_passed(f);
    }
    buf_free(&b);
}

/* --- one packet --- */

static void on_simple(struct my_filter *f, struct cur body) {
    struct my_ok ok;
    if (body.p[0] == 0xff) {
        on_error(f, body);
        return;
    }
    if (body.p[0] == 0xfe && has_eof(f)) {
        if (!read_eof(f, body)) {
            broken(f, "an answer of the server cannot be read");
            return;
        }
        pass_eof(f, body);
    } else {
        if (!take_ok(f, body, &ok)) return;
        if (buf_at(&f->msg)[0] == MY_COM_RESET_CONNECTION) {
            my_pin_again(f);
            return;
        }
        say_ok(f, body.p[0], &ok);
    }
    if (f->multi_next >= 0) f->multi = f->multi_next != 0;
    finish(f, "00000");
}

void my_answer_packet(struct my_filter *f, struct cur body) {
    if (cur_left(&body) == 0) {
        broken(f, "an empty packet of the server's");
        return;
    }
    switch (f->due) {
    case MY_DUE_RESULT: on_result(f, body); break;
    case MY_DUE_COLUMNS:
    case MY_DUE_PREP_COLS: on_column(f, body); break;
    case MY_DUE_ROWS: on_rows_end(f, body); break;
    case MY_DUE_PREPARED: on_prepared(f, body); break;
    case MY_DUE_FIELDS:
    case MY_DUE_SIMPLE: on_simple(f, body); break;
    case MY_DUE_TEXT:
        if (body.p[0] == 0xff)
            on_error(f, body);
        else {
            pass_body(f, body);
            finish(f, "00000");
        }
        break;
    case MY_DUE_COLUMNS_EOF:
    case MY_DUE_PARAMS_EOF:
    case MY_DUE_PREP_COLS_EOF:
        if (!read_eof(f, body)) {
            broken(f, "the end of a list of columns is missing");
            return;
        }
        if (!f->over) pass_eof(f, body);
        if (f->due == MY_DUE_COLUMNS_EOF)
            f->due = MY_DUE_ROWS;
        else if (f->due == MY_DUE_PARAMS_EOF)
            after_params(f);
        else
            prepare_done(f);
        break;
    default: broken(f, "a packet of the server's where none was due"); break;
    }
}

/* --- what passes --- */

static void over(struct my_filter *f) {
    f->over = f->over_told = f->over_hold = true;
    flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_OVER, .over = {f->run_id}});
}

static enum my_take row(struct my_filter *f, uint32_t len) {
    if (f->over) return MY_DROP;
    const struct flt_answer *a = &f->answer;
    bool fits = (a->max_rows == 0 || f->passed < a->max_rows) && (a->max_bytes == 0 || f->bytes + len <= a->max_bytes);
    if (!fits) {
        over(f);
        return MY_DROP;
    }
    f->passed++;
    f->rows++;
    f->bytes += len;
    return MY_PASS;
}

enum my_take my_answer_look(struct my_filter *f, uint8_t first, uint32_t len, bool more) {
    switch (f->due) {
    case MY_DUE_COLUMNS:
    case MY_DUE_PARAMS:
    case MY_DUE_PREP_COLS:
        if (first == 0xff || (f->due != MY_DUE_PARAMS && was_rewritten(f))) break; /* 0xff is found to be none */
        f->due_left--;
        return f->over ? MY_DROP : MY_PASS;
    case MY_DUE_ROWS:
        if (first == 0xff || (first == 0xfe && (has_eof(f) ? len < 9 : !more))) break;
        return row(f, len);
    case MY_DUE_FIELDS:
        if (first == 0xff || first == 0xfe) break;
        return MY_PASS;
    default: break;
    }
    return MY_HOLD;
}

void my_answer_passed(struct my_filter *f) {
    if (f->due_left > 0) return;
    switch (f->due) {
    case MY_DUE_COLUMNS: f->due = has_eof(f) ? MY_DUE_COLUMNS_EOF : MY_DUE_ROWS; break;
    case MY_DUE_PARAMS:
        if (has_eof(f))
            f->due = MY_DUE_PARAMS_EOF;
        else
            after_params(f);
        break;
    case MY_DUE_PREP_COLS:
        if (has_eof(f))
            f->due = MY_DUE_PREP_COLS_EOF;
        else
            prepare_done(f);
        break;
    default: break;
    }
}
