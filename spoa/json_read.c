#include "spoa/json_read.h"

#include "spoa/starved.h"

#include <stdio.h>
#include <string.h>

json_t *json_read(const char *text, size_t len, size_t flags, json_error_t *e) {
    if (len > 0 && memchr(text, 0, len) != NULL) {
        if (e != NULL) *e = (json_error_t){.text = "a NUL byte"};
        return NULL;
    }
    bool begun = starved_begin();
    json_t *v = json_loadb(text, len, flags, e);
    if (!starved_end(begun)) return v;
    json_decref(v);
    if (e != NULL) snprintf(e->text, sizeof e->text, "out of memory");
    return NULL;
}
