/* Workers that hear Redis themselves, with everything in their way: answers in pieces, none, garbage, a connection that is closed, one that comes again under the same
 * number as something else, children that inherit it, workers that hang or end. Whatever happens each append is answered, once and in time, and what was
 * answered LED_OK is in Redis, once, in order. */
#include "t/spoa/ledger_fixture.h"

#include "spoa/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- what stands between the ledger and Redis ---- */

enum way { WAY_PASS, WAY_PIECES, WAY_HANG, WAY_CLOSE, WAY_HALF, WAY_GARBAGE, WAYS };

struct relay {
    char path[96];
    int listener;
    pthread_t thread;
    _Atomic int way; /* WAY_CLOSE, WAY_HALF and WAY_GARBAGE become WAY_PASS once they have happened */
    _Atomic bool end;
    _Atomic unsigned answers;
};

static int unix_socket(const char *path, bool listens) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    ck_assert_int_ge(fd, 0);
    if (listens) {
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        ck_assert_int_eq(listen(fd, 16), 0);
    } else if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool put_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* What Redis said goes to the ledger. False: the connection is at its end. */
static bool answer_by(struct relay *r, int to, const char *p, size_t n) {
    int way = atomic_load(&r->way);
    atomic_fetch_add(&r->answers, 1);
    if (way == WAY_PIECES) {
        for (size_t i = 0; i < n; i += 23) {
            if (!put_all(to, p + i, n - i < 23 ? n - i : 23)) return false;
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        }
        return true;
    }
    if (way == WAY_CLOSE || way == WAY_HALF || way == WAY_GARBAGE) {
        atomic_compare_exchange_strong(&r->way, &way, WAY_PASS);
        if (way == WAY_CLOSE) return false;
        if (way == WAY_HALF) {
            (void)put_all(to, p, n / 2);
            return false;
        }
        return put_all(to, "%what\r\n", 7) && put_all(to, p, n);
    }
    return put_all(to, p, n);
}

static void carry(struct relay *r, int ledger) {
    static char text[1 << 16];
    int redis = unix_socket(rds.sock, false);
    while (redis >= 0 && !atomic_load(&r->end)) {
        bool hangs = atomic_load(&r->way) == WAY_HANG;
        struct pollfd fds[] = {{.fd = ledger, .events = POLLIN}, {.fd = hangs ? -1 : redis, .events = POLLIN}};
        ssize_t n;
        if (poll(fds, 2, 5) < 0) break;
        if (fds[0].revents != 0) {
            n = read(ledger, text, sizeof text);
            if (n <= 0 || !put_all(redis, text, (size_t)n)) break;
        }
        if (fds[1].revents != 0) {
            n = read(redis, text, sizeof text);
            if (n <= 0 || !answer_by(r, ledger, text, (size_t)n)) break;
        }
    }
    if (redis >= 0) close(redis);
    close(ledger);
}

static void *relay_main(void *arg) {
    struct relay *r = arg;
    while (!atomic_load(&r->end)) {
        struct pollfd p = {.fd = r->listener, .events = POLLIN};
        if (poll(&p, 1, 20) != 1) continue;
        int fd = accept(r->listener, NULL, NULL);
        if (fd >= 0) carry(r, fd);
    }
    return NULL;
}

static void relay_start(struct relay *r) {
    memset(r, 0, sizeof *r);
    snprintf(r->path, sizeof r->path, "%s/relay", rds.dir);
    r->listener = unix_socket(r->path, true);
    conf.redis_socket = r->path;
    ck_assert_int_eq(pthread_create(&r->thread, NULL, relay_main, r), 0);
}

static void relay_end(struct relay *r) {
    atomic_store(&r->end, true);
    pthread_join(r->thread, NULL);
    close(r->listener);
}

/* ---- who appends ---- */

#define MOST 200000
struct agent {
    struct wmsg msg, extra;
    struct worker *w;
    char session[16];
    uint64_t n, sent_at, longest, oks;
    uint8_t *status; /* by number: 0 not appended, 1 waits, 2 + led_status */
    bool twice, lazy_too;
    unsigned hangs; /* after each so many answers for a while */
    _Atomic bool end;
    sem_t ended;
};

static void agent_answered(void *arg, enum led_status status) {
    struct agent *a = arg;
    if (a->status[a->n] != 1) a->twice = true;
    a->status[a->n] = (uint8_t)(2 + status);
    worker_post(a->w, &a->msg);
}

static void agent_on(struct worker *w, struct wmsg *m) {
    struct agent *a = (struct agent *)(void *)m;
    char text[24];
    (void)w;
    if (a->n > 0) {
        uint64_t took = ms() - a->sent_at;
        if (took > a->longest) a->longest = took;
        if (a->status[a->n] == 2 + LED_OK)
            a->oks++;
        else
            nap(1);
        if (a->hangs != 0 && a->n % a->hangs == 0) nap(12);
    }
    if (atomic_load(&a->end) || a->n + 1 >= MOST) {
        sem_post(&a->ended);
        return;
    }
    struct led_field f = {"n", text, (size_t)snprintf(text, sizeof text, "%" PRIu64, ++a->n), NULL};
    a->status[a->n] = 1;
    a->sent_at = ms();
    led_append(led, &(struct led_event){LED_SESSION, a->session, "statement", &f, 1, false}, agent_answered, a);
    if (!a->lazy_too) return;
    f = (struct led_field){"n", "0", 1, NULL};
    led_append(led, &(struct led_event){LED_SESSION, a->session, "result", &f, 1, true}, NULL, NULL);
}

static void agent_start(struct agent *a, const char *session, bool hears) {
    snprintf(a->session, sizeof a->session, "%s", session);
    a->msg.run = agent_on;
    a->status = calloc(MOST, 1);
    sem_init(&a->ended, 0, 0);
    ck_assert(worker_start(&a->w, &(struct worker_conf){.stack = 1u << 20, .hears = hears}));
    worker_post(a->w, &a->msg);
}

/* Every answer has come; the worker ends. */
static void agent_end(struct agent *a) {
    struct timespec t;
    atomic_store(&a->end, true);
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 20;
    while (sem_timedwait(&a->ended, &t) < 0) ck_assert_msg(errno == EINTR, "%s: append %" PRIu64 " is never answered", a->session, a->n);
    worker_stop(a->w);
    worker_join(a->w);
    worker_free(a->w);
    sem_destroy(&a->ended);
    ck_assert_msg(!a->twice, "%s: answered twice", a->session);
}

/* In Redis is, in order and once, whatever was answered LED_OK, and nothing that never was appended. */
static void agent_check(struct agent *a) {
    char key[64];
    snprintf(key, sizeof key, "gatehouse:audit:%s", a->session);
    redisReply *p = redis_do(&rds, "XRANGE %s - +", key);
    uint64_t last = 0;
    for (size_t i = 0; i < p->elements; i++) {
        if (strcmp(field(p->element[i], "type"), "statement") != 0) continue;
        uint64_t n = strtoull(field(p->element[i], "n"), NULL, 10);
        ck_assert_msg(n > last && n <= a->n, "%s: %" PRIu64 " behind %" PRIu64, a->session, n, last);
        for (uint64_t x = last + 1; x < n; x++) ck_assert_msg(a->status[x] != 2 + LED_OK, "%s: %" PRIu64 " is missing", a->session, x);
        last = n;
    }
    for (uint64_t x = last + 1; x <= a->n; x++) ck_assert_msg(a->status[x] != 2 + LED_OK, "%s: %" PRIu64 " is missing", a->session, x);
    freeReplyObject(p);
    free(a->status);
}

/* ---- what else the process does ---- */

static _Atomic bool restless;

/* Takes and gives back descriptors all the time, so that one that was closed comes again as something else, and has children that inherit whatever is open. */
static void *take_descriptors(void *arg) {
    unsigned seed = 1;
    (void)arg;
    while (atomic_load(&restless)) {
        int p[2], q[2];
        if (pipe(p) != 0 || pipe(q) != 0) break;
        if (write(p[1], "x", 1) != 1) break;
        if (rand_r(&seed) % 16 == 0) {
            pid_t pid = fork();
            if (pid == 0) {
                usleep(3000);
                _exit(0);
            }
            waitpid(pid, NULL, 0);
        } else
            nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
        close(p[0]);
        close(p[1]);
        close(q[0]);
        close(q[1]);
    }
    return NULL;
}

/* Redis is there, however long this machine takes for that. */
static void begin(void) {
    enum led_status status = LED_UNAVAILABLE;
    for (uint64_t n = 1; n <= 100 && status != LED_OK; n++) status = append_wait("m", n);
    ck_assert_int_eq(status, LED_OK);
}

static unsigned how_long(void) {
    const char *s = getenv("GH_HEAR_MS");
    return s != NULL ? (unsigned)atoi(s) : 1500;
}

/* ---- the tests ---- */

/* Nothing is in the way, but for a worker that cannot hear beside one that does, and one that hangs: nobody waits until a thread happens to look. */
START_TEST(undisturbed) {
    static struct agent a[3];
    open_ledger();
    begin();
    a[0].lazy_too = true;
    a[2].hangs = 50;
    agent_start(&a[0], "hears", true);
    agent_start(&a[1], "deaf", false);
    agent_start(&a[2], "hangs", true);
    nap(how_long());
    for (int i = 0; i < 3; i++) agent_end(&a[i]);
    close_ledger(10000);
    for (int i = 0; i < 3; i++) {
        printf("%s: %" PRIu64 " appends, the longest took %" PRIu64 " ms\n", a[i].session, a[i].n, a[i].longest);
        ck_assert_uint_eq(a[i].oks, a[i].n);
        agent_check(&a[i]);
    }
}
END_TEST

struct obstacles {
    const char *name;
    uint64_t timeout;
    bool restarts, full_disk;
    enum led_mode mode;
    uint64_t max_unshipped, segment_bytes;
    bool fsync;
};
static const struct obstacles obstacles[] = {
    {.name = "the way to Redis", .timeout = 300},
    {.name = "Redis that restarts with what it had a while ago", .timeout = 300, .restarts = true},
    {.name = "a disk that is full", .timeout = 300, .full_disk = true},
    {.name = "small files, and little that may wait", .timeout = 300, .segment_bytes = 20000, .max_unshipped = 3000},
    {.name = "journal mode", .timeout = 300, .mode = LED_JOURNAL, .max_unshipped = 100000},
    {.name = "fsync", .timeout = 300, .fsync = true},
};

static void full_disk(bool full) {
    static struct rlimit was;
    if (was.rlim_max == 0) getrlimit(RLIMIT_FSIZE, &was);
    setrlimit(RLIMIT_FSIZE, full ? &(struct rlimit){1, was.rlim_max} : &was);
}

static void disturb(struct relay *r, const struct obstacles *o, uint64_t ends) {
    unsigned seed = (unsigned)time(NULL);
    while (ms() < ends) {
        int way = rand_r(&seed) % WAYS;
        if (way == WAY_HANG && rand_r(&seed) % 4 != 0) way = WAY_PIECES;
        atomic_store(&r->way, way);
        nap(way == WAY_HANG ? rand_r(&seed) % (int)(2 * o->timeout) : rand_r(&seed) % 100);
        atomic_store(&r->way, WAY_PASS);
        if (o->restarts && rand_r(&seed) % 4 == 0) {
            redis_run(&rds, "SAVE");
            nap(rand_r(&seed) % 20);
            redis_kill(&rds);
            redis_start(&rds, 0);
        }
        if (o->full_disk && rand_r(&seed) % 2 == 0) {
            full_disk(true);
            nap(rand_r(&seed) % 50);
            full_disk(false);
        }
        nap(rand_r(&seed) % 3 == 0 ? 0 : 200);
    }
    atomic_store(&r->way, WAY_PASS);
}

START_TEST(disturbed) {
    static struct agent a[4];
    const struct obstacles *o = &obstacles[_i];
    struct relay r;
    pthread_t fds;
    signal(SIGXFSZ, SIG_IGN);
    conf.timeout_ms = o->timeout;
    conf.mode = o->mode;
    conf.max_unshipped = o->max_unshipped;
    conf.segment_bytes = o->segment_bytes;
    conf.fsync = o->fsync;
    relay_start(&r);
    open_ledger();
    begin();
    atomic_store(&restless, true);
    ck_assert_int_eq(pthread_create(&fds, NULL, take_descriptors, NULL), 0);
    a[0].lazy_too = true;
    a[1].hangs = 100;
    agent_start(&a[0], "w0", true);
    agent_start(&a[1], "w1", true);
    agent_start(&a[2], "w2", true);
    agent_start(&a[3], "deaf", false);
    disturb(&r, o, ms() + how_long());
    for (int i = 0; i < 4; i++) agent_end(&a[i]);
    atomic_store(&restless, false);
    pthread_join(fds, NULL);
    wait_healthy(true);
    ck_assert(led_wait(led, 10000));
    close_ledger(10000);
    relay_end(&r);
    printf("%s\n", o->name);
    for (int i = 0; i < 4; i++) {
        printf("  %s: %" PRIu64 " appends, %" PRIu64 " recorded, the longest took %" PRIu64 " ms\n", a[i].session, a[i].n, a[i].oks,
               a[i].longest);
        ck_assert_uint_gt(a[i].oks, 10);
        ck_assert_uint_lt(a[i].longest, o->timeout + 5000);
        agent_check(&a[i]);
    }
}
END_TEST

/* Workers end while they are to hear, and others come. */
START_TEST(workers_come_and_go) {
    static struct agent stays, goes[40];
    open_ledger();
    begin();
    agent_start(&stays, "stays", true);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "goes%d", i);
        agent_start(&goes[i], name, i % 3 != 0);
        nap(5);
        worker_stop(goes[i].w); /* with an append under way: its answer goes to who has ended */
        worker_join(goes[i].w);
    }
    agent_end(&stays);
    close_ledger(10000);
    ck_assert_uint_eq(stays.oks, stays.n);
    ck_assert_uint_lt(stays.longest, 1000);
    agent_check(&stays);
    for (int i = 0; i < 40; i++) {
        worker_free(goes[i].w);
        sem_destroy(&goes[i].ended);
        ck_assert(!goes[i].twice && (goes[i].n == 0 || goes[i].status[goes[i].n] == 2 + LED_OK));
        agent_check(&goes[i]);
    }
}
END_TEST

/* The ledger closes, with Redis hanging, while a worker that has ended was to hear. */
START_TEST(closes_while_it_waits) {
    for (int round = 0; round < 5; round++) {
        static struct agent a;
        char name[16];
        memset(&a, 0, sizeof a);
        conf.timeout_ms = 60000;
        open_ledger();
        snprintf(name, sizeof name, "c%d", round);
        begin();
        agent_start(&a, name, true);
        nap(30);
        kill(rds.pid, SIGSTOP);
        nap(30);
        worker_stop(a.w);
        worker_join(a.w);
        uint64_t start = ms();
        close_ledger(round == 4 ? 0 : 100);
        uint64_t took = ms() - start;
        kill(rds.pid, SIGCONT);
        ck_assert_uint_lt(took, 2000);
        ck_assert_uint_eq(a.status[a.n], 2 + LED_UNAVAILABLE);
        worker_free(a.w);
        sem_destroy(&a.ended);
        agent_check(&a);
    }
}
END_TEST

/* One append each of several workers, in the same moment, when all have rested for a while: nothing comes behind them that would wake who has slept through it. */
#define RESTED 4
struct rested {
    struct wmsg msg, hang;
    uint64_t n;
    long hang_us, hangs_us; /* as it is told, and as the worker goes by */
    sem_t answered;
    enum led_status status;
};

static void rested_answered(void *arg, enum led_status status) {
    struct rested *a = arg;
    a->status = status;
    sem_post(&a->answered);
}

static void hang_for(struct worker *w, struct wmsg *m) {
    const struct rested *a = (const struct rested *)worker_data(w);
    (void)m;
    nanosleep(&(struct timespec){.tv_nsec = a->hangs_us * 1000}, NULL);
}

static void append_rested(struct worker *w, struct wmsg *m) {
    struct rested *a = worker_data(w);
    char session[16], text[24];
    (void)m;
    a->hangs_us = a->hang_us;
    snprintf(session, sizeof session, "r%u", worker_index(w));
    struct led_field f = {"n", text, (size_t)snprintf(text, sizeof text, "%" PRIu64, a->n), NULL};
    led_append(led, &(struct led_event){LED_SESSION, session, "statement", &f, 1, false}, rested_answered, a);
    if (a->hangs_us > 0) worker_post(w, &a->hang);
}

START_TEST(after_a_rest) {
    static struct rested a[RESTED];
    static const long rests[] = {0, 0, 1, 6, 12, 20};
    struct worker *w[RESTED];
    unsigned seed = (unsigned)time(NULL), rounds = how_long() / 5;
    uint64_t longest = 0;
    conf.timeout_ms = 5000;
    open_ledger();
    begin();
    for (unsigned i = 0; i < RESTED; i++) {
        a[i] = (struct rested){.msg.run = append_rested, .hang.run = hang_for};
        sem_init(&a[i].answered, 0, 0);
        ck_assert(worker_start(&w[i], &(struct worker_conf){.index = i, .stack = 1u << 20, .data = &a[i], .hears = i > 0}));
    }
    for (unsigned round = 1; round <= rounds; round++) {
        uint64_t start = ms();
        for (unsigned i = 0; i < RESTED; i++) {
            a[i].n = round;
            a[i].hang_us = rand_r(&seed) % 8 == 0 ? rand_r(&seed) % 8000 : 0;
            worker_post(w[i], &a[i].msg);
        }
        for (unsigned i = 0; i < RESTED; i++) {
            while (sem_wait(&a[i].answered) < 0) continue;
            ck_assert_int_eq(a[i].status, LED_OK);
        }
        if (ms() - start > longest) longest = ms() - start;
        nap(rests[rand_r(&seed) % 6]);
    }
    for (unsigned i = 0; i < RESTED; i++) {
        worker_stop(w[i]);
        worker_join(w[i]);
        worker_free(w[i]);
    }
    close_ledger(10000);
    printf("after a rest: the longest took %" PRIu64 " ms\n", longest);
    ck_assert_uint_lt(longest, 1000);
    for (unsigned i = 0; i < RESTED; i++) {
        char key[40];
        snprintf(key, sizeof key, "gatehouse:audit:r%u", i);
        expect(key, "statement", 1, rounds);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_hear");
    TCase *t = tcase_create("ledger_hear");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, undisturbed);
    tcase_add_test(t, after_a_rest);
    tcase_add_loop_test(t, disturbed, 0, (int)(sizeof obstacles / sizeof *obstacles));
    tcase_add_test(t, workers_come_and_go);
    tcase_add_test(t, closes_while_it_waits);
    suite_add_tcase(s, t);
    return run_suite(s);
}
