#include "policy/shape.h"

#include <pg_query.h>
#include <stdlib.h>
#include <string.h>

char *pol_shape_pg(const char *sql) {
    PgQueryNormalizeResult r = pg_query_normalize(sql);
    char *out = r.error == NULL && r.normalized_query != NULL ? strdup(r.normalized_query) : NULL;
    pg_query_free_normalize_result(r);
    return out;
}
