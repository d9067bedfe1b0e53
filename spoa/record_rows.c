/* Rows for the record, as JSON: what the filter kept of a result. */
#include <config.h>

#include "spoa/record.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *hex(const uint8_t *data, size_t len) {
    char *text = malloc(2 * len + 1);
    if (text == NULL) return NULL;
    gh_hex(text, data, len);
    json_t *o = json_pack("{s:o}", "hex", json_stringn(text, 2 * len));
    free(text);
    return o;
}

/* Text that is UTF-8 without a NUL as a string; a value in binary format that happens to be that, too. */
static json_t *value(const uint8_t *data, size_t len) {
    bool text = gh_utf8_valid(data, len);
    return text ? json_stringn((const char *)data, len) : hex(data, len);
}

/* DataRow: a count, then each value's length, -1 for NULL, and its bytes. */
static json_t *row(struct cur c) {
    uint16_t n;
    uint32_t len;
    const uint8_t *at;
    json_t *list = json_array();
    if (!cur_be16(&c, &n)) return list;
    for (unsigned i = 0; i < n && cur_be32(&c, &len); i++) {
        if (len == UINT32_MAX)
            json_array_append_new(list, json_null());
        else if (cur_take(&c, len, &at))
            json_array_append_new(list, value(at, len));
        else
            break;
    }
    return list;
}

/* RowDescription: a count, then names, each with 18 bytes behind it. */
static json_t *columns(struct cur c) {
    uint16_t n;
    const char *name;
    const uint8_t *rest;
    size_t len;
    json_t *list = json_array();
    if (cur_be16(&c, &n))
        for (unsigned i = 0; i < n && cur_cstr(&c, &name, &len) && cur_take(&c, 18, &rest); i++)
            json_array_append_new(list, value((const uint8_t *)name, len));
    return json_pack("{s:o}", "columns", list);
}

char *rec_rows(const uint8_t *kept, size_t len) {
    struct cur c = cur_of(kept, len);
    uint8_t type;
    uint32_t n;
    const uint8_t *at;
    json_t *list = json_array();
    while (cur_u8(&c, &type) && cur_be32(&c, &n) && cur_take(&c, n, &at)) {
        struct cur body = cur_of(at, n);
        json_array_append_new(list, type == 'T' ? columns(body) : type == 'D' ? row(body) : value(at, n));
    }
    char *text = list == NULL ? NULL : json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}
