/* The server's connection: its greeting, TLS, our login, and a session that is as the verdicts take it to be. */
#include <config.h>

#include "filters/my_impl.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_PACKET (1u << 30) /* that we take: there is no limit of ours below limits.reply and what streams */
#define NEEDED     (MY_CAP_PROTOCOL_41 | MY_CAP_SECURE_CONNECTION | MY_CAP_PLUGIN_AUTH | MY_CAP_SESSION_TRACK | MY_CAP_LENENC_AUTH)
#define ASK_PINS   "SELECT @@version, @@SESSION.sql_mode, @@lower_case_table_names, @@SESSION.character_set_client, DATABASE()"
#define PIN_VALUES 5
#define TRACKED                                                                                                                            \
    ", SESSION session_track_schema = 1, SESSION session_track_system_variables = 'autocommit,character_set_client,"                       \
    "character_set_connection,character_set_results,sql_mode,time_zone'"

/* With a max_join_size of the server's, or of the settings before it, an error would tell how many rows would be read, hidden ones, too. */
#define COUNTS_NO_ROWS ", SESSION sql_big_selects = 1"

static void forget(struct my_filter *f) {
    char **all[] = {&f->up_user, &f->up_database, &f->version, &f->mode, &f->fold};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(*all[i]);
        *all[i] = NULL;
    }
}

void my_upstream_wipe(struct my_filter *f) {
    my_auth_end(&f->auth);
    forget(f);
    free(f->charset);
    f->charset = NULL;
    buf_free(&f->pins);
    buf_free(&f->attrs);
}

void my_upstream_lost(struct my_filter *f, const char *sqlstate, const char *text) {
    struct flt_event ev = {.kind = FLT_EV_UPSTREAM_LOST};
    if (f->base.closed) return;
    if (f->step == MY_STEP_PINNING || f->up == MY_UP_READY) { /* there is a session that cannot go on */
        my_fatal(f, GH_OK, "08006", "the database's session could not be prepared again", "Connect again.",
                 "the session could not be prepared");
        return;
    }
    snprintf(f->lost_text, sizeof f->lost_text, "%s", text);
    snprintf(ev.lost.sqlstate, sizeof ev.lost.sqlstate, "%s", sqlstate);
    ev.lost.text = f->lost_text;
    f->up = MY_UP_ASKED;
    my_auth_end(&f->auth);
    flt_post(&f->base, &ev);
}

/* --- what the session is to be --- */

static bool plain(const char *text) {
    for (; *text != '\0'; text++)
        if (!isalnum((unsigned char)*text) && *text != '_') return false;
    return true;
}

static bool number(const char *text) {
    if (*text == '\0') return false;
    for (; *text != '\0'; text++)
        if (!isdigit((unsigned char)*text) && *text != '.') return false;
    return true;
}

/* A value in quotes that mean the same in every mode: without any, without a backslash. */
static bool put_value(struct buf *b, const char *value) {
    if (strpbrk(value, "'\"\\`") != NULL || !gh_utf8_valid(value, strlen(value))) return false;
    if (number(value)) {
        buf_str(b, value);
        return true;
    }
    buf_u8(b, '\'');
    buf_str(b, value);
    buf_u8(b, '\'');
    return true;
}

/* The owner's settings; names in "gatehouse." say who it is, and become attributes of the connection. */
static bool keep_setting(struct my_filter *f, const struct flt_kv *kv) {
    if (strncmp(kv->name, "gatehouse.", 10) == 0) return true;
    if (strcmp(kv->name, "default_transaction_read_only") == 0) {
        f->read_only = strcmp(kv->value, "on") == 0;
        return true;
    }
    if (!plain(kv->name)) return false;
    buf_str(&f->pins, ", SESSION ");
    buf_str(&f->pins, kv->name);
    buf_str(&f->pins, " = ");
    return put_value(&f->pins, kv->value);
}

static bool keep_settings(struct my_filter *f, const struct flt_upstream *up) {
    const char *cs = f->charset;
    const char *const pieces[] = {"SET SESSION character_set_client = ",   cs, ", SESSION character_set_results = ", cs,
                                  ", SESSION character_set_connection = ", cs};
    f->read_only = false;
    buf_reset(&f->pins);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) buf_str(&f->pins, pieces[i]);
    buf_str(&f->pins, TRACKED);
    for (size_t i = 0; i < up->nparams; i++)
        if (!keep_setting(f, &up->params[i])) return false;
    buf_str(&f->pins, COUNTS_NO_ROWS);
    return !f->pins.failed;
}

static void query(struct my_filter *f, const void *text, size_t len) {
    struct buf b = BUF_INIT(128u << 10);
    buf_u8(&b, MY_COM_QUERY);
    buf_put(&b, text, len);
    if (b.failed)
        my_no_memory(f);
    else
        my_send(f, buf_at(&b), buf_used(&b));
    buf_free(&b);
}

static void set_pins(struct my_filter *f) {
    bool mariadb = strcasestr(f->greeting.version, "mariadb") != NULL;
    struct buf b = BUF_INIT(65u << 10);
    buf_put(&b, buf_at(&f->pins), buf_used(&f->pins));
    if (f->read_only) buf_str(&b, mariadb ? ", SESSION tx_read_only = 1" : ", SESSION transaction_read_only = 1");
    f->pin = MY_PIN_SET;
    if (b.failed) /* half of it would leave out that the session is to read only */
        my_no_memory(f);
    else
        query(f, buf_at(&b), buf_used(&b));
    buf_free(&b);
}

void my_pin_again(struct my_filter *f) {
    my_stmts_clear(&f->stmts); /* the server has dropped them */
    f->step = MY_STEP_PINNING;
    set_pins(f);
}

void my_track_again(struct my_filter *f) {
    struct buf b = BUF_INIT(1024);
    buf_str(&b, "SET SESSION character_set_client = ");
    buf_str(&b, f->charset);
    buf_str(&b, TRACKED);
    f->retrack = false;
    f->step = MY_STEP_PINNING;
    f->pin = MY_PIN_SET;
    if (b.failed)
        my_no_memory(f);
    else
        query(f, buf_at(&b), buf_used(&b));
    buf_free(&b);
}

/* --- opening --- */

static void attribute(struct buf *b, const char *name, const char *value) {
    my_put_lenenc(b, strlen(name));
    buf_str(b, name);
    my_put_lenenc(b, strlen(value));
    buf_str(b, value);
}

void my_upstream_open(struct flt *base, const struct flt_upstream *up) {
    struct my_filter *f = my_of(base);
    assert(f->up == MY_UP_ASKED);
    forget(f);
    buf_reset(&f->reply);
    buf_reset(&base->out[FLT_SERVER]);
    buf_reset(&f->attrs);
    f->from = (struct my_frame){0};
    f->begun = f->holding = f->streaming = false;
    f->up_tls = up->tls;
    f->up_user = strdup(up->user);
    f->up_database = strdup(up->database);
    attribute(&f->attrs, "program_name", "gatehouse");
    for (size_t i = 0; i < up->nparams; i++)
        if (strncmp(up->params[i].name, "gatehouse.", 10) == 0) attribute(&f->attrs, up->params[i].name, up->params[i].value);
    f->greeting = (struct my_greeting){0};
    bool ok = my_auth_begin(&f->auth, up) && f->up_user != NULL && f->up_database != NULL && !f->attrs.failed;
    f->up = MY_UP_GREETING;
    bool settings = keep_settings(f, up);
    if (!ok || f->pins.no_memory)
        my_no_memory(f);
    else if (!settings)
        my_upstream_lost(
            f, "",
            f->pins.failed
                ? "the settings are too long"
                : "a setting cannot be given to the server: names of letters, digits and _, values without quotes and backslashes");
}

static void put_login_head(struct my_filter *f, struct buf *b) {
    static const uint8_t zeros[23];
    buf_le32(b, f->up_caps);
    buf_le32(b, MAX_PACKET);
    buf_u8(b, strcmp(f->charset, "utf8mb4") == 0 ? 45 : strcmp(f->charset, "latin1") == 0 ? 8 : 11);
    buf_put(b, zeros, sizeof zeros);
}

static void log_in(struct my_filter *f) {
    struct buf b = BUF_INIT(256u << 10), answer = BUF_INIT(8192);
    struct gh_err err = {0};
    const char *plugin = my_plugin_of(f->greeting.plugin) == MY_PLUGIN_SHA2 ? f->greeting.plugin : my_plugin_name(MY_PLUGIN_NATIVE);
    if (my_auth_first(&f->auth, plugin, f->greeting.nonce, MY_NONCE, &answer, &err) != GH_OK) {
        buf_free(&answer);
        my_upstream_lost(f, "", err.reason);
        return;
    }
    put_login_head(f, &b);
    buf_cstr(&b, f->up_user);
    my_put_lenenc(&b, buf_used(&answer));
    buf_put(&b, buf_at(&answer), buf_used(&answer));
    buf_cstr(&b, f->up_database);
    buf_cstr(&b, plugin);
    if ((f->up_caps & MY_CAP_CONNECT_ATTRS) != 0) {
        my_put_lenenc(&b, buf_used(&f->attrs));
        buf_put(&b, buf_at(&f->attrs), buf_used(&f->attrs));
    }
    if (answer.data != NULL) gh_wipe(answer.data, answer.cap);
    bool failed = answer.failed || b.failed;
    buf_free(&answer);
    if (failed) {
        my_no_memory(f);
    } else {
        my_put_packet(&f->base.out[FLT_SERVER], &f->up_seq, buf_at(&b), buf_used(&b));
        f->from.seq = f->up_seq;
        f->up = MY_UP_AUTH;
    }
    buf_free(&b);
}

void my_upstream_secured(struct flt *base, const struct flt_secured *s) {
    struct my_filter *f = my_of(base);
    (void)s; /* no method of this protocol binds itself to the connection */
    assert(f->up == MY_UP_TLS);
    log_in(f);
}

static void on_greeting(struct my_filter *f, struct cur body) {
    struct my_err e;
    struct gh_err err = {0};
    if (cur_left(&body) > 0 && body.p[0] == 0xff) { /* too many connections, a host that is blocked */
        my_upstream_lost(f, my_read_err(body, &e) ? e.sqlstate : "", my_read_err(body, &e) ? e.message : "an error without a text");
        return;
    }
    if (my_read_greeting(body, &f->greeting, &err) != GH_OK) {
        my_upstream_lost(f, "", err.reason);
        return;
    }
    uint32_t mirrored = (f->caps & MY_MIRRORED & ~MY_CAP_MULTI_STATEMENTS) | (f->multi ? MY_CAP_MULTI_STATEMENTS : 0);
    f->up_caps = NEEDED | MY_CAP_LONG_PASSWORD | MY_CAP_LONG_FLAG | MY_CAP_TRANSACTIONS | MY_CAP_CONNECT_WITH_DB | mirrored |
                 (f->greeting.caps & MY_CAP_CONNECT_ATTRS);
    if ((f->greeting.caps & (NEEDED | mirrored)) != (NEEDED | mirrored)) {
        my_upstream_lost(
            f, "", "the server is too old: it lacks session tracking, or what the client has agreed on (MySQL 5.7, MariaDB 10.2 or later)");
        return;
    }
    f->up_seq = f->from.seq;
    if (f->up_tls == FLT_TLS_NONE) {
        log_in(f);
        return;
    }
    if ((f->greeting.caps & MY_CAP_SSL) == 0) {
        my_upstream_lost(f, "", "the server does not offer TLS");
        return;
    }
    f->up_caps |= MY_CAP_SSL;
    struct buf b = BUF_INIT(64);
    put_login_head(f, &b);
    if (b.failed) {
        my_no_memory(f);
        return;
    }
    my_put_packet(&f->base.out[FLT_SERVER], &f->up_seq, buf_at(&b), buf_used(&b));
    buf_free(&b);
    f->up = MY_UP_TLS;
    flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_UPSTREAM_TLS});
}

static void answer_auth(struct my_filter *f, const struct buf *payload) {
    f->up_seq = f->from.seq;
    my_put_packet(&f->base.out[FLT_SERVER], &f->up_seq, buf_at(payload), buf_used(payload));
    f->from.seq = f->up_seq;
}

static void on_switch(struct my_filter *f, struct cur body) {
    struct buf answer = BUF_INIT(8192);
    struct gh_err err = {.reason = "the server asks for the login of servers before 4.1"};
    const char *plugin;
    size_t len;
    bool ok = cur_skip(&body, 1) && cur_cstr(&body, &plugin, &len) &&
              my_auth_first(&f->auth, plugin, body.p, cur_left(&body), &answer, &err) == GH_OK && !answer.failed;
    if (ok)
        answer_auth(f, &answer);
    else
        my_upstream_lost(f, "", err.reason);
    if (answer.data != NULL) gh_wipe(answer.data, answer.cap);
    buf_free(&answer);
}

static void on_more(struct my_filter *f, struct cur body) {
    struct buf answer = BUF_INIT(16384);
    struct gh_err err = {0};
    bool due = false;
    if (!cur_skip(&body, 1) || my_auth_more(&f->auth, body, &answer, &due, &err) != GH_OK || answer.failed)
        my_upstream_lost(f, "", err.reason != NULL ? err.reason : "out of memory");
    else if (due)
        answer_auth(f, &answer);
    if (answer.data != NULL) gh_wipe(answer.data, answer.cap);
    buf_free(&answer);
}

static void on_auth(struct my_filter *f, struct cur body) {
    struct my_err e;
    uint8_t first = body.p[0];
    if (first == 0xff)
        my_upstream_lost(f, my_read_err(body, &e) ? e.sqlstate : "", my_read_err(body, &e) ? e.message : "an error without a text");
    else if (first == 0xfe)
        on_switch(f, body);
    else if (first == 1)
        on_more(f, body);
    else if (first == 0) {
        my_auth_end(&f->auth);
        f->up = MY_UP_PINS;
        set_pins(f);
    } else
        my_upstream_lost(f, "", "the server says something else than a login has");
}

/* --- the pins, and what the server says of them --- */

static char *text_of(struct my_filter *f, struct cur *c) {
    const uint8_t *at;
    size_t len;
    if (!my_lenenc_str(c, &at, &len) || memchr(at, 0, len) != NULL) return NULL;
    char *copy = strndup((const char *)at, len);
    if (copy == NULL) my_no_memory(f);
    return copy;
}

static bool take_values(struct my_filter *f, struct cur c) {
    char *v[PIN_VALUES];
    bool ok = true;
    for (size_t i = 0; i < PIN_VALUES; i++) {
        v[i] = ok ? text_of(f, &c) : NULL;
        ok = v[i] != NULL;
    }
    ok = ok && cur_left(&c) == 0 && strcmp(v[3], f->charset) == 0 && strcmp(v[4], f->up_database) == 0;
    /* asked again: what the facts of earlier statements leaned on must be as it was */
    ok = ok && (f->mode == NULL || (my_same_reading((const uint8_t *)v[1], strlen(v[1]), f->mode) && strcmp(f->fold, v[2]) == 0));
    if (ok) {
        free(f->version);
        free(f->mode);
        free(f->fold);
        f->version = v[0];
        f->mode = v[1];
        f->fold = v[2];
        v[0] = v[1] = v[2] = NULL;
    }
    for (size_t i = 0; i < PIN_VALUES; i++) free(v[i]);
    return ok;
}

static void ready(struct my_filter *f) {
    if (f->step == MY_STEP_PINNING) {
        f->ascii = f->ascii_first;
        if (f->told.failed || buf_used(&f->told) > 0)
            my_say(f, &f->told);
        else
            my_say_ok(f);
        buf_reset(&f->told);
        my_done(f);
        return;
    }
    f->up = MY_UP_READY;
    f->event_kv[0] = (struct flt_kv){"version", f->version};
    f->event_kv[1] = (struct flt_kv){"sql_mode", f->mode};
    f->event_kv[2] = (struct flt_kv){"lower_case_table_names", f->fold};
    f->event_kv[3] = (struct flt_kv){"charset", f->charset};
    flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_UPSTREAM_READY, .upstream = {f->event_kv, 4}});
    if (f->step == MY_STEP_HELD) {
        f->step = MY_STEP_IDLE;
        my_command(f);
    }
}

static void on_pin(struct my_filter *f, struct cur body) {
    struct my_ok ok;
    struct my_err e;
    bool eof = (f->caps & MY_CAP_DEPRECATE_EOF) == 0;
    uint8_t first = body.p[0];
    if (first == 0xff) {
        my_upstream_lost(f, my_read_err(body, &e) ? e.sqlstate : "", my_read_err(body, &e) ? e.message : "an error without a text");
        return;
    }
    if (f->pin == MY_PIN_SET) {
        if (first != 0 || !my_read_ok(body, true, &ok)) {
            my_upstream_lost(f, "", "the server's answer to SET cannot be read");
            return;
        }
        f->status = (uint16_t)(ok.status & ~MY_STATUS_STATE_CHANGED);
        f->pin = MY_PIN_ASK;
        f->pin_step = 0;
        query(f, ASK_PINS, sizeof ASK_PINS - 1);
        return;
    }
    /* a count, the columns, perhaps EOF, one row, the end */
    unsigned step = f->pin_step++, row = 1 + PIN_VALUES + (eof ? 1 : 0);
    if (step == 0 && (first != PIN_VALUES || cur_left(&body) != 1))
        my_upstream_lost(f, "", "the server's session variables cannot be read");
    else if (step == row && !take_values(f, body))
        my_upstream_lost(f, "", "the server's session is not as it was asked to be (character set, default database, sql_mode)");
    else if (step == row + 1)
        ready(f);
}

void my_upstream_packet(struct my_filter *f, struct cur body) {
    if (f->up == MY_UP_GREETING)
        on_greeting(f, body);
    else if (cur_left(&body) == 0)
        my_upstream_lost(f, "", "an empty packet of the server's");
    else if (f->up == MY_UP_AUTH)
        on_auth(f, body);
    else
        on_pin(f, body);
}

void my_upstream_failed(struct flt *base, const char *sqlstate, const char *message, const char *hint, bool fatal) {
    struct my_filter *f = my_of(base);
    my_auth_end(&f->auth);
    f->up = MY_UP_NONE;
    if (fatal) {
        my_fatal(f, GH_OK, sqlstate, message, hint, "the upstream cannot be had");
        return;
    }
    assert(f->step == MY_STEP_HELD);
    my_client_refuse_held(f, sqlstate, message, hint);
}
