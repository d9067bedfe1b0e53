/* Where Redis is: behind Sentinels, through a failover; in a Cluster, on another node than the one that was named; under other keys. */
#include "spoa/ledger.h"
#include "spoa/ledger_find.h"
#include "spoa/log.h"
#include "t/lib/guard.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char top[64], dir[96], err[600];
static struct led_conf conf;
static struct led *led;
static pid_t pids[8];
static size_t npids;

static void setup(void) {
    log_init(LOG_ERROR);
    log_set_level((enum log_level) - 1);
    strcpy(top, "/tmp/gh-places-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    snprintf(dir, sizeof dir, "%s/journal", top);
    conf = (struct led_conf){.dir = dir, .node = "n1", .mode = LED_STRICT, .timeout_ms = 2000};
    led = NULL;
    npids = 0;
}

static void teardown(void) {
    char cmd[100];
    if (led != NULL) led_close(led, 100);
    for (size_t i = 0; i < npids; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    snprintf(cmd, sizeof cmd, "rm -rf %s", top);
    ck_assert_int_eq(system(cmd), 0);
}

/* Below those that the system gives to clients; a cluster's bus listens 10000 higher. */
static int free_port(void) {
    static unsigned tries;
    for (;;) {
        int port = 12000 + (int)(((unsigned)getpid() * 7 + tries++) % 10000);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool ok = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (ok) return port;
    }
}

/* A server of this test's own with a line of its configuration, and a connection to it. */
static redisContext *serve(int port, const char *lines, bool sentinel) {
    char path[120], folder[96], text[16];
    snprintf(folder, sizeof folder, "%s/%d", top, port);
    snprintf(path, sizeof path, "%s/conf", folder);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    FILE *f = fopen(path, "w");
    fprintf(f, "port %d\nbind 127.0.0.1\ndir %s\nlogfile %s/log\n%s", port, folder, folder, lines);
    fclose(f);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", path, sentinel ? "--sentinel" : "--save", sentinel ? NULL : "", (char *)NULL);
        _exit(127);
    }
    pids[npids++] = pid;
    snprintf(text, sizeof text, "%d", port);
    for (int i = 0; i < 1500; i++) {
        redisContext *c = redisConnect("127.0.0.1", port);
        if (c != NULL && c->err == 0) return c;
        if (c != NULL) redisFree(c);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    ck_abort_msg("no server at port %s", text);
}

static void on_done(void *arg, enum led_status status) {
    struct {
        sem_t sem;
        enum led_status status;
    } *c = arg;
    c->status = status;
    sem_post(&c->sem);
}
static enum led_status append(enum led_stream stream) {
    struct {
        sem_t sem;
        enum led_status status;
    } c;
    const struct led_field f = {"sql", "SELECT 1", 8, NULL};
    sem_init(&c.sem, 0, 0);
    led_append(led, &(struct led_event){stream, stream == LED_SESSION || stream == LED_APPROVAL ? "s" : NULL, "statement", &f, 1, false},
               on_done, &c);
    while (sem_wait(&c.sem) < 0) continue;
    return c.status;
}
static void append_soon(enum led_stream stream) {
    for (int i = 0; append(stream) != LED_OK; i++) {
        led_why(led, err, sizeof err);
        ck_assert_msg(i < 600, "%s", err);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static long long number(redisContext *c, const char *cmd) {
    redisReply *r = redisCommand(c, cmd);
    ck_assert_msg(r != NULL && r->type != REDIS_REPLY_ERROR, "%s: %s", cmd, r != NULL ? r->str : c->errstr);
    long long n = r->type == REDIS_REPLY_STRING ? atoll(r->str) : r->integer;
    freeReplyObject(r);
    return n;
}

static void open_ledger(void) {
    led = led_open(&conf, err, sizeof err);
    ck_assert_msg(led != NULL, "%s", err);
}

START_TEST(a_prefix) {
    int port = free_port();
    redisContext *c = serve(port, "", false);
    conf.redis_host = "127.0.0.1";
    conf.redis_port = (uint16_t)port;
    conf.redis_prefix = "acme:gh:";
    open_ledger();
    for (int i = LED_SESSION; i <= LED_APPROVAL; i++) append_soon((enum led_stream)i);
    ck_assert_int_eq(number(c, "EXISTS acme:gh:audit:s acme:gh:sessions acme:gh:auth acme:gh:approval:s acme:gh:shipped:n1"), 5);
    ck_assert_int_eq(number(c, "DBSIZE"), 5);
    redisFree(c);
}
END_TEST

/* Two nodes; all slots are on the second. Our keys are in one slot, found by MOVED, also when it moves while we run. */
START_TEST(cluster) {
    int a = free_port(), b = free_port();
    redisContext *first = serve(a, "cluster-enabled yes\n", false), *second = serve(b, "cluster-enabled yes\n", false);
    char cmd[120];
    number(second, "CLUSTER ADDSLOTSRANGE 0 16383");
    snprintf(cmd, sizeof cmd, "CLUSTER MEET 127.0.0.1 %d", b);
    number(first, cmd);
    conf.redis_host = "127.0.0.1";
    conf.redis_port = (uint16_t)a;
    conf.redis_prefix = "{gatehouse}:";
    open_ledger();
    for (int i = LED_SESSION; i <= LED_APPROVAL; i++) append_soon((enum led_stream)i);
    ck_assert_int_eq(
        number(second, "EXISTS {gatehouse}:audit:s {gatehouse}:sessions {gatehouse}:auth {gatehouse}:approval:s {gatehouse}:shipped:n1"),
        5);
    /* keys without a hash tag are in many slots: the first call says so */
    led_close(led, 1000);
    conf.redis_prefix = NULL;
    conf.node = "n2";
    snprintf(dir, sizeof dir, "%s/journal-2", top);
    conf.redis_port = (uint16_t)b;
    open_ledger();
    ck_assert_int_eq(append(LED_SESSION), LED_UNAVAILABLE);
    led_why(led, err, sizeof err);
    ck_assert_msg(strstr(led_todo(led), "hash tag") != NULL, "%s: %s", err, led_todo(led));
    redisFree(first);
    redisFree(second);
}
END_TEST

/* The primary dies, Sentinel promotes the replica, the ledger finds it; what the replica lacks comes from the journal. */
START_TEST(sentinel) {
    int a = free_port(), b = free_port(), s = free_port();
    char lines[400], where[40];
    redisContext *primary = serve(a, "repl-diskless-sync-delay 0\n", false);
    snprintf(lines, sizeof lines, "replicaof 127.0.0.1 %d\n", a);
    redisContext *replica = serve(b, lines, false);
    for (bool online = false; !online;) {
        redisReply *r = redisCommand(primary, "INFO replication");
        online = strstr(r->str, "state=online") != NULL;
        freeReplyObject(r);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    snprintf(lines, sizeof lines,
             "sentinel monitor gh 127.0.0.1 %d 1\nsentinel down-after-milliseconds gh 300\nsentinel failover-timeout gh 3000\n", a);
    redisContext *sen = serve(s, lines, true);
    snprintf(where, sizeof where, "127.0.0.1:%d", s);
    const char *const sentinels[] = {"127.0.0.1:1", where, NULL}; /* the first one is down */
    conf.redis_sentinels = sentinels;
    conf.redis_master = "gh";
    open_ledger();
    append_soon(LED_SESSION);
    for (bool knows = false; !knows;) { /* the replica, which it learns of from the primary */
        redisReply *r = redisCommand(sen, "SENTINEL replicas gh");
        knows = r->type == REDIS_REPLY_ARRAY && r->elements == 1;
        freeReplyObject(r);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    ck_assert_int_eq(number(primary, "XLEN gatehouse:audit:s"), 1);
    struct led_place place;
    ck_assert(led_find_now(&conf, &place, err, sizeof err));
    ck_assert_int_eq(place.port, a);
    conf.redis_master = "other";
    ck_assert(!led_find_now(&conf, &place, err, sizeof err));
    ck_assert_msg(strstr(err, "knows no master other") != NULL, "%s", err);
    kill(pids[0], SIGKILL);
    append_soon(LED_SESSION);
    ck_assert_int_eq(redisReconnect(replica), REDIS_OK); /* Sentinel closes what is connected when it promotes */
    redisReply *r = redisCommand(replica, "ROLE");
    ck_assert_str_eq(r->element[0]->str, "master");
    freeReplyObject(r);
    ck_assert_int_ge(number(replica, "XLEN gatehouse:audit:s"), 2);
    redisFree(primary);
    redisFree(replica);
    redisFree(sen);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_places");
    TCase *t = tcase_create("ledger_places");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_prefix);
    tcase_add_test(t, cluster);
    tcase_add_test(t, sentinel);
    suite_add_tcase(s, t);
    return run_suite(s);
}
