/* INSERT, UPDATE and DELETE. */
#include "policy/rewrite_my_int.h"

static bool not_yet(struct ry *x, uint32_t node) {
    const struct pol_view *v;
    if (!ry_view(x, node, &v)) return false;
    x->dealt[node] = v == NULL;
    return v == NULL || ry_refuse(x, v, ry_node(x, node)->tok, NULL, "rows of %.64s.%.64s cannot be changed: you do not see all of it",
                                  v->relation->schema, v->relation->name);
}

bool ry_target_column(struct ry *x, uint32_t node) { return ry_node(x, node) != NULL; }

static bool target_and_rest(struct ry *x, uint32_t node) {
    uint32_t t = ry_child(x, node, MN_TABLE);
    return (t == 0 || not_yet(x, t)) && ry_children(x, node);
}

bool ry_insert(struct ry *x, uint32_t node) { return target_and_rest(x, node); }
bool ry_update(struct ry *x, uint32_t node) { return target_and_rest(x, node); }
bool ry_delete(struct ry *x, uint32_t node) { return target_and_rest(x, node); }
