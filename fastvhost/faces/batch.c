/* The hot path, compiled: datagrams in by recvmmsg, repeated replies out by sendmmsg, many a system call.
 *
 * What is here is what `batch.py` and `entries.py` do in Python, octet for octet; the same tests run on both. No Python in here: plain C and Linux, loaded by ctypes, so that it fits every interpreter.
 * One thread uses one `batch` at a time; a NULL one takes everything and does nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* `_ABI` in compiled.py says which of these it was written for. */
enum { ABI = 1 };

enum {
    BATCH = 64,        /* datagrams of one system call */
    REQUEST = 1024,    /* octets that are read of one; longer ones arrive cut, as with recvfrom */
    REPLY = 1232,      /* octets of the longest reply that is repeated */
    CLIENTS = 8192,    /* places for addresses that may ask; half of them are used at most */
    KINDS = 8,
    NOWHERE = -1,
};

typedef struct {
    uint8_t octets[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t taken;
} address;

typedef struct entry {
    struct entry *next;
    uint64_t hash;
    double until;   /* from this instant on somebody else has to answer */
    double expires; /* what TTLs count down to */
    int32_t number;
    uint16_t key_octets, reply_octets;
    uint16_t ttl_at[2]; /* where TTLs stand in the reply; 0: nowhere */
    uint8_t kind;
    uint8_t octets[]; /* key, then reply */
} entry;

typedef struct {
    uint64_t received, sent, receive_errors, send_errors, repeated[KINDS];
} counters;

/* The head of it is read by compiled.py. */
typedef struct {
    counters counts;
    int32_t left[BATCH]; /* the slots that this code did not answer, by number */
    uint32_t lengths[BATCH];
    uint32_t name_lengths[BATCH];
    struct sockaddr_in6 names[BATCH];
    uint8_t requests[BATCH][REQUEST];

    int fd;
    uint32_t id_at; /* where the two octets of the id stand */
    uint64_t seed[2];
    uint32_t mask, entries;
    entry **chains, **by_number;
    address clients[CLIENTS];
    uint32_t clients_taken;
    address last_client;
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_vectors[BATCH], out_vectors[BATCH];
    uint8_t replies[BATCH][REPLY];
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
    if (!read_address(&self->names[slot], self->name_lengths[slot], &client)) return 0;
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

/* Write the repeated reply to the request in `slot`; return its octets, or 0 where there is none. */
static uint32_t write_repeated(batch *self, uint32_t slot, double now, uint8_t *reply) {
    const uint8_t *request = self->requests[slot];
    uint32_t id_at = self->id_at, length = self->lengths[slot];
    uint8_t key[REQUEST];
    if (length < id_at + 2) return 0;
    memcpy(key, request, id_at);
    memcpy(key + id_at, request + id_at + 2, length - id_at - 2);
    const entry *found = *link_to(self, siphash(self->seed, key, length - 2), key, length - 2);
    if (!found || now >= found->until) return 0;
    memcpy(reply, found->octets + found->key_octets, found->reply_octets);
    memcpy(reply + id_at, request + id_at, 2);
    if (found->ttl_at[0]) {
        double left = found->expires - now;
        uint32_t ttl = htonl(left > 0 ? (uint32_t)left : 0);
        for (int i = 0; i < 2 && found->ttl_at[i]; i++) memcpy(reply + found->ttl_at[i], &ttl, 4);
    }
    self->counts.repeated[found->kind]++;
    return found->reply_octets;
}

static void send_all(batch *self, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        int sent = sendmmsg(self->fd, self->out + done, count - done, MSG_DONTWAIT);
        if (sent > 0) {
            self->counts.sent += sent;
            done += sent;
        } else if (errno != EINTR) { /* one that cannot be sent harms no other */
            self->counts.send_errors++;
            done++;
        }
    }
}

int32_t batch_abi(void) { return ABI; }

void batch_close(batch *self) {
    if (!self) return;
    for (uint32_t number = 0; self->by_number && number < self->entries; number++) free(self->by_number[number]);
    free(self->by_number);
    free(self->chains);
    free(self);
}

/* For `entries` repeated replies, numbered from 0; NULL without memory. */
batch *batch_open(int fd, uint32_t id_at, uint32_t entries, uint64_t seed0, uint64_t seed1) {
    batch *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    uint32_t chains = 1;
    while (chains < entries) chains *= 2;
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

/* Receive a batch and answer what can be repeated; the rest stays for the caller until the next turn.
 * Returns how many were received; -1 when none could be. `*count` are left, in the order they came. */
int32_t batch_turn(batch *self, double now, int32_t *count) {
    uint32_t out = 0;
    *count = 0;
    if (!self) return -1;
    for (int i = 0; i < BATCH; i++) {
        self->in_vectors[i] = (struct iovec){self->requests[i], REQUEST};
        self->in[i].msg_hdr = (struct msghdr){.msg_name = &self->names[i],
                                              .msg_namelen = sizeof self->names[i],
                                              .msg_iov = &self->in_vectors[i],
                                              .msg_iovlen = 1};
    }
    int received = recvmmsg(self->fd, self->in, BATCH, MSG_DONTWAIT, NULL);
    if (received < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) self->counts.receive_errors++;
        return -1;
    }
    self->counts.received += received;
    for (int slot = 0; slot < received; slot++) {
        self->lengths[slot] = self->in[slot].msg_len;
        self->name_lengths[slot] = self->in[slot].msg_hdr.msg_namelen;
        uint32_t octets = may_ask(self, slot) ? write_repeated(self, slot, now, self->replies[out]) : 0;
        if (!octets) {
            self->left[(*count)++] = slot;
            continue;
        }
        self->out_vectors[out] = (struct iovec){self->replies[out], octets};
        self->out[out].msg_hdr = (struct msghdr){.msg_name = &self->names[slot],
                                                 .msg_namelen = self->name_lengths[slot],
                                                 .msg_iov = &self->out_vectors[out],
                                                 .msg_iovlen = 1};
        out++;
    }
    send_all(self, out);
    return received;
}

void batch_send(batch *self, const uint8_t *octets, uint32_t length, const void *name, uint32_t name_length) {
    if (!self) return;
    ssize_t sent;
    do sent = sendto(self->fd, octets, length, MSG_DONTWAIT, name, name_length);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) self->counts.send_errors++;
    else self->counts.sent++;
}

void batch_forget_allowed(batch *self) {
    if (!self) return;
    memset(self->clients, 0, sizeof self->clients);
    memset(&self->last_client, 0, sizeof self->last_client);
    self->clients_taken = 0;
}

/* Let the address of a client ask; all others are forgotten first when there are too many. */
void batch_allow(batch *self, const struct sockaddr_in6 *name, uint32_t name_length) {
    if (!self) return;
    address client = {0}, *place;
    if (!read_address(name, name_length, &client)) return;
    if (self->clients_taken >= CLIENTS / 2) batch_forget_allowed(self);
    place = client_place(self, &client);
    if (!place->taken) self->clients_taken++;
    *place = client;
}

/* The number of the entry with this key; NOWHERE without one. */
int32_t batch_find(batch *self, const uint8_t *key, uint32_t octets) {
    if (!self) return NOWHERE;
    const entry *found = *link_to(self, siphash(self->seed, key, octets), key, octets);
    return found ? found->number : NOWHERE;
}

void batch_drop(batch *self, int32_t number) {
    if (!self) return;
    if (number < 0 || (uint32_t)number >= self->entries) return;
    entry *gone = self->by_number[number];
    if (!gone) return;
    *link_to(self, gone->hash, gone->octets, gone->key_octets) = gone->next;
    self->by_number[number] = NULL;
    free(gone);
}

void batch_clear(batch *self) {
    if (!self) return;
    for (uint32_t number = 0; number < self->entries; number++) free(self->by_number[number]);
    memset(self->by_number, 0, self->entries * sizeof *self->by_number);
    memset(self->chains, 0, (self->mask + 1) * sizeof *self->chains);
}

/* Repeat a reply from now on, in the place `number`, which is dropped first. No other entry has this key.
 * Returns whether it could be kept. */
int32_t batch_put(batch *self, int32_t number, const uint8_t *key, uint32_t key_octets, const uint8_t *reply,
                  uint32_t reply_octets, uint32_t kind, double until, double expires, uint32_t ttl_at0,
                  uint32_t ttl_at1) {
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
                    .expires = expires,
                    .number = number,
                    .key_octets = key_octets,
                    .reply_octets = reply_octets,
                    .ttl_at = {ttl_at0, ttl_at1},
                    .kind = kind};
    memcpy(made->octets, key, key_octets);
    memcpy(made->octets + key_octets, reply, reply_octets);
    made->next = self->chains[made->hash & self->mask];
    self->chains[made->hash & self->mask] = made;
    self->by_number[number] = made;
    return 1;
}
