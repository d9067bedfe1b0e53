/* Messages to a worker: all of them, in order, on its thread, and those posted before the stop too. */
#include "spoa/worker.h"
#include "t/lib/guard.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define POSTERS 4
#define EACH    2000

struct note {
    struct wmsg msg;
    int poster, number;
};

static int last[POSTERS]; /* the worker's thread only, until it is joined */
static int total;
static pthread_t ran_on;
static bool disordered, began, ended;
static struct worker *made;

static void run_note(struct worker *w, struct wmsg *m) {
    struct note *n = (struct note *)(void *)m;
    if (n->number != last[n->poster] + 1 || !pthread_equal(ran_on, pthread_self()) || worker_data(w) != &total) disordered = true;
    last[n->poster] = n->number;
    total++;
    free(n);
}

static void on_start(struct worker *w) {
    began = made == w;
    ran_on = pthread_self();
}
static void on_end(struct worker *w) {
    (void)w;
    ended = true;
}

struct poster {
    struct worker *w;
    int number;
};

static void *post_all(void *arg) {
    struct poster *p = arg;
    for (int i = 1; i <= EACH; i++) {
        struct note *n = calloc(1, sizeof *n);
        if (n == NULL) abort();
        *n = (struct note){{NULL, run_note}, p->number, i};
        worker_post(p->w, &n->msg);
    }
    return NULL;
}

START_TEST(messages) {
    struct worker_conf conf = {.index = 3, .stack = 1u << 20, .start = on_start, .end = on_end, .data = &total};
    ck_assert(worker_start(&made, &conf));
    struct worker *w = made;
    ck_assert_uint_eq(worker_index(w), 3);
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){w, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    for (int i = 0; i < POSTERS; i++) pthread_join(threads[i], NULL);
    worker_stop(w);
    worker_join(w);
    ck_assert(began && ended && !disordered);
    ck_assert_int_eq(total, POSTERS * EACH);
    worker_free(w);
}
END_TEST

/* A message that posts itself again waits for the next turn: the loop is not starved, and the stop still comes. */
static void run_again(struct worker *w, struct wmsg *m) {
    total++;
    if (total < 100)
        worker_post(w, m);
    else
        worker_stop(w);
}

START_TEST(again) {
    struct worker_conf conf = {.stack = 1u << 20};
    struct wmsg m = {NULL, run_again};
    total = 0;
    struct worker *w;
    ck_assert(worker_start(&w, &conf));
    worker_post(w, &m);
    worker_join(w);
    ck_assert_int_eq(total, 100);
    worker_free(w);
}
END_TEST

/* What is put off runs once behind the round, on the worker's thread; also when the loop ends with that round. */
static int put_off;
static struct wmsg word;

static void run_other(void *arg) { (void)arg; }

static void run_off(void *arg) {
    struct worker *w = arg;
    if (!pthread_equal(ran_on, pthread_self())) disordered = true;
    if (++put_off == 1) worker_post(w, &word);
}

static void run_word(struct worker *w, struct wmsg *m) {
    (void)m;
    int before = put_off;
    for (int i = 0; i < 3; i++)
        if (!worker_defer(run_off, w)) disordered = true;
    if (worker_defer(run_other, w) || put_off != before) disordered = true;
    if (++total == 2) worker_stop(w);
}

START_TEST(put_off_to_the_end) {
    struct worker_conf conf = {.stack = 1u << 20, .start = on_start};
    total = 0;
    word = (struct wmsg){NULL, run_word};
    ck_assert(!worker_defer(run_other, NULL));
    struct worker *w;
    ck_assert(worker_start(&w, &conf));
    worker_post(w, &word);
    worker_join(w);
    ck_assert_int_eq(total, 2);
    ck_assert_int_eq(put_off, 2);
    ck_assert(!disordered);
    worker_free(w);
}
END_TEST

/* A descriptor is heard once for each time that it was asked for, by the worker that asked; one that was closed and came again under its number, too. */
static int ends[2], heard;
static struct wmsg ask;

static void run_heard(void *arg) {
    struct worker *w = arg;
    char c;
    if (!pthread_equal(ran_on, pthread_self())) disordered = true;
    heard++;
    if (heard < 3) { /* still readable: asked again, it is called again */
        worker_post(w, &ask);
        return;
    }
    if (read(ends[0], &c, 1) != 1) disordered = true;
    if (heard == 3) {
        close(ends[0]);
        close(ends[1]);
        if (pipe(ends) != 0) disordered = true;
        worker_post(w, &ask);
        if (write(ends[1], "x", 1) != 1) disordered = true;
    } else
        worker_stop(w);
}

static void run_ask(struct worker *w, struct wmsg *m) {
    (void)m;
    if (!worker_hear(ends[0], run_heard, w) || worker_hear(ends[0], run_other, w)) disordered = true;
}

START_TEST(hears) {
    struct worker_conf conf = {.stack = 1u << 20, .start = on_start, .hears = true};
    ask = (struct wmsg){NULL, run_ask};
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert(!worker_hear(ends[0], run_other, NULL));
    struct worker *w;
    ck_assert(worker_start(&w, &conf));
    worker_post(w, &ask);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    worker_join(w);
    ck_assert_int_eq(heard, 4);
    ck_assert(!disordered);
    worker_free(w);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void run_deaf(struct worker *w, struct wmsg *m) {
    (void)m;
    if (worker_hear(ends[0], run_heard, w)) disordered = true;
    worker_stop(w);
}

START_TEST(hears_only_where_it_said_so) {
    struct worker_conf conf = {.stack = 1u << 20};
    struct wmsg m = {NULL, run_deaf};
    ck_assert_int_eq(pipe(ends), 0);
    struct worker *w;
    ck_assert(worker_start(&w, &conf));
    worker_post(w, &m);
    worker_join(w);
    worker_free(w);
    ck_assert(!disordered);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(void) {
    Suite *s = suite_create("worker");
    TCase *t = tcase_create("worker");
    tcase_add_test(t, messages);
    tcase_add_test(t, again);
    tcase_add_test(t, put_off_to_the_end);
    tcase_add_test(t, hears);
    tcase_add_test(t, hears_only_where_it_said_so);
    suite_add_tcase(s, t);
    return run_suite(s);
}
