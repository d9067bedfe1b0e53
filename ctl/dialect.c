#include "ctl/dialect.h"

#include "policy/catalog.h"

#include <pthread.h>

void ctl_dialect(struct ctl_dialect *d, const struct pol_catalog *catalog, const char *const *path, size_t npath) {
    enum pol_engine engine = catalog != NULL ? pol_catalog_engine(catalog) : POL_CAT_POSTGRESQL;
    *d = (struct ctl_dialect){.mysql = engine != POL_CAT_POSTGRESQL};
    d->path[0] = d->mysql ? pol_catalog_database(catalog) : "public";
    d->pins = (struct pol_pins){.search_path = npath > 0 ? path : d->path, .nsearch_path = npath > 0 ? npath : 1, .mysql = d->mysql};
    if (!d->mysql) return;
    d->my = (struct my_options){.server = engine == POL_CAT_MYSQL ? MY_MYSQL : MY_MARIADB,
                                .version = pol_catalog_server(catalog),
                                .default_db = d->pins.search_path[0],
                                .fold_names = pol_catalog_fold(catalog),
                                .multi = true};
}

struct pol_role *ctl_dialect_role(const struct ctl_dialect *d, struct pol_policy *p, const struct pol_subject *who, const char *database,
                                  struct pol_catalog *catalog) {
    struct pol_role *role = pol_role_new(p, who, database, &d->pins);
    if (role == NULL) return NULL;
    if (d->mysql) pol_role_my_mode(role, d->my.mode);
    if (catalog != NULL)
        pol_role_use_catalog(role, catalog, true);
    else
        pol_role_offline(role);
    return role;
}

struct pol_facts *ctl_dialect_judge(const struct ctl_dialect *d, const char *sql, size_t len, const struct pol_role *role,
                                    struct pol_verdict *v) {
    struct pol_parse_error err = {0};
    struct pol_facts *f = d->mysql ? pol_facts_my(sql, len, &d->my, &err) : pol_facts_pg(sql, len, NULL, &err);
    if (f != NULL)
        pol_judge(role, f, v);
    else
        pol_refuse_parse(&err, v);
    return f;
}

enum pol_rewrite_rc ctl_dialect_rewrite(const struct ctl_dialect *d, const char *sql, size_t len, const struct pol_role *role,
                                        struct pol_rewritten *out, struct pol_verdict *v) {
    if (v->effect == POL_DENY || !v->rewrite) return POL_REWRITE_SAME;
    return d->mysql ? pol_rewrite_my(sql, len, &d->my, role, out, v) : pol_rewrite_pg(sql, len, role, out, v);
}

bool ctl_on_stack(void *(*fn)(void *), void *arg) {
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr) != 0) return false;
    bool ok = pthread_attr_setstacksize(&attr, POL_STACK_BYTES) == 0 && pthread_create(&thread, &attr, fn, arg) == 0;
    pthread_attr_destroy(&attr);
    return ok && pthread_join(thread, NULL) == 0;
}
