/* Sessions counted in and out; cancel keys. */
#include "spoa/registry.h"
#include "t/lib/guard.h"

#include <stdio.h>

static struct registry *r;
static void setup(void) { ck_assert_ptr_nonnull(r = registry_new()); }
static void teardown(void) { registry_free(r); }

START_TEST(total) {
    ck_assert(registry_enter(r, 2));
    ck_assert(registry_enter(r, 2));
    ck_assert(!registry_enter(r, 2));
    ck_assert_uint_eq(registry_count(r), 2);
    registry_leave(r);
    ck_assert(registry_enter(r, 2));
    ck_assert(!registry_enter(r, 0));
}
END_TEST

START_TEST(principals) {
    char name[32];
    ck_assert(registry_principal_enter(r, "a@x", 1));
    ck_assert(!registry_principal_enter(r, "a@x", 1));
    ck_assert(registry_principal_enter(r, "b@x", 1));
    registry_principal_leave(r, "a@x");
    ck_assert(registry_principal_enter(r, "a@x", 1));
    ck_assert(!registry_principal_enter(r, "c@x", 0));
    registry_principal_leave(r, "nobody@x"); /* never entered: no harm */
    for (int i = 0; i < 5000; i++) {         /* more than there are buckets */
        snprintf(name, sizeof name, "p%d", i);
        ck_assert(registry_principal_enter(r, name, 2));
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "p%d", i);
        ck_assert(registry_principal_enter(r, name, 2));
        ck_assert(!registry_principal_enter(r, name, 2));
    }
}
END_TEST

START_TEST(keys) {
    struct registry_target t = {NULL, 0}, found;
    uint32_t pid[3000], secret[3000];
    for (uint64_t i = 0; i < 3000; i++) {
        t.serial = i;
        ck_assert(registry_key_new(r, &t, &pid[i], &secret[i]));
        ck_assert_uint_ne(pid[i], 0);
        ck_assert_uint_lt(pid[i], 0x80000000u);
    }
    for (uint64_t i = 0; i < 3000; i++) {
        ck_assert(registry_key_find(r, pid[i], secret[i], &found));
        ck_assert_uint_eq(found.serial, i);
        ck_assert(!registry_key_find(r, pid[i], secret[i] ^ 1, &found));
        registry_key_drop(r, pid[i]);
        ck_assert(!registry_key_find(r, pid[i], secret[i], &found));
        registry_key_drop(r, pid[i]);
    }
}
END_TEST

/* MySQL's connections: ids that were drawn before, for their owners, and for nobody by a secret. */
START_TEST(owned_keys) {
    struct registry_target t = {NULL, 7}, found = {NULL, 0};
    uint32_t pid, secret;
    ck_assert(!registry_key_taken(r, 5));
    ck_assert(registry_key_add(r, &t, 5, "issuer\nann"));
    ck_assert(registry_key_taken(r, 5));
    ck_assert(!registry_key_add(r, &t, 5, "issuer\nbob"));
    ck_assert(registry_key_owned(r, 5, "issuer\nann", &found));
    ck_assert_uint_eq(found.serial, 7);
    ck_assert(!registry_key_owned(r, 5, "issuer\nbob", &found));
    ck_assert(!registry_key_owned(r, 6, "issuer\nann", &found));
    ck_assert(registry_key_new(r, &t, &pid, &secret));
    ck_assert(!registry_key_owned(r, pid, "issuer\nann", &found)); /* PostgreSQL's are known by their secret alone */
    registry_key_drop(r, 5);
    ck_assert(!registry_key_owned(r, 5, "issuer\nann", &found));
    registry_key_drop(r, pid);
}
END_TEST

int main(void) {
    Suite *s = suite_create("registry");
    TCase *t = tcase_create("registry");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, total);
    tcase_add_test(t, principals);
    tcase_add_test(t, keys);
    tcase_add_test(t, owned_keys);
    suite_add_tcase(s, t);
    return run_suite(s);
}
