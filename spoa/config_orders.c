/* Who may block, and whose blocks count: admin.operators and nodes. */
#include <config.h>

#include "spoa/config_int.h"

#include "spoa/base64url.h"
#include "spoa/nodekey.h"

#include <stdlib.h>
#include <string.h>

bool conf_read_operators(struct conf_all *a, const struct yaml_node *admin, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(admin, "operators");
    if (n == NULL) return true;
    if (!yaml_strings(a->doc, n, &a->c.operators, &a->c.noperators, err)) return false;
    for (size_t i = 0; i < a->c.noperators; i++)
        if (strcmp(a->c.operators[i], "*") == 0 || a->c.operators[i][0] == '\0')
            return yaml_fail(n, err, "list groups: leave the key out, if everybody who may connect shall have these rights");
    return a->c.noperators > 0 || yaml_fail(n, err, "the list is empty");
}

static bool is_key(const char *text) {
    uint8_t raw[BASE64URL_DECODED(NODEKEY_PUBLIC_SIZE)];
    size_t n = 0;
    return strlen(text) == NODEKEY_PUBLIC_SIZE - 1 && base64url_decode(text, NODEKEY_PUBLIC_SIZE - 1, raw, &n) && n == 32;
}

bool conf_read_nodes(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP) return yaml_fail(n, err, "must be a map of nodes and their keys");
    if (yaml_len(n) > 63) return yaml_fail(n, err, "at most 63 other nodes");
    struct conf_node *list = conf_own(a, calloc(yaml_len(n) + 1, sizeof *list), free);
    if (list == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[i].name = yaml_key_at(n, i);
        if (!yaml_str(yaml_at(n, i), &list[i].key, err)) return false;
        if (strcmp(list[i].name, a->c.node) == 0) return yaml_fail(yaml_key_node_at(n, i), err, "is this node itself: list the others");
        if (!is_key(list[i].key))
            return yaml_fail(yaml_at(n, i), err, "is no node's key: 43 characters, as \"gatehousectl status\" shows it on that node");
    }
    a->c.nodes = list;
    a->c.nnodes = yaml_len(n);
    return true;
}
