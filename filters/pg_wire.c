#include "filters/pg_wire.h"

#include "filters/filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t pg_begin(struct buf *b, char type) {
    if (type != 0) buf_u8(b, (uint8_t)type);
    size_t start = buf_used(b);
    buf_be32(b, 0);
    return start;
}

void pg_end(struct buf *b, size_t start) {
    if (!b->failed) buf_patch_be32(b, start, (uint32_t)(buf_used(b) - start));
}

static void put_field(struct buf *b, char code, const char *value) {
    if (value == NULL) return;
    buf_u8(b, (uint8_t)code);
    buf_cstr(b, value);
}

void pg_put_error(struct buf *b, const struct pg_error_text *e) {
    const char *severity = e->severity == NULL ? "ERROR" : e->severity;
    size_t at = pg_begin(b, 'E');
    put_field(b, 'S', severity);
    put_field(b, 'V', severity);
    put_field(b, 'C', e->sqlstate);
    put_field(b, 'M', e->message);
    put_field(b, 'D', e->detail);
    put_field(b, 'H', e->hint);
    if (e->position != 0) {
        char digits[12];
        snprintf(digits, sizeof digits, "%" PRIu32, e->position);
        put_field(b, 'P', digits);
    }
    buf_u8(b, 0);
    pg_end(b, at);
}

void pg_put_fatal(struct buf *out, const char *sqlstate, const char *message, const char *hint) {
    pg_put_error(out, &(struct pg_error_text){.severity = "FATAL", .sqlstate = sqlstate, .message = message, .hint = hint});
}

void pg_put_auth(struct buf *b, uint32_t code) {
    size_t at = pg_begin(b, 'R');
    buf_be32(b, code);
    pg_end(b, at);
}

void pg_put_parameter(struct buf *b, const char *name, const char *value) {
    size_t at = pg_begin(b, 'S');
    buf_cstr(b, name);
    buf_cstr(b, value);
    pg_end(b, at);
}

void pg_put_ready(struct buf *b, char status) {
    size_t at = pg_begin(b, 'Z');
    buf_u8(b, (uint8_t)status);
    pg_end(b, at);
}

void pg_put_simple(struct buf *b, char type) { pg_end(b, pg_begin(b, type)); }

void pg_put_named(struct buf *b, char type, char what, const char *name) {
    size_t at = pg_begin(b, type);
    buf_u8(b, (uint8_t)what);
    buf_cstr(b, name);
    pg_end(b, at);
}

static void copy_text(char *to, size_t size, const char *s, size_t len) {
    size_t n = len < size - 1 ? len : size - 1;
    memcpy(to, s, n);
    to[n] = '\0';
}

bool pg_read_error(struct cur body, struct pg_error_fields *e) {
    memset(e, 0, sizeof *e);
    for (;;) {
        uint8_t code;
        const char *s;
        size_t len;
        if (!cur_u8(&body, &code)) return false;
        if (code == 0) return cur_left(&body) == 0;
        if (!cur_cstr(&body, &s, &len)) return false;
        if (code == 'S' && e->severity[0] == '\0') copy_text(e->severity, sizeof e->severity, s, len);
        if (code == 'V') copy_text(e->severity, sizeof e->severity, s, len); /* never localised: wins */
        if (code == 'C') copy_text(e->sqlstate, sizeof e->sqlstate, s, len);
        if (code == 'M') copy_text(e->message, sizeof e->message, s, len);
    }
}

uint64_t pg_tag_rows(const char *tag, size_t len) {
    size_t i = len;
    while (i > 0 && tag[i - 1] >= '0' && tag[i - 1] <= '9') i--;
    if (i == len || i == 0 || tag[i - 1] != ' ' || len - i > 18) return 0;
    uint64_t n = 0;
    for (; i < len; i++) n = n * 10 + (uint64_t)(tag[i] - '0');
    return n;
}
