/* The hot path, compiled: datagrams in by recvmmsg, repeated replies out by sendmmsg, many a system call.
 *
 * What is here is what `batch.py` and `entries.py` do in Python, octet for octet; the same tests run on both. No
 * Python in here: plain C and Linux, loaded by ctypes, so that it fits every interpreter.
 *
 * The owner, one thread, either takes turns itself (`batch_turn`), or starts a thread of this code that receives and
 * repeats beside it (`batch_start`), and takes what that leaves (`batch_take`). What is not answered goes through the
 * queue either way. Where the thread may be kept waiting for a core, the owner takes a turn in its stead once in a while
 * (`batch_stand_in`). `lock` is held for a batch's look-ups at most, never over a system call that could wait.
 * A NULL batch takes everything and does nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* `_ABI` in compiled.py says which of these it was written for. */
enum { ABI = 5 };

enum {
    BATCH = 64,        /* datagrams of one system call */
    REQUEST = 1024,    /* octets that are read of one; longer ones arrive cut, as with recvfrom */
    REPLY = 1232,      /* octets of the longest reply that is repeated */
    CLIENTS = 8192,    /* places for addresses that may ask; half of them are used at most */
    QUEUE = 1 << 19,   /* octets of datagrams that wait for the owner: some 5,000 small ones */
    LOOKS = 1 << 15,   /* of these for requests that have been answered only: their replies are renewed in any flood */
    KINDS = 8,
    BOUNDS = 15,       /* of a histogram of seconds */
    NOWHERE = -1,
};

/* A thread that comes first on its core leaves so much of it to others. With requests for the interpreter that is more
 * than the twentieth which the kernel would take otherwise, 50 ms at a time (sched_rt_runtime_us, fair server). */
#ifndef LEFT_TO_OTHERS /* a test has another */
#define LEFT_TO_OTHERS 120000L /* nanoseconds */
#endif
#define OFTEN 2e-3  /* seconds, */
#define SELDOM 2e-2 /* and without such requests */
#define SHORTEST_REST 5e-6 /* what is shorter is but the time of a system call */

/* A queue that has been too long for so many seconds is no pause of the owner that he works off (RFC 8289, 4.2). */
#define STANDING 0.1

typedef struct {
    uint8_t octets[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t taken;
} address;

typedef struct entry {
    struct entry *next;
    uint64_t hash;
    double until;   /* from this instant on somebody else has to answer */
    double look_at; /* from this instant on the owner is shown a request as well */
    double expires; /* what TTLs count down to */
    int32_t number;
    uint16_t key_octets, reply_octets;
    uint16_t ttl_at[2]; /* where TTLs stand in the reply; 0: nowhere */
    uint8_t kind;
    uint8_t octets[]; /* key, then reply */
} entry;

/* Each is written by one thread at a time and read by any: torn values are all that there is to be afraid of. */
typedef struct {
    _Atomic uint64_t received, sent, sent_by_owner, receive_errors, send_errors, send_errors_of_owner, overrun;
    _Atomic uint64_t repeated[KINDS];
    _Atomic uint64_t within[KINDS][BOUNDS + 1]; /* repeated while the thread runs, by how long their batch took */
    _Atomic double seconds[KINDS];              /* of all of these together */
} counters;

static inline void add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

/* A datagram in the queue, its octets behind it; the next one starts at a multiple of 8. */
typedef struct {
    uint32_t length;      /* WRAP: the next one is at the queue's start */
    uint32_t name_length; /* 0: it has been answered, and the owner is to look at it only */
    double came;          /* when, by the owner's clock */
    struct sockaddr_in6 name;
} waiting;

enum { WRAP = UINT16_MAX, OWN_TURNS = -1 };

/* The head of it is read by compiled.py. */
typedef struct {
    counters counts;
    uint32_t lengths[BATCH]; /* what the owner took last */
    uint32_t name_lengths[BATCH];
    struct sockaddr_in6 names[BATCH];
    uint8_t requests[BATCH][REQUEST];

    int fd;
    uint32_t id_at; /* where the two octets of the id stand */
    uint64_t seed[2];

    pthread_mutex_t lock; /* of the table, the clients and the queue */
    uint32_t mask, entries;
    entry **chains, **by_number;
    address clients[CLIENTS];
    uint32_t clients_taken;
    address last_client;
    uint32_t first, end, queued; /* where the oldest datagram is, where the next one goes, how many there are */
    _Alignas(8) uint8_t queue[QUEUE];
    double patience;   /* seconds that a datagram may wait in it, where it stands */
    double late_since; /* from when on all who were taken had waited for longer; 0: one had not */
    double late_at;    /* when that was so last */
    int stands;

    int ready, stop; /* eventfds: there is something to take; the thread is to end. OWN_TURNS: it does not run */
    _Atomic int stopping;
    _Atomic int at_once;   /* the thread runs in real time: the moment there is something to receive */
    _Atomic int core;      /* that it took its last turn on */
    _Atomic int awaited;   /* by the owner, who wants its turn to end */
    pthread_mutex_t turns; /* of `turn`, while the thread runs */
    pthread_t thread;
    double bounds[BOUNDS];
    double ahead; /* seconds from CLOCK_MONOTONIC to the owner's clock */

    struct { /* of the batch that is received and answered */
        struct mmsghdr in[BATCH], out[BATCH];
        struct iovec in_vectors[BATCH], out_vectors[BATCH];
        struct sockaddr_in6 names[BATCH];
        uint8_t requests[BATCH][REQUEST];
        uint8_t replies[BATCH][REPLY];
        uint32_t repeated[KINDS];
        uint32_t left; /* to the owner, and not for a look only */
    } turn;
} batch;

/* SipHash-1-3 (Aumasson and Bernstein, 2012): whoever chooses the names must not choose the chains. */
static inline uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }

#define SIP_ROUND(a, b, c, d)                                                                              \
    do {                                                                                                   \
        a += b, c += d, b = rotated(b, 13) ^ a, d = rotated(d, 16) ^ c, a = rotated(a, 32);                \
        c += b, a += d, b = rotated(b, 17) ^ c, d = rotated(d, 21) ^ a, c = rotated(c, 32);                \
    } while (0)

static uint64_t siphash(const uint64_t seed[2], const uint8_t *octets, size_t length) {
    uint64_t a = seed[0] ^ 0x736f6d6570736575u, b = seed[1] ^ 0x646f72616e646f6du;
    uint64_t c = seed[0] ^ 0x6c7967656e657261u, d = seed[1] ^ 0x7465646279746573u;
    uint64_t last = (uint64_t)length << 56, word;
    for (; length >= 8; octets += 8, length -= 8) {
        memcpy(&word, octets, 8);
        d ^= word;
        SIP_ROUND(a, b, c, d);
        a ^= word;
    }
    word = 0;
    memcpy(&word, octets, length);
    last |= word;
    d ^= last;
    SIP_ROUND(a, b, c, d);
    a ^= last;
    c ^= 0xff;
    for (int round = 0; round < 3; round++) SIP_ROUND(a, b, c, d);
    return a ^ b ^ c ^ d;
}

static int read_address(const struct sockaddr_in6 *name, uint32_t length, address *address) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (name->sin6_family == AF_INET6 && length >= sizeof *name) {
        memcpy(address->octets, &name->sin6_addr, 16);
    } else if (name->sin6_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        memcpy(address->octets, mapped, 12);
        memcpy(address->octets + 12, &((const struct sockaddr_in *)name)->sin_addr, 4);
    } else {
        return 0;
    }
    address->taken = 1;
    return 1;
}

static address *client_place(batch *self, const address *client) {
    uint64_t at = siphash(self->seed, client->octets, 16);
    while (self->clients[at % CLIENTS].taken && memcmp(self->clients[at % CLIENTS].octets, client->octets, 16))
        at++;
    return &self->clients[at % CLIENTS];
}

static int may_ask(batch *self, uint32_t slot) {
    address client = {0};
    if (!read_address(&self->turn.names[slot], self->turn.in[slot].msg_hdr.msg_namelen, &client)) return 0;
    if (!memcmp(&client, &self->last_client, sizeof client)) return 1;
    if (!client_place(self, &client)->taken) return 0;
    self->last_client = client;
    return 1;
}

static entry **link_to(batch *self, uint64_t hash, const uint8_t *key, size_t octets) {
    entry **link = &self->chains[hash & self->mask];
    while (*link && ((*link)->hash != hash || (*link)->key_octets != octets ||
                     memcmp((*link)->octets, key, octets)))
        link = &(*link)->next;
    return link;
}

static uint32_t room_of(uint32_t length) { return (sizeof(waiting) + length + 7) & ~7u; }

/* Of a queue that is not empty. */
static const waiting *oldest(batch *self) {
    if (QUEUE - self->first < sizeof(waiting) || ((waiting *)(self->queue + self->first))->length == WRAP)
        self->first = 0;
    return (waiting *)(self->queue + self->first);
}

/* Leave the request in `slot` to the owner. Returns whether there was room: not too many may wait for him, nor too long. */
static int leave(batch *self, uint32_t slot, uint32_t name_length, double now) {
    const struct mmsghdr *message = &self->turn.in[slot];
    if (name_length && self->stands && self->queued && now - oldest(self)->came > self->patience) return 0;
    uint32_t octets = room_of(message->msg_len), at = self->end;
    int wrapped = self->queued && self->first >= at;
    uint32_t room = wrapped ? self->first - at : QUEUE - at;
    uint32_t in_all = wrapped ? room : room + self->first;
    if (name_length && in_all < octets + LOOKS) return 0;
    if (room < octets && !wrapped) { /* go on at the start */
        if (room >= sizeof(waiting)) ((waiting *)(self->queue + at))->length = WRAP;
        at = 0, room = self->first;
    }
    if (room < octets) return 0;
    waiting *it = (waiting *)(self->queue + at);
    it->length = message->msg_len, it->name_length = name_length;
    it->name = self->turn.names[slot];
    it->came = now;
    memcpy(it + 1, self->turn.requests[slot], it->length);
    self->end = at + octets;
    self->queued++;
    return 1;
}

/* Write the repeated reply to the request in `slot`; return its octets, or 0 where there is none. */
static uint32_t write_repeated(batch *self, uint32_t slot, double now, uint8_t *reply) {
    const uint8_t *request = self->turn.requests[slot];
    uint32_t id_at = self->id_at, length = self->turn.in[slot].msg_len;
    uint8_t key[REQUEST];
    if (length < id_at + 2) return 0;
    memcpy(key, request, id_at);
    memcpy(key + id_at, request + id_at + 2, length - id_at - 2);
    entry *found = *link_to(self, siphash(self->seed, key, length - 2), key, length - 2);
    if (!found || now >= found->until) return 0;
    if (now >= found->look_at && leave(self, slot, 0, now)) found->look_at = found->until; /* the owner counts it */
    else self->turn.repeated[found->kind]++;
    memcpy(reply, found->octets + found->key_octets, found->reply_octets);
    memcpy(reply + id_at, request + id_at, 2);
    if (found->ttl_at[0]) {
        double left = found->expires - now;
        uint32_t ttl = htonl(left > 0 ? (uint32_t)left : 0);
        for (int i = 0; i < 2 && found->ttl_at[i]; i++) memcpy(reply + found->ttl_at[i], &ttl, 4);
    }
    return found->reply_octets;
}

static void send_all(batch *self, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        int sent = sendmmsg(self->fd, self->turn.out + done, count - done, MSG_DONTWAIT);
        if (sent > 0) {
            add(&self->counts.sent, sent);
            done += sent;
        } else if (errno != EINTR) { /* one that cannot be sent harms no other */
            add(&self->counts.send_errors, 1);
            done++;
        }
    }
}

/* Receive a batch, repeat what can be, and leave the rest. Returns how many were received; -1: none could be. */
static int receive(batch *self, double now) {
    uint32_t out = 0, queued;
    self->turn.left = 0;
    for (int i = 0; i < BATCH; i++) {
        self->turn.in_vectors[i] = (struct iovec){self->turn.requests[i], REQUEST};
        self->turn.in[i].msg_hdr = (struct msghdr){.msg_name = &self->turn.names[i],
                                                   .msg_namelen = sizeof self->turn.names[i],
                                                   .msg_iov = &self->turn.in_vectors[i],
                                                   .msg_iovlen = 1};
    }
    int received = recvmmsg(self->fd, self->turn.in, BATCH, MSG_DONTWAIT, NULL);
    if (received < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) add(&self->counts.receive_errors, 1);
        return -1;
    }
    add(&self->counts.received, received);
    memset(self->turn.repeated, 0, sizeof self->turn.repeated);
    pthread_mutex_lock(&self->lock);
    queued = self->queued;
    for (int slot = 0; slot < received; slot++) {
        uint32_t octets = may_ask(self, slot) ? write_repeated(self, slot, now, self->turn.replies[out]) : 0;
        if (!octets) {
            uint32_t name_length = self->turn.in[slot].msg_hdr.msg_namelen;
            if (!leave(self, slot, name_length, now)) add(&self->counts.overrun, 1);
            self->turn.left++;
            continue;
        }
        self->turn.out_vectors[out] = (struct iovec){self->turn.replies[out], octets};
        self->turn.out[out].msg_hdr = (struct msghdr){.msg_name = &self->turn.names[slot],
                                                      .msg_namelen = self->turn.in[slot].msg_hdr.msg_namelen,
                                                      .msg_iov = &self->turn.out_vectors[out],
                                                      .msg_iovlen = 1};
        out++;
    }
    if (self->ready != OWN_TURNS && !queued && self->queued) eventfd_write(self->ready, 1);
    pthread_mutex_unlock(&self->lock);
    for (int kind = 0; kind < KINDS; kind++)
        if (self->turn.repeated[kind]) add(&self->counts.repeated[kind], self->turn.repeated[kind]);
    send_all(self, out);
    return received;
}

static double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static void note_times(batch *self, double seconds) {
    int within = 0;
    while (within < BOUNDS && seconds > self->bounds[within]) within++;
    for (int kind = 0; kind < KINDS; kind++) {
        uint32_t count = self->turn.repeated[kind];
        if (!count) continue;
        add(&self->counts.within[kind][within], count);
        _Atomic double *all = &self->counts.seconds[kind];
        atomic_store_explicit(all, atomic_load_explicit(all, memory_order_relaxed) + seconds * count,
                              memory_order_relaxed);
    }
}

/* What sched_setattr(2) takes; not every libc declares it. */
typedef struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice, deadline, period; /* ns */
} scheduling;

static int schedule(scheduling wanted) {
    wanted.size = sizeof wanted;
    return !syscall(SYS_sched_setattr, 0, &wanted, 0);
}

/* Have the kernel run this thread, which has little to do for each of many, as soon as there is something, also where
 * the interpreter is busy on the same core. Returns whether that may be had: RLIMIT_RTPRIO of getrlimit(2), or
 * CAP_SYS_NICE. */
static int come_first(void) { return schedule((scheduling){.policy = SCHED_RR, .priority = 1}); }

/* Share the core with whatever else wants it: by a short slice, which Linux 6.12 and later look at (sched(7)), and
 * with nine tenths where those may be had: RLIMIT_NICE, or CAP_SYS_NICE. */
static void share(void) {
    int niceness = getpriority(PRIO_PROCESS, 0);
    scheduling wanted = {.policy = SCHED_OTHER, .nice = niceness - 10, .slice = 100 * 1000};
    if (schedule(wanted)) return;
    wanted.nice = niceness;
    schedule(wanted);
}

/* Take a timed turn; for whoever holds `turns`. Returns as `receive` does. */
static int take_turn(batch *self) {
    double began = monotonic();
    int received = receive(self, began + self->ahead);
    if (received > 0) note_times(self, monotonic() - began);
    return received;
}

static void *serve(void *argument) {
    batch *self = argument;
    struct pollfd either[2] = {{.fd = self->fd, .events = POLLIN}, {.fd = self->stop, .events = POLLIN}};
    const struct timespec pause = {.tv_nsec = LEFT_TO_OTHERS};
    int ours = sched_getscheduler(0) == SCHED_OTHER; /* else somebody has decided */
    int first = ours && come_first(), left = 0;
    double since = monotonic(), rest = 0;
    if (ours && !first) share();
    atomic_store(&self->at_once, first);
    while (!atomic_load(&self->stopping)) {
        pthread_mutex_lock(&self->turns);
        atomic_store(&self->core, sched_getcpu());
        int received = take_turn(self);
        left |= self->turn.left > 0;
        pthread_mutex_unlock(&self->turns);
        if (atomic_load(&self->awaited)) sched_yield(); /* or it has `turns` again before the owner is awake */
        double done = monotonic();
        if (received < BATCH) poll(either, 2, -1);
        double now = monotonic();
        if (now - done > SHORTEST_REST) rest += now - done;
        if (now - since < (left ? OFTEN : SELDOM)) continue;
        if (first && rest < LEFT_TO_OTHERS * 1e-9) nanosleep(&pause, NULL);
        since = monotonic(), rest = 0, left = 0;
    }
    return NULL;
}

int32_t batch_abi(void) { return ABI; }

/* Take a turn in the stead of a thread that may be waiting for its core; the owner does so in the midst of other work.
 * For him to call sched_yield(2) each time would give the core to whoever wants it, and for as long as he likes. */
void batch_stand_in(batch *self) {
    if (!self || self->ready == OWN_TURNS || atomic_load(&self->at_once)) return;
    if (pthread_mutex_trylock(&self->turns)) { /* it is in the midst of a turn: */
        if (atomic_load(&self->core) != sched_getcpu()) return; /* on another core, or */
        atomic_store(&self->awaited, 1);
        pthread_mutex_lock(&self->turns); /* waiting for this one */
        atomic_store(&self->awaited, 0);
    }
    take_turn(self);
    pthread_mutex_unlock(&self->turns);
}

/* End the thread; what it left can still be taken. */
void batch_stop(batch *self) {
    if (!self || self->ready == OWN_TURNS) return;
    atomic_store(&self->stopping, 1);
    eventfd_write(self->stop, 1);
    pthread_join(self->thread, NULL);
    close(self->ready), close(self->stop);
    self->ready = self->stop = OWN_TURNS;
    atomic_store(&self->stopping, 0);
}

/* Have a thread receive and repeat, whose replies are timed by BOUNDS `bounds` in seconds; `now` is the owner's
 * clock, which runs like CLOCK_MONOTONIC. Returns a descriptor that is readable while there is something to
 * take; -1: no thread could be had. */
int32_t batch_start(batch *self, double now, const double *bounds) {
    sigset_t all, before;
    if (!self || self->ready != OWN_TURNS) return -1;
    self->ahead = now - monotonic();
    memcpy(self->bounds, bounds, sizeof self->bounds);
    self->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), self->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all); /* signals are the owner's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = self->ready < 0 || self->stop < 0 || pthread_create(&self->thread, NULL, serve, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        if (self->ready >= 0) close(self->ready);
        if (self->stop >= 0) close(self->stop);
        self->ready = self->stop = OWN_TURNS;
        return -1;
    }
    pthread_setname_np(self->thread, "repeat");
    return self->ready;
}

void batch_close(batch *self) {
    if (!self) return;
    batch_stop(self);
    for (uint32_t number = 0; self->by_number && number < self->entries; number++) free(self->by_number[number]);
    free(self->by_number);
    free(self->chains);
    pthread_mutex_destroy(&self->lock), pthread_mutex_destroy(&self->turns);
    free(self);
}

/* For `entries` repeated replies, numbered from 0; NULL without memory. */
batch *batch_open(int fd, uint32_t id_at, uint32_t entries, uint64_t seed0, uint64_t seed1) {
    batch *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    uint32_t chains = 1;
    while (chains < entries) chains *= 2;
    /* Who holds it is not to wait for the core while a thread of higher priority waits for the lock. */
    pthread_mutexattr_t inheriting;
    pthread_mutexattr_init(&inheriting);
    pthread_mutexattr_setprotocol(&inheriting, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&self->lock, &inheriting), pthread_mutex_init(&self->turns, NULL);
    pthread_mutexattr_destroy(&inheriting);
    self->ready = self->stop = OWN_TURNS;
    self->patience = INFINITY;
    self->fd = fd, self->id_at = id_at, self->mask = chains - 1, self->entries = entries;
    self->seed[0] = seed0, self->seed[1] = seed1;
    self->chains = calloc(chains, sizeof *self->chains);
    self->by_number = calloc(entries ? entries : 1, sizeof *self->by_number);
    if (!self->chains || !self->by_number) {
        batch_close(self);
        return NULL;
    }
    return self;
}

/* Where more comes than the owner can do, each who joins the queue would wait until nobody waits for his reply any more.
 * So newcomers are turned away while the oldest has waited for too long, and those who are let in are answered in time.
 * `least` is how long the last who was taken has waited: while that is little, the owner keeps up, if late. */
static void note_wait(batch *self, double least, double now) {
    if (least > self->patience) {
        if (!self->late_since) self->late_since = now;
        if (now - self->late_since >= STANDING) self->stands = 1;
        self->late_at = now;
    } else {
        self->late_since = 0;
        if (now - self->late_at >= STANDING) self->stands = 0;
    }
}

/* Let a datagram wait for so many seconds where the queue stands. */
void batch_patience(batch *self, double seconds) {
    if (!self) return;
    pthread_mutex_lock(&self->lock);
    self->patience = seconds;
    pthread_mutex_unlock(&self->lock);
}

/* Take what was left, in the order it came, at most BATCH; it is there until the next take. */
int32_t batch_take(batch *self, double now) {
    int32_t count = 0;
    double least = 0;
    if (!self) return 0;
    pthread_mutex_lock(&self->lock);
    for (; self->queued && count < BATCH; count++, self->queued--) {
        const waiting *it = oldest(self);
        self->lengths[count] = it->length, self->name_lengths[count] = it->name_length;
        self->names[count] = it->name;
        memcpy(self->requests[count], it + 1, it->length);
        least = now - it->came;
        self->first += room_of(it->length);
    }
    note_wait(self, least, now);
    if (!self->queued) {
        self->first = self->end = 0;
        eventfd_t none;
        if (self->ready != OWN_TURNS) eventfd_read(self->ready, &none);
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}

/* Receive a batch and repeat what can be, in the owner's thread. Returns how many were received; -1: none could be. */
int32_t batch_turn(batch *self, double now) { return self ? receive(self, now) : -1; }

void batch_send(batch *self, const uint8_t *octets, uint32_t length, const void *name, uint32_t name_length) {
    if (!self) return;
    ssize_t sent;
    do sent = sendto(self->fd, octets, length, MSG_DONTWAIT, name, name_length);
    while (sent < 0 && errno == EINTR);
    add(sent < 0 ? &self->counts.send_errors_of_owner : &self->counts.sent_by_owner, 1);
}

static void forget_allowed(batch *self) {
    memset(self->clients, 0, sizeof self->clients);
    memset(&self->last_client, 0, sizeof self->last_client);
    self->clients_taken = 0;
}

void batch_forget_allowed(batch *self) {
    if (!self) return;
    pthread_mutex_lock(&self->lock);
    forget_allowed(self);
    pthread_mutex_unlock(&self->lock);
}

/* Let the address of a client ask; all others are forgotten first when there are too many. */
void batch_allow(batch *self, const struct sockaddr_in6 *name, uint32_t name_length) {
    address client = {0}, *place;
    if (!self || !read_address(name, name_length, &client)) return;
    pthread_mutex_lock(&self->lock);
    if (self->clients_taken >= CLIENTS / 2) forget_allowed(self);
    place = client_place(self, &client);
    if (!place->taken) self->clients_taken++;
    *place = client;
    pthread_mutex_unlock(&self->lock);
}

/* The number of the entry with this key; NOWHERE without one. The owner alone changes the table, so that it may
 * look without the lock. */
int32_t batch_find(batch *self, const uint8_t *key, uint32_t octets) {
    if (!self) return NOWHERE;
    const entry *found = *link_to(self, siphash(self->seed, key, octets), key, octets);
    return found ? found->number : NOWHERE;
}

/* Take the entry out of the place `number`, for its user to free. */
static entry *taken_out(batch *self, int32_t number) {
    entry *gone = self->by_number[number];
    if (gone) *link_to(self, gone->hash, gone->octets, gone->key_octets) = gone->next;
    self->by_number[number] = NULL;
    return gone;
}

void batch_drop(batch *self, int32_t number) {
    if (!self || number < 0 || (uint32_t)number >= self->entries) return;
    pthread_mutex_lock(&self->lock);
    entry *gone = taken_out(self, number);
    pthread_mutex_unlock(&self->lock);
    free(gone);
}

void batch_clear(batch *self) {
    if (!self) return;
    pthread_mutex_lock(&self->lock);
    for (uint32_t number = 0; number < self->entries; number++) free(self->by_number[number]);
    memset(self->by_number, 0, self->entries * sizeof *self->by_number);
    memset(self->chains, 0, (self->mask + 1) * sizeof *self->chains);
    pthread_mutex_unlock(&self->lock);
}

/* Repeat a reply from now on, in the place `number`, which is dropped first. No other entry has this key.
 * Returns whether it could be kept. */
int32_t batch_put(batch *self, int32_t number, const uint8_t *key, uint32_t key_octets, const uint8_t *reply,
                  uint32_t reply_octets, uint32_t kind, double until, double look_at, double expires,
                  uint32_t ttl_at0, uint32_t ttl_at1) {
    if (!self) return 0;
    batch_drop(self, number);
    if (number < 0 || (uint32_t)number >= self->entries || kind >= KINDS ||
        key_octets <= self->id_at || key_octets >= REQUEST ||
        reply_octets > REPLY || reply_octets < self->id_at + 2 || ttl_at0 + 4 > reply_octets ||
        ttl_at1 + 4 > reply_octets)
        return 0;
    entry *made = malloc(sizeof *made + key_octets + reply_octets);
    if (!made) return 0;
    *made = (entry){.hash = siphash(self->seed, key, key_octets),
                    .until = until,
                    .look_at = look_at,
                    .expires = expires,
                    .number = number,
                    .key_octets = key_octets,
                    .reply_octets = reply_octets,
                    .ttl_at = {ttl_at0, ttl_at1},
                    .kind = kind};
    memcpy(made->octets, key, key_octets);
    memcpy(made->octets + key_octets, reply, reply_octets);
    pthread_mutex_lock(&self->lock);
    made->next = self->chains[made->hash & self->mask];
    self->chains[made->hash & self->mask] = made;
    self->by_number[number] = made;
    pthread_mutex_unlock(&self->lock);
    return 1;
}
