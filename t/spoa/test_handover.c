/* The handover's messages and packets, and what they carry: tickets and the state of a SPOP connection. */
#include <config.h>

#include "spoa/handover_int.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ho_msg in, out;
static const char *why;

/* Writes in, reads it to out from memory that ends where the packet does. */
static size_t round_trip(void) {
    struct buf b = BUF_INIT(HO_PACKET_MAX);
    ho_put(&b, &in);
    ck_assert(!b.failed);
    size_t n = buf_used(&b);
    uint8_t *p = guard_copy(buf_at(&b), n);
    memset(&out, 0xaa, sizeof out);
    ck_assert_int_eq(ho_get(p, n, &out, &why), GH_OK);
    ck_assert_int_eq(out.type, in.type);
    for (size_t cut = 0; cut < n; cut += 1 + n / 256) { /* none of its beginnings is read beyond its end */
        static struct ho_msg part;
        uint8_t *q = guard_copy(p, cut);
        enum gh_rc rc = ho_get(q, cut, &part, &why);
        bool free_text = in.type == HO_REFUSE || in.type == HO_SPOP || in.type == HO_CANCEL;
        ck_assert(rc != GH_OK || free_text);
        guard_free(q, cut);
    }
    buf_u8(&b, 0);
    if (in.type != HO_SPOP) ck_assert_int_ne(ho_get(buf_at(&b), n + 1, &out, &why), GH_OK);
    ck_assert_int_eq(ho_get(p, n, &out, &why), GH_OK);
    if (in.type == HO_SPOP) ck_assert_mem_eq(out.spop.bytes, in.spop.bytes, in.spop.len);
    guard_free(p, n);
    buf_free(&b);
    return n;
}

START_TEST(every_message) {
    in = (struct ho_msg){.type = HO_HELLO, .hello = {HO_VERSION, 77, "0.1.0"}};
    round_trip();
    ck_assert_uint_eq(out.hello.pid, 77);
    ck_assert_str_eq(out.hello.program, "0.1.0");
    in = (struct ho_msg){.type = HO_OFFER, .offer = {78, "0.2.0", {1, UINT64_MAX}, {3, 4}}};
    round_trip();
    ck_assert(out.offer.spop.dev == 1 && out.offer.spop.ino == UINT64_MAX && out.offer.payload.dev == 3 && out.offer.payload.ino == 4);
    in = (struct ho_msg){.type = HO_REFUSE, .refuse = {"not now"}};
    round_trip();
    ck_assert_str_eq(out.refuse.text, "not now");
    in = (struct ho_msg){.type = HO_KEY, .key = {.nfds = 3, .fds = {HO_FD_SPOP, HO_FD_PAYLOAD, HO_FD_HANDOVER}}};
    memset(in.key.secret, 7, sizeof in.key.secret);
    round_trip();
    ck_assert_uint_eq(out.key.nfds, 3);
    ck_assert_mem_eq(out.key.secret, in.key.secret, sizeof in.key.secret);
    in = (struct ho_msg){.type = HO_USED, .used = {.n = 2}};
    memset(in.used.entries[1].mac, 9, sizeof in.used.entries[1].mac);
    in.used.entries[1].expiry = 1ull << 40;
    round_trip();
    ck_assert_uint_eq(out.used.n, 2);
    ck_assert_uint_eq(out.used.entries[1].expiry, 1ull << 40);
    in = (struct ho_msg){.type = HO_END, .end = {2, 1ull << 41}};
    round_trip();
    ck_assert(out.end.total == 2 && out.end.now_ms == 1ull << 41);
    in = (struct ho_msg){.type = HO_SPOP, .spop = {16380, true, false, (const uint8_t *)"abc", 3}};
    round_trip();
    ck_assert(out.spop.frame_size == 16380 && out.spop.ready && !out.spop.pipelining && out.spop.len == 3);
    in = (struct ho_msg){.type = HO_CANCEL, .cancel = {5, 0xffffffff, "2001:db8::1"}};
    round_trip();
    ck_assert(out.cancel.pid == 5 && out.cancel.secret == 0xffffffff);
    ck_assert_str_eq(out.cancel.src, "2001:db8::1");
    const enum ho_type bare[] = {HO_TAKE, HO_READY, HO_GO, HO_RELOAD};
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++) {
        in = (struct ho_msg){.type = bare[i]};
        ck_assert_uint_eq(round_trip(), 1);
    }
}
END_TEST

START_TEST(a_full_packet_of_tickets) {
    in = (struct ho_msg){.type = HO_USED, .used = {.n = HO_USED_MAX}};
    ck_assert_uint_le(round_trip(), HO_PACKET_MAX);
    uint8_t more[] = {HO_USED, (HO_USED_MAX + 1) >> 8, (HO_USED_MAX + 1) & 0xff};
    ck_assert_int_eq(ho_get(more, sizeof more, &out, &why), GH_MALFORMED);
}
END_TEST

START_TEST(what_is_refused) {
    static const struct {
        const char *bytes;
        size_t len;
        enum gh_rc rc;
    } bad[] = {
        {"", 0, GH_MALFORMED},
        {"\0", 1, GH_UNSUPPORTED},
        {"\x0d", 1, GH_UNSUPPORTED},
        {"\x01GHHX\0\1\0\0\0\1\0", 12, GH_MALFORMED},    /* another magic */
        {"\x01GHHO\0\1\0\0\0\1\2a\n", 14, GH_MALFORMED}, /* what would break a log line */
        {"\x03"
         "bad \x1b[31m",
         10, GH_MALFORMED},
        {"\x0a\0\0\1\0\4", 6, GH_MALFORMED},       /* a flag that is not known */
        {"\x0b\0\0\0\1\0\0\0\1", 9, GH_MALFORMED}, /* a cancel from nowhere */
        {"\x0b\0\0\0\1\0\0\0\1"
         "0123456789012345678901234567890123456789012345",
         55, GH_MALFORMED}, /* an address too long */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why = NULL;
        ck_assert_msg(ho_get(bad[i].bytes, bad[i].len, &out, &why) == bad[i].rc, "message %zu", i);
        ck_assert_ptr_nonnull(why);
    }
    /* Another version's greeting is understood as that, whatever follows. */
    ck_assert_int_eq(ho_get("\x01GHHO\0\2what follows", 19, &out, &why), GH_OK);
    ck_assert_uint_eq(out.hello.version, 2);
}
END_TEST

static int open_fds(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

START_TEST(packets) {
    static struct ho_packet p;
    int s[2], before = open_fds();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
    in = (struct ho_msg){.type = HO_SPOP, .spop = {16380, true, true, NULL, 0}};
    int fds[HO_FDS];
    for (size_t i = 0; i < HO_FDS; i++) fds[i] = 0;
    ck_assert_int_eq(ho_recv(s[1], &p), HO_IO_AGAIN);
    ck_assert_int_eq(ho_recv_wait(s[1], &p, 10), HO_IO_AGAIN);
    ck_assert_int_eq(ho_send(s[0], &in, fds, HO_FDS), HO_IO_OK);
    ck_assert_int_eq(ho_recv_wait(s[1], &p, 1000), HO_IO_OK);
    ck_assert_uint_eq(p.nfds, HO_FDS);
    ho_packet_done(&p);
    ck_assert_int_eq(open_fds(), before + 2);
    /* too long; more descriptors than there is room for; an empty packet, which is as good as an end */
    static char big[HO_PACKET_MAX + 1];
    ck_assert_int_eq(send(s[0], big, sizeof big, 0), sizeof big);
    ck_assert_int_eq(ho_recv(s[1], &p), HO_IO_BAD);
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 40)];
    } control = {0};
    struct iovec v = {big, 1};
    struct msghdr msg = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int) * 40)};
    ck_assert_int_eq(sendmsg(s[0], &msg, 0), 1);
    ck_assert_int_eq(ho_recv(s[1], &p), HO_IO_BAD);
    ck_assert_int_eq(open_fds(), before + 2);
    /* nobody reads: the sender is told, and does not wait */
    enum ho_io rc = HO_IO_OK;
    for (int i = 0; i < 100000 && rc == HO_IO_OK; i++) rc = ho_send(s[0], &in, NULL, 0);
    ck_assert_int_eq(rc, HO_IO_AGAIN);
    while (ho_recv(s[1], &p) == HO_IO_OK) ho_packet_done(&p);
    close(s[0]);
    ck_assert_int_eq(ho_recv(s[1], &p), HO_IO_GONE);
    ck_assert_int_eq(ho_send(s[1], &in, NULL, 0), HO_IO_GONE);
    close(s[1]);
    ck_assert_int_eq(open_fds(), before);
}
END_TEST

static enum ticket_rc check(const struct ticket_key *k, struct ticket_used *u, const char *text, uint64_t now) {
    struct ticket t;
    return ticket_check(k, u, text, strlen(text), "192.0.2.1", 5, now, &t);
}

/* A peer that leaves with something unread: what it said before is not lost with it. */
START_TEST(a_peer_that_leaves_unread) {
    static struct ho_packet p;
    int s[2], fd = dup(0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
    in = (struct ho_msg){.type = HO_SPOP, .spop = {.frame_size = 16380, .ready = true}};
    ck_assert_int_eq(ho_send(s[1], &in, &fd, 1), HO_IO_OK);
    ck_assert_int_eq(ho_send(s[1], &in, &fd, 1), HO_IO_OK);
    in = (struct ho_msg){.type = HO_RELOAD};
    ck_assert_int_eq(ho_send(s[0], &in, NULL, 0), HO_IO_OK);
    close(s[1]);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ho_recv(s[0], &p), HO_IO_OK);
        ck_assert_uint_eq(p.nfds, 1);
        ho_packet_done(&p);
    }
    ck_assert_int_eq(ho_recv(s[0], &p), HO_IO_GONE);
    close(s[0]);
    close(fd);
}
END_TEST

START_TEST(tickets_over_two_processes) {
    struct ticket_key *old = ticket_key_new();
    struct ticket_used *used = ticket_used_new(8), *there = ticket_used_new(8);
    struct ticket t = {.verdict = TICKET_ALLOW};
    char text[6][TICKET_SIZE];
    uint8_t secret[TICKET_KEY_LEN];
    for (size_t i = 0; i < 6; i++) {
        ck_assert(sid_make(1700000000000, t.sid));
        ck_assert(ticket_make(old, 1000, 5000, "192.0.2.1", 5, &t, text[i]));
    }
    for (size_t i = 0; i < 4; i++) ck_assert_int_eq(check(old, used, text[i], 2000), TICKET_OK);
    ticket_key_copy(old, secret);
    struct ticket_key *new = ticket_key_of(secret);
    struct ticket_use part[3];
    uint64_t now = 0;
    ck_assert_uint_eq(ticket_used_copy(used, 0, part, 3, &now), 3);
    ck_assert_uint_eq(now, 2000);
    for (size_t i = 0; i < 3; i++) ck_assert(ticket_used_add(there, &part[i]));
    ck_assert(!ticket_used_add(there, &part[0]));
    ck_assert_uint_eq(ticket_used_copy(used, 3, part, 3, NULL), 1);
    ck_assert(ticket_used_add(there, &part[0]));
    ck_assert_uint_eq(ticket_used_copy(used, 4, part, 3, NULL), 0);
    ticket_used_now(there, now);
    for (size_t i = 0; i < 4; i++) ck_assert_int_eq(check(new, there, text[i], 2000), TICKET_REUSED);
    ck_assert_int_eq(check(new, there, text[4], 2000), TICKET_OK);
    ck_assert_int_eq(check(new, there, text[4], 2000), TICKET_REUSED);
    ck_assert_int_eq(check(new, there, text[5], 6000), TICKET_EXPIRED);
    ck_assert_int_eq(check(new, there, text[5], 2000), TICKET_EXPIRED); /* a clock that steps back revives nothing */
    struct ticket_used *small = ticket_used_new(1);
    ck_assert_uint_eq(ticket_used_copy(used, 0, part, 2, NULL), 2);
    ck_assert(ticket_used_add(small, &part[0]));
    ck_assert(!ticket_used_add(small, &part[1]));
    ticket_used_free(small);
    ticket_used_free(used);
    ticket_used_free(there);
    ticket_key_free(old);
    ticket_key_free(new);
}
END_TEST

static void feed(struct spop_agent *a, const uint8_t *p, size_t n) {
    while (n > 0) {
        size_t took = spop_agent_feed(a, p, n);
        ck_assert_uint_gt(took, 0);
        p += took;
        n -= took;
    }
}

START_TEST(a_spop_connection_goes_on_elsewhere) {
    static const uint8_t hello[] = "\0\0\0\x4c\x01\0\0\0\x01\0\0\x12supported-versions\x08\x03"
                                   "2.0\x0emax-frame-size\x03\xfc\xf0\x06"
                                   "\x0c"
                                   "capabilities\x08\x0apipelining";
    static const uint8_t notify[] = "\0\0\0\x0f\x03\0\0\0\x01\x05\x06\x01x\x01\x01y\x02\x07";
    struct spop_event ev;
    struct spop_agent_state st;
    size_t hello_len = 4 + 0x4c, notify_len = sizeof notify - 1;
    struct buf b = BUF_INIT(200);
    buf_put(&b, hello, sizeof hello - 1);
    buf_patch_be32(&b, 0, (uint32_t)(sizeof hello - 1 - 4));
    hello_len = sizeof hello - 1;
    uint8_t frame[64];
    memcpy(frame, notify, notify_len);
    frame[3] = (uint8_t)(notify_len - 4);
    struct spop_agent *a = spop_agent_new(NULL);
    ck_assert(spop_agent_state(a, &st) && !st.ready && st.len == 0);
    feed(a, buf_at(&b), hello_len);
    ck_assert(!spop_agent_state(a, &st)); /* an event waits */
    ck_assert(spop_agent_next(a, &ev));
    ck_assert_int_eq(ev.kind, SPOP_EV_HELLO);
    ck_assert(!spop_agent_state(a, &st)); /* and the answer */
    buf_drain(spop_agent_out(a), buf_used(spop_agent_out(a)));
    feed(a, frame, notify_len);
    ck_assert(spop_agent_next(a, &ev));
    ck_assert_int_eq(ev.kind, SPOP_EV_NOTIFY);
    ck_assert(!spop_agent_state(a, &st)); /* a NOTIFY without its ACK */
    ck_assert_int_eq(spop_ack(a, 5, 6, NULL, 0), SPOP_ACK_OK);
    buf_drain(spop_agent_out(a), buf_used(spop_agent_out(a)));
    for (size_t cut = 0; cut <= notify_len; cut++) {
        ck_assert(spop_agent_state(a, &st));
        ck_assert(st.ready && st.pipelining && st.len == 0);
        feed(a, frame, cut);
        if (cut < notify_len) {
            ck_assert(spop_agent_state(a, &st));
            ck_assert_uint_eq(st.len, cut);
            struct spop_agent *next = spop_agent_resume(NULL, &st);
            ck_assert_ptr_nonnull(next);
            feed(next, st.bytes, st.len);
            spop_agent_free(a);
            a = next;
        }
        feed(a, frame + cut, notify_len - cut);
        ck_assert(spop_agent_next(a, &ev));
        ck_assert_int_eq(ev.kind, SPOP_EV_NOTIFY);
        ck_assert(ev.notify.stream_id == 5 && ev.notify.frame_id == 6);
        ck_assert_int_eq(spop_ack(a, 5, 6, NULL, 0), SPOP_ACK_OK);
        buf_drain(spop_agent_out(a), buf_used(spop_agent_out(a)));
    }
    spop_agent_disconnect(a, SPOP_ST_NORMAL, "over");
    ck_assert(spop_agent_next(a, &ev));
    buf_drain(spop_agent_out(a), buf_used(spop_agent_out(a)));
    ck_assert(!spop_agent_state(a, &st));
    spop_agent_free(a);
    buf_free(&b);
    struct spop_agent_state bad[] = {{.frame_size = 255, .ready = true},
                                     {.frame_size = 65537, .ready = true},
                                     {.frame_size = 1000, .pipelining = true},
                                     {.frame_size = 1000, .ready = true, .len = 1005}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) ck_assert_ptr_null(spop_agent_resume(NULL, &bad[i]));
}
END_TEST

int main(void) {
    Suite *s = suite_create("handover");
    TCase *t = tcase_create("handover");
    tcase_add_test(t, every_message);
    tcase_add_test(t, a_full_packet_of_tickets);
    tcase_add_test(t, what_is_refused);
    tcase_add_test(t, packets);
    tcase_add_test(t, a_peer_that_leaves_unread);
    tcase_add_test(t, tickets_over_two_processes);
    tcase_add_test(t, a_spop_connection_goes_on_elsewhere);
    suite_add_tcase(s, t);
    return run_suite(s);
}
