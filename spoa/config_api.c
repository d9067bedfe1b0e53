/* The section apis of the configuration: who may ask about SQL in HTTP requests, and where in them it is. */
#include <config.h>

#include "spoa/config_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Member names are ASCII without control characters, so that they can be compared in the sight of whoever reads the file. */
static bool path_ok(const struct yaml_node *n, const char *path, struct pol_error *err) {
    size_t len = strlen(path);
    if (len == 0 || len > 128 || path[0] == '.' || path[len - 1] == '.' || strstr(path, "..") != NULL)
        return yaml_fail(n, err, "\"%.80s\" is not a member's name, or names joined with dots", path);
    for (const char *p = path; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~') return yaml_fail(n, err, "a member's name has letters, digits and signs of ASCII only");
    return true;
}

/* One path in another, or the same but for case: an application could take one for the other. */
static bool paths_clash(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), common = n < m ? n : m;
    if (strncasecmp(a, b, common) != 0) return false;
    return n == m || (n > m ? a[common] : b[common]) == '.';
}

static bool read_place(struct conf_all *a, const struct yaml_node *n, struct api_place *out, struct pol_error *err) {
    if (!conf_need_str(n, "sql", &out->sql, err) || !path_ok(yaml_get(n, "sql"), out->sql, err)) return false;
    const struct yaml_node *also = yaml_get(n, "also");
    if (also == NULL) return true;
    if (!yaml_strings(a->doc, also, &out->also, &out->nalso, err)) return false;
    for (size_t i = 0; i < out->nalso; i++) {
        if (!path_ok(also, out->also[i], err)) return false;
        if (paths_clash(out->also[i], out->sql))
            return yaml_fail(also, err, "\"%s\" is, holds or could be taken for \"%s\", where the SQL is", out->also[i], out->sql);
        for (size_t k = 0; k < i; k++)
            if (paths_clash(out->also[i], out->also[k]))
                return yaml_fail(also, err, "\"%s\" could be taken for \"%s\"", out->also[i], out->also[k]);
    }
    return true;
}

static bool read_names(struct conf_all *a, const struct yaml_node *n, const char *const **out, size_t *count, struct pol_error *err) {
    if (n == NULL) return true;
    if (!yaml_strings(a->doc, n, out, count, err)) return false;
    for (size_t i = 0; i < *count; i++)
        if ((*out)[i][0] == '\0' || strlen((*out)[i]) > API_NAME_MAX) return yaml_fail(n, err, "a name is empty or too long");
    return true;
}

static bool read_tools(struct conf_all *a, const struct yaml_node *n, struct api_shape *out, struct pol_error *err) {
    static const char *const keys[] = {"sql", "also", NULL};
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP || yaml_len(n) == 0) return yaml_fail(n, err, "must be a map of at least one tool");
    struct api_place *list = conf_own(a, calloc(yaml_len(n), sizeof *list), free);
    if (list == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[i].tool = yaml_key_at(n, i);
        if (strlen(list[i].tool) > API_NAME_MAX) return yaml_fail(yaml_key_node_at(n, i), err, "the name is too long");
        if (!yaml_keys(yaml_at(n, i), keys, err) || !read_place(a, yaml_at(n, i), &list[i], err)) return false;
    }
    out->places = list;
    out->nplaces = yaml_len(n);
    return true;
}

static bool read_mcp(struct conf_all *a, const struct yaml_node *n, struct api_shape *out, struct pol_error *err) {
    const struct yaml_node *pass = yaml_get(n, "pass"), *pass_tools = yaml_get(n, "pass_tools");
    if (conf_need(n, "tools", err) == NULL || !read_tools(a, yaml_get(n, "tools"), out, err) ||
        !read_names(a, pass, &out->pass, &out->npass, err) || !read_names(a, pass_tools, &out->pass_tools, &out->npass_tools, err))
        return false;
    for (size_t i = 0; i < out->npass; i++)
        if (strcmp(out->pass[i], "tools/call") == 0) return yaml_fail(pass, err, "tools are named one by one, under tools or pass_tools");
    for (size_t i = 0; i < out->npass_tools; i++)
        for (size_t k = 0; k < out->nplaces; k++)
            if (strcasecmp(out->pass_tools[i], out->places[k].tool) == 0)
                return yaml_fail(pass_tools, err, "\"%s\" is listed under tools too: its SQL would not be judged", out->pass_tools[i]);
    return true;
}

static bool read_json(struct conf_all *a, const struct yaml_node *n, struct api_shape *out, struct pol_error *err) {
    struct api_place *place = conf_own(a, calloc(1, sizeof *place), free);
    if (place == NULL) return yaml_fail(n, err, "out of memory");
    out->places = place;
    out->nplaces = 1;
    return read_place(a, n, place, err);
}

static bool read_api(struct conf_all *a, const struct yaml_node *n, struct conf_api *out, struct pol_error *err) {
    static const char *const text[] = {"database", "form", NULL}, *const json[] = {"database", "form", "sql", "also", NULL},
                             *const mcp[] = {"database", "form", "tools", "pass", "pass_tools", NULL}, *const all[] = {"database",   "form",
                                                                                                                       "sql",        "also",
                                                                                                                       "tools",      "pass",
                                                                                                                       "pass_tools", NULL},
                             *const forms[] = {"text", "json", "mcp", NULL};
    int form;
    if (!yaml_keys(n, all, err) || !conf_need_str(n, "database", &out->database, err)) return false;
    if (conf_database(&a->c, out->database) == NULL)
        return yaml_fail(yaml_get(n, "database"), err, "there is no database \"%s\" under databases", out->database);
    const struct yaml_node *f = conf_need(n, "form", err);
    if (f == NULL || !yaml_enum(f, forms, &form, err)) return false;
    out->shape.form = (enum api_form)form;
    if (out->shape.form == API_TEXT) return yaml_keys(n, text, err);
    if (out->shape.form == API_JSON) return yaml_keys(n, json, err) && read_json(a, n, &out->shape, err);
    return yaml_keys(n, mcp, err) && read_mcp(a, n, &out->shape, err);
}

bool conf_read_apis(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP || yaml_len(n) == 0) return yaml_fail(n, err, "must be a map of at least one API");
    struct conf_api *list = conf_own(a, calloc(yaml_len(n), sizeof *list), free);
    if (list == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[i].name = yaml_key_at(n, i);
        if (list[i].name[0] == '\0') return yaml_fail(yaml_key_node_at(n, i), err, "an API needs a name");
        if (!read_api(a, yaml_at(n, i), &list[i], err)) return false;
    }
    a->c.apis = list;
    a->c.napis = yaml_len(n);
    return true;
}

const struct conf_api *conf_api(const struct conf *c, const char *name, size_t len) {
    for (size_t i = 0; i < c->napis; i++)
        if (strlen(c->apis[i].name) == len && memcmp(c->apis[i].name, name, len) == 0) return &c->apis[i];
    return NULL;
}
