#include "spoa/journal.h"
#include "t/lib/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[64], note[400], err[600];
static struct jnl_conf conf;

static void setup(void) {
    strcpy(dir, "/tmp/gh-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    conf = (struct jnl_conf){.dir = dir, .segment_bytes = 1 << 20, .retain_bytes = 1 << 20};
}

static void teardown(void) {
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}

static struct jnl *must_open(void) {
    struct jnl *j = jnl_open(&conf, note, sizeof note, err, sizeof err);
    ck_assert_msg(j != NULL, "%s", err);
    return j;
}

static bool add(struct jnl *j, size_t n, size_t pad) {
    struct buf b = BUF_INIT(1 << 26);
    uint64_t seq = jnl_last_seq(j);
    char *json = malloc(pad + 40);
    for (size_t i = 0; i < n; i++) {
        size_t at = jnl_line_begin(&b, ++seq);
        int len = snprintf(json, pad + 40, "{\"n\":%" PRIu64 ",\"p\":\"%0*d\"}", seq, (int)pad, 0);
        buf_put(&b, json, (size_t)len);
        jnl_line_end(&b, at);
    }
    free(json);
    bool ok = jnl_write(j, buf_at(&b), buf_used(&b), seq, err, sizeof err);
    buf_free(&b);
    return ok;
}

/* Reads from number first on; all numbers to the last must be there, each with its own json. */
static void expect(struct jnl *j, uint64_t first, uint64_t last) {
    ck_assert_uint_eq(jnl_last_seq(j), last);
    ck_assert_msg(jnl_seek(j, first, err, sizeof err), "%s", err);
    uint64_t seq;
    const char *json;
    size_t len, bytes;
    for (uint64_t n = first; n <= last; n++) {
        char want[40];
        ck_assert_msg(jnl_next(j, &seq, &json, &len, &bytes, err, sizeof err) == JNL_LINE, "%s", err);
        ck_assert_uint_eq(seq, n);
        int w = snprintf(want, sizeof want, "{\"n\":%" PRIu64 ",", n);
        ck_assert_uint_lt((size_t)w, len);
        ck_assert_mem_eq(json, want, (size_t)w);
    }
    ck_assert(jnl_next(j, &seq, &json, &len, &bytes, err, sizeof err) == JNL_END);
    ck_assert_uint_eq(jnl_unread_bytes(j), 0);
}

static void seg_path(char out[120], uint64_t first) { snprintf(out, 120, "%s/journal-%016" PRIu64 ".log", dir, first); }
static off_t seg_size(uint64_t first) {
    char path[120];
    struct stat st;
    seg_path(path, first);
    return stat(path, &st) < 0 ? -1 : st.st_size;
}
static void seg_poke(uint64_t first, off_t at, char c) {
    char path[120];
    seg_path(path, first);
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

START_TEST(checksum) {
    /* RFC 3720, B.4, and the usual check value */
    uint8_t zeros[32] = {0}, up[32];
    for (int i = 0; i < 32; i++) up[i] = (uint8_t)i;
    ck_assert_uint_eq(jnl_crc32c(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(jnl_crc32c(0, zeros, 32), 0x8a9136aau);
    ck_assert_uint_eq(jnl_crc32c(0, up, 32), 0x46dd794eu);
    ck_assert_uint_eq(jnl_crc32c(jnl_crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}
END_TEST

START_TEST(write_reopen_read) {
    conf.segment_bytes = 2000;
    conf.fsync = true;
    struct jnl *j = must_open();
    ck_assert_uint_eq(jnl_last_seq(j), 0);
    expect(j, 1, 0);
    for (uint64_t n = 0; n < 300; n += 3) {
        ck_assert(add(j, 3, 50));
        if (n % 60 == 0) expect(j, n + 1, n + 3);
    }
    jnl_close(j);
    j = must_open();
    ck_assert_str_eq(note, "");
    expect(j, 1, 300);
    for (uint64_t n = 1; n <= 301; n += 7) expect(j, n, 300);
    ck_assert(!jnl_seek(j, 302, err, sizeof err));
    ck_assert(add(j, 1, 50));
    expect(j, 301, 301);
    struct stat st;
    ck_assert(stat(dir, &st) == 0 && (st.st_mode & 0777) == 0700);
    jnl_close(j);
}
END_TEST

START_TEST(large_lines) {
    struct jnl *j = must_open();
    ck_assert(add(j, 1, 3000000) && add(j, 2, 10) && add(j, 1, 200000));
    expect(j, 1, 4);
    expect(j, 2, 4);
    jnl_close(j);
    expect(j = must_open(), 1, 4);
    jnl_close(j);
}
END_TEST

START_TEST(torn_tail_at_every_byte) {
    struct jnl *j = must_open();
    ck_assert(add(j, 2, 20));
    off_t good = seg_size(1);
    ck_assert(add(j, 1, 60));
    off_t whole = seg_size(1);
    jnl_close(j);
    char path[120];
    seg_path(path, 1);
    char last[200];
    int fd = open(path, O_RDWR);
    ck_assert_int_eq(pread(fd, last, sizeof last, good), whole - good);
    for (off_t cut = good; cut < whole; cut++) {
        ck_assert_int_eq(ftruncate(fd, good), 0);
        ck_assert_int_eq(pwrite(fd, last, (size_t)(cut - good), good), cut - good);
        j = must_open();
        ck_assert_int_eq(note[0] != '\0', cut != good);
        ck_assert_int_eq(seg_size(1), good);
        expect(j, 1, 2);
        ck_assert(add(j, 1, 5));
        expect(j, 1, 3);
        jnl_close(j);
    }
    /* zeros, as a file system may leave them after a power cut */
    ck_assert_int_eq(ftruncate(fd, good), 0);
    ck_assert_int_eq(ftruncate(fd, good + 4000), 0);
    expect(j = must_open(), 1, 2);
    ck_assert(note[0] != '\0');
    jnl_close(j);
    close(fd);
}
END_TEST

START_TEST(damage_is_refused) {
    struct jnl *j = must_open();
    ck_assert(add(j, 3, 20));
    jnl_close(j);
    off_t whole = seg_size(1);
    char path[120], c;
    seg_path(path, 1);
    int fd = open(path, O_RDONLY);
    for (off_t at = 0; at < whole; at++) {
        ck_assert_int_eq(pread(fd, &c, 1, at), 1);
        seg_poke(1, at, c ^ 1);
        j = jnl_open(&conf, note, sizeof note, err, sizeof err);
        /* Without its newline the last line is unfinished; any other change is damage. */
        ck_assert_msg((j != NULL) == (at == whole - 1), "byte %ld", (long)at);
        if (j != NULL) {
            jnl_close(j);
            continue;
        }
        ck_assert_ptr_nonnull(strstr(err, "damaged"));
        ck_assert_ptr_nonnull(strstr(err, "start with an empty one"));
        ck_assert_int_eq(seg_size(1), whole);
        seg_poke(1, at, c);
    }
    close(fd);
}
END_TEST

START_TEST(missing_segment_is_refused) {
    conf.segment_bytes = 1;
    struct jnl *j = must_open();
    for (int i = 0; i < 4; i++) ck_assert(add(j, 1, 5));
    jnl_close(j);
    char path[120];
    seg_path(path, 3);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_ptr_null(jnl_open(&conf, note, sizeof note, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "should hold event 3"));
}
END_TEST

START_TEST(one_opener_and_private) {
    struct jnl *j = must_open();
    ck_assert_ptr_null(jnl_open(&conf, note, sizeof note, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "in use by another daemon"));
    jnl_close(j);
    ck_assert_int_eq(chmod(dir, 0750), 0);
    ck_assert_ptr_null(jnl_open(&conf, note, sizeof note, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "chmod 700"));
    conf.dir = "/proc/none/journal";
    ck_assert_ptr_null(jnl_open(&conf, note, sizeof note, err, sizeof err));
}
END_TEST

/* What a ledger does when it may: says so, and removes. */
static void retain(struct jnl *j) {
    bool aged;
    size_t n = jnl_removable(j, true, &aged);
    if (n == 0) return;
    uint64_t last = jnl_file_end(j, n);
    jnl_remove(j, n);
    ck_assert_uint_eq(jnl_first_seq(j), last + 1);
}

START_TEST(only_shipped_segments_go) {
    bool aged;
    conf.segment_bytes = 1;
    conf.retain_bytes = 0;
    struct jnl *j = must_open();
    for (int i = 0; i < 10; i++) ck_assert(add(j, 1, 5));
    ck_assert_uint_eq(jnl_first_seq(j), 1);
    ck_assert_uint_eq(jnl_removable(j, true, &aged), 0);
    jnl_shipped(j, 4, true);
    ck_assert_uint_eq(jnl_removable(j, false, &aged), 4);
    ck_assert(!aged);
    ck_assert_uint_eq(jnl_removable(j, false, &aged), 0); /* until something changes */
    retain(j);
    ck_assert_uint_eq(jnl_first_seq(j), 5);
    ck_assert_int_eq(seg_size(4), -1);
    expect(j, 5, 10);
    jnl_close(j);
    j = must_open();
    ck_assert_uint_eq(jnl_shipped_hint(j), 4);
    ck_assert(!jnl_seek(j, 4, err, sizeof err));
    ck_assert(jnl_seek(j, 6, err, sizeof err)); /* a reader that has more to read keeps its segment */
    jnl_shipped(j, 8, false);
    ck_assert_uint_eq(jnl_removable(j, true, &aged), 1);
    jnl_shipped(j, 10, true);
    retain(j);
    ck_assert_uint_eq(jnl_first_seq(j), 9); /* the last two stay: they know the last number and id */
    jnl_close(j);
    expect(j = must_open(), 9, 10);
    jnl_close(j);
}
END_TEST

/* Old ones go though there is room: when they are shipped, and never the last two. */
START_TEST(old_segments_go) {
    conf.segment_bytes = 1000;
    conf.retain_ms = 3600000;
    struct jnl *j = must_open();
    for (int i = 0; i < 5; i++) ck_assert(add(j, 1, 1200)); /* a segment each */
    uint64_t last = jnl_last_seq(j);
    char path[120];
    const struct timespec old[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
    for (uint64_t n = 1; n <= last; n++) {
        snprintf(path, sizeof path, "%s/journal-%016" PRIu64 ".log", dir, n);
        if (n != 2) ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    }
    jnl_shipped(j, 0, true);
    retain(j);
    ck_assert_uint_eq(jnl_first_seq(j), 1);
    jnl_shipped(j, last, true);
    retain(j); /* the second one is young, and what is behind it stays too */
    ck_assert_uint_eq(jnl_first_seq(j), 2);
    snprintf(path, sizeof path, "%s/journal-%016d.log", dir, 2);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    retain(j);
    ck_assert_uint_eq(jnl_first_seq(j), last - 1);
    jnl_close(j);
}
END_TEST

START_TEST(full_disk) {
    struct jnl *j = must_open();
    ck_assert(add(j, 2, 20));
    off_t before = seg_size(1);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, tight;
    getrlimit(RLIMIT_FSIZE, &old);
    for (rlim_t room = 0; room < 150; room += 7) {
        tight = (struct rlimit){(rlim_t)before + room, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &tight); /* no assertion while it holds: Check writes to a file too */
        bool added = add(j, 3, 60);
        setrlimit(RLIMIT_FSIZE, &old);
        ck_assert(!added);
        ck_assert_ptr_nonnull(strstr(err, strerror(EFBIG)));
        ck_assert_int_eq(seg_size(1), before); /* no half line is left */
        ck_assert_uint_eq(jnl_last_seq(j), 2);
    }
    ck_assert(add(j, 3, 60));
    expect(j, 1, 5);
    jnl_close(j);
    expect(j = must_open(), 1, 5);
    ck_assert_str_eq(note, "");
    jnl_close(j);
}
END_TEST

int main(void) {
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, checksum);
    tcase_add_test(t, write_reopen_read);
    tcase_add_test(t, large_lines);
    tcase_add_test(t, torn_tail_at_every_byte);
    tcase_add_test(t, damage_is_refused);
    tcase_add_test(t, missing_segment_is_refused);
    tcase_add_test(t, one_opener_and_private);
    tcase_add_test(t, only_shipped_segments_go);
    tcase_add_test(t, old_segments_go);
    tcase_add_test(t, full_disk);
    suite_add_tcase(s, t);
    return run_suite(s);
}
