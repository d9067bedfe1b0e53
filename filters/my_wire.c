#include "filters/my_wire.h"

#include <stdio.h>
#include <string.h>

#define ERROR_TEXT 4000u

bool my_lenenc(struct cur *c, uint64_t *v) {
    struct cur d = *c;
    uint8_t first;
    uint16_t two;
    uint32_t three;
    if (!cur_u8(&d, &first)) return false;
    if (first < 0xfb) {
        *v = first;
    } else if (first == 0xfc) {
        if (!cur_le16(&d, &two)) return false;
        *v = two;
    } else if (first == 0xfd) {
        if (!cur_le24(&d, &three)) return false;
        *v = three;
    } else if (first != 0xfe || !cur_le64(&d, v)) {
        return false;
    }
    *c = d;
    return true;
}

bool my_lenenc_str(struct cur *c, const uint8_t **at, size_t *len) {
    struct cur d = *c;
    uint64_t n;
    if (!my_lenenc(&d, &n) || n > cur_left(&d) || !cur_take(&d, (size_t)n, at)) return false;
    *len = (size_t)n;
    *c = d;
    return true;
}

static void put_le24(struct buf *b, uint32_t v) {
    buf_le16(b, (uint16_t)v);
    buf_u8(b, (uint8_t)(v >> 16));
}

void my_put_lenenc(struct buf *b, uint64_t v) {
    if (v < 0xfb) {
        buf_u8(b, (uint8_t)v);
    } else if (v <= 0xffff) {
        buf_u8(b, 0xfc);
        buf_le16(b, (uint16_t)v);
    } else if (v <= 0xffffff) {
        buf_u8(b, 0xfd);
        put_le24(b, (uint32_t)v);
    } else {
        buf_u8(b, 0xfe);
        buf_le32(b, (uint32_t)v);
        buf_le32(b, (uint32_t)(v >> 32));
    }
}

void my_put_header(struct buf *out, uint8_t seq, uint32_t len) {
    put_le24(out, len);
    buf_u8(out, seq);
}

void my_put_packet(struct buf *out, uint8_t *seq, const void *payload, size_t len) {
    const uint8_t *p = payload;
    while (len >= MY_PACKET_MAX) {
        my_put_header(out, (*seq)++, MY_PACKET_MAX);
        buf_put(out, p, MY_PACKET_MAX);
        p += MY_PACKET_MAX;
        len -= MY_PACKET_MAX;
    }
    my_put_header(out, (*seq)++, (uint32_t)len); /* empty behind one that is full */
    if (len > 0) buf_put(out, p, len);
}

/* --- the greeting --- */

void my_put_greeting(struct buf *out, const struct my_greeting *g) {
    struct buf b = BUF_INIT(512);
    uint8_t seq = 0;
    buf_u8(&b, 10);
    buf_cstr(&b, g->version);
    buf_le32(&b, g->thread);
    buf_put(&b, g->nonce, 8);
    buf_u8(&b, 0);
    buf_le16(&b, (uint16_t)g->caps);
    buf_u8(&b, g->charset);
    buf_le16(&b, g->status);
    buf_le16(&b, (uint16_t)(g->caps >> 16));
    buf_u8(&b, MY_NONCE + 1);
    buf_put(&b, "\0\0\0\0\0\0\0\0\0\0", 10);
    buf_put(&b, g->nonce + 8, MY_NONCE - 8);
    buf_u8(&b, 0);
    buf_cstr(&b, g->plugin);
    if (b.failed)
        out->failed = true;
    else
        my_put_packet(out, &seq, buf_at(&b), buf_used(&b));
    buf_free(&b);
}

static bool copy_text(char *out, size_t size, const char *s, size_t len) {
    if (len >= size) return false;
    memcpy(out, s, len);
    out[len] = '\0';
    return true;
}

enum gh_rc my_read_greeting(struct cur body, struct my_greeting *g, struct gh_err *err) {
    uint8_t protocol, nonce_len;
    uint16_t low, high;
    const uint8_t *at;
    const char *s;
    size_t len;
    memset(g, 0, sizeof *g);
    if (!cur_u8(&body, &protocol)) return gh_fail(err, GH_MALFORMED, 0, "an empty greeting");
    if (protocol != 10) return gh_fail(err, GH_UNSUPPORTED, 0, "the server does not speak protocol version 10");
    if (!cur_cstr(&body, &s, &len) || !copy_text(g->version, sizeof g->version, s, len) || !cur_le32(&body, &g->thread) ||
        !cur_take(&body, 8, &at))
        return gh_fail(err, GH_MALFORMED, cur_offset(&body), "the server's greeting cannot be read");
    memcpy(g->nonce, at, 8);
    if (!cur_skip(&body, 1) || !cur_le16(&body, &low) || !cur_u8(&body, &g->charset) || !cur_le16(&body, &g->status) ||
        !cur_le16(&body, &high) || !cur_u8(&body, &nonce_len) || !cur_skip(&body, 10))
        return gh_fail(err, GH_UNSUPPORTED, cur_offset(&body), "the server's greeting is that of a server older than 4.1");
    g->caps = (uint32_t)high << 16 | low;
    if ((g->caps & MY_CAP_SECURE_CONNECTION) == 0 || !cur_take(&body, MY_NONCE - 8, &at))
        return gh_fail(err, GH_UNSUPPORTED, cur_offset(&body), "the server's greeting has no nonce of 20 bytes");
    memcpy(g->nonce + 8, at, MY_NONCE - 8);
    /* What is behind a nonce of 20 bytes is zeros up to the length that was said; then the plugin's name. Some servers forget its NUL. */
    size_t said = nonce_len > 8 + 13 ? nonce_len - 8u : 13, rest = said - (MY_NONCE - 8);
    if (!cur_skip(&body, rest < cur_left(&body) ? rest : cur_left(&body)) || (g->caps & MY_CAP_PLUGIN_AUTH) == 0) return GH_OK;
    if (!cur_cstr(&body, &s, &len)) {
        len = cur_left(&body);
        if (!cur_take(&body, len, &at)) return GH_OK;
        s = (const char *)at;
    }
    if (!copy_text(g->plugin, sizeof g->plugin, s, len)) return gh_fail(err, GH_MALFORMED, 0, "the server's greeting cannot be read");
    return GH_OK;
}

/* --- OK, EOF, ERR --- */

void my_put_ok(struct buf *b, uint16_t status) { my_write_ok(b, 0, &(struct my_ok){.status = status}, false); }

void my_put_eof(struct buf *b, uint16_t status) {
    buf_u8(b, 0xfe);
    buf_le16(b, 0);
    buf_le16(b, status);
}

void my_put_err(struct buf *b, uint16_t code, const char *sqlstate, const char *message) {
    buf_u8(b, 0xff);
    buf_le16(b, code);
    buf_u8(b, '#');
    buf_put(b, sqlstate, 5);
    buf_str(b, message);
}

bool my_read_ok(struct cur body, bool tracked, struct my_ok *ok) {
    uint8_t head;
    memset(ok, 0, sizeof *ok);
    if (!cur_u8(&body, &head) || !my_lenenc(&body, &ok->rows) || !my_lenenc(&body, &ok->last_id) || !cur_le16(&body, &ok->status) ||
        !cur_le16(&body, &ok->warnings))
        return false;
    if (cur_left(&body) == 0) return (ok->status & MY_STATUS_STATE_CHANGED) == 0 || !tracked;
    if (!tracked) { /* all that is left; MariaDB writes a length all the same */
        struct cur whole = body;
        if (!my_lenenc_str(&body, &ok->info, &ok->info_len) || cur_left(&body) != 0) {
            ok->info_len = cur_left(&whole);
            return cur_take(&whole, ok->info_len, &ok->info);
        }
        return true;
    }
    if (!my_lenenc_str(&body, &ok->info, &ok->info_len)) return false;
    if ((ok->status & MY_STATUS_STATE_CHANGED) != 0 && !my_lenenc_str(&body, &ok->track, &ok->track_len)) return false;
    return cur_left(&body) == 0;
}

void my_write_ok(struct buf *b, uint8_t head, const struct my_ok *ok, bool tracked) {
    bool changed = tracked && (ok->status & MY_STATUS_STATE_CHANGED) != 0;
    buf_u8(b, head);
    my_put_lenenc(b, ok->rows);
    my_put_lenenc(b, ok->last_id);
    buf_le16(b, changed ? ok->status : (uint16_t)(ok->status & ~MY_STATUS_STATE_CHANGED));
    buf_le16(b, ok->warnings);
    if (ok->info_len > 0 || changed) {
        my_put_lenenc(b, ok->info_len);
        if (ok->info_len > 0) buf_put(b, ok->info, ok->info_len);
    }
    if (!changed) return;
    my_put_lenenc(b, ok->track_len);
    if (ok->track_len > 0) buf_put(b, ok->track, ok->track_len);
}

bool my_read_err(struct cur body, struct my_err *e) {
    uint8_t head;
    const uint8_t *at;
    memset(e, 0, sizeof *e);
    if (!cur_u8(&body, &head) || head != 0xff || !cur_le16(&body, &e->code)) return false;
    memcpy(e->sqlstate, "HY000", 6);
    if (cur_left(&body) >= 6 && body.p[0] == '#') {
        memcpy(e->sqlstate, body.p + 1, 5);
        if (!cur_skip(&body, 6)) return false;
    }
    size_t n = cur_left(&body) < sizeof e->message - 1 ? cur_left(&body) : sizeof e->message - 1;
    if (!cur_take(&body, n, &at)) return false;
    memcpy(e->message, at, n);
    return true;
}

/* --- errors of ours --- */

struct my_code my_code_of(const char *sqlstate) {
    /* By SQLSTATE, or its class. 08S01 is left to sessions that end: drivers close a connection that says it. */
    static const struct {
        const char *of;
        struct my_code is;
    } codes[] = {
        {MY_COLUMN_DENIED, {1143, "42000"}},
        {"42501", {1142, "42000"}}, /* ER_TABLEACCESS_DENIED_ERROR */
        {"28", {1045, "28000"}},    /* ER_ACCESS_DENIED_ERROR */
        {"3D000", {1049, "42000"}}, /* ER_BAD_DB_ERROR */
        {"0A000", {1235, "42000"}}, /* ER_NOT_SUPPORTED_YET */
        {"42601", {1235, "42000"}}, /* what our parser does not know */
        {"22021", {1300, "HY000"}}, /* ER_INVALID_CHARACTER_STRING */
        {"22023", {1231, "42000"}}, /* ER_WRONG_VALUE_FOR_VAR */
        {"25006", {1792, "25006"}}, /* ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION */
        {"26000", {1615, "HY000"}}, /* ER_NEED_REPREPARE: drivers know it */
        {"53300", {1040, "08004"}}, /* ER_CON_COUNT_ERROR */
        {"53400", {1226, "42000"}}, /* ER_USER_LIMIT_REACHED */
        {"53", {1041, "HY000"}},    /* ER_OUT_OF_RESOURCES */
        {"54", {1153, "HY000"}},    /* ER_NET_PACKET_TOO_LARGE */
        {"57014", {1317, "70100"}}, /* ER_QUERY_INTERRUPTED */
        {"57P03", {3168, "HY000"}}, /* ER_SERVER_ISNT_AVAILABLE */
        {"57P05", {4031, "HY000"}}, /* ER_CLIENT_INTERACTION_TIMEOUT */
        {"57P", {1053, "08S01"}},   /* ER_SERVER_SHUTDOWN */
        {"08P01", {1835, "HY000"}}, /* ER_MALFORMED_PACKET */
        {"08", {1429, "HY000"}},    /* ER_CONNECT_TO_FOREIGN_DATA_SOURCE */
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strncmp(sqlstate, codes[i].of, strlen(codes[i].of)) == 0) return codes[i].is;
    return (struct my_code){1105, "HY000"}; /* ER_UNKNOWN_ERROR */
}

void my_put_refusal(struct buf *payload, const char *sqlstate, const char *message, const char *detail, const char *hint) {
    char text[ERROR_TEXT];
    struct my_code c = my_code_of(sqlstate);
    int n = snprintf(text, sizeof text, "%.1000s", message);
    bool stop = n > 0 && strchr(".!?", text[n - 1]) != NULL;
    if (hint != NULL && n > 0 && (size_t)n < sizeof text)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s %.1000s", stop ? "" : ".", hint);
    if (detail != NULL && n > 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, "%s (%.1000s)", stop || hint != NULL ? "" : ".", detail);
    my_put_err(payload, c.code, c.sqlstate, text);
}
