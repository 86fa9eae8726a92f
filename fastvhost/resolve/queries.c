/* The scout's queries, compiled: a socket, a query and its watch in one call, and many replies in another.
 *
 * What is here is what `queries.py` and `wire.py` do in Python, octet for octet; the same tests run on both. No
 * Python in here: plain C and Linux, loaded by ctypes, so that it fits every interpreter.
 * One thread uses one `queries` at a time; a NULL one takes everything and does nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* `_ABI` in compiled_queries.py says which of these it was written for. */
enum { ABI = 1 };

enum {
    BATCH = 64,       /* replies of one turn */
    MESSAGE = 65535,  /* octets of the longest */
    HEADER = 12,
    SECTION = 259,    /* a name of 255 octets, type and class */
    NAME = 253,       /* in text */
    LABEL = 63,
    POINTER = 0xc0,
    USUAL_SOA = 100,
    USUAL_END = 12 + 150, /* with these no name, its compressed part included, can pass 255 octets */
    RANDOM = 256,
    UNUSUAL = -1,
};

enum { QR = 0x8000, OPCODE = 0x7800, TC = 0x0200, RD = 0x0100, NXDOMAIN = 3 };
enum { SOA = 6, NAPTR = 35, OPT = 41, IN = 1, UDP_PAYLOAD = 1232 };

typedef struct {
    uint16_t id, octets;
    uint8_t section[SECTION]; /* the question: name, type and class */
} query;

/* The head of it is read by compiled_queries.py. */
typedef struct {
    int32_t numbers[BATCH]; /* file descriptors */
    int64_t ttls[BATCH];    /* UNUSUAL: its query is to be taken */
    int32_t lengths[BATCH]; /* octets of the reply; below 0: the number of an error */
    uint8_t came[BATCH][MESSAGE]; /* memory is there from the first touch on only */

    int epoll;
    query **by_number;
    int numbers_taken;
    uint8_t random[RANDOM]; /* from the end downwards */
    size_t random_left;
} queries;

static unsigned word(const uint8_t *at) { return at[0] << 8 | at[1]; }

static uint32_t number32(const uint8_t *at) { return (uint32_t)word(at) << 16 | word(at + 2); }

static void put_word(uint8_t *at, unsigned value) { at[0] = value >> 8, at[1] = value; }

/* Write the question for NAPTR at a name; return its octets, or 0 for a name that is not a plain one. */
static unsigned write_section(const char *name, uint32_t length, uint8_t *section) {
    unsigned at = 0; /* of the length octet of the label */
    if (length < 1 || length > NAME) return 0;
    for (uint32_t i = 0; i <= length; i++) {
        char c = i < length ? name[i] : '.';
        if (c == '.') {
            unsigned label = i - at;
            if (label < 1 || label > LABEL) return 0;
            section[at] = label;
            at = i + 1;
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
            section[i + 1] = c;
        } else {
            return 0;
        }
    }
    section[at] = 0;
    put_word(section + at + 1, NAPTR);
    put_word(section + at + 3, IN);
    return at + 5;
}

static int is_answer(const query *asked, const uint8_t *octets, size_t length) {
    if (length < HEADER + (size_t)asked->octets) return 0;
    unsigned flags = word(octets + 2);
    if (word(octets) != asked->id || !(flags & QR) || flags & OPCODE || word(octets + 4) != 1) return 0;
    for (unsigned i = 0; i < asked->octets; i++) {
        uint8_t octet = octets[HEADER + i];
        if (octet >= 'A' && octet <= 'Z') octet += 'a' - 'A';
        if (octet != asked->section[i]) return 0;
    }
    return 1;
}

/* Where a name ends that is the root, labels before it, or labels before a part of the question; 0: another. */
static size_t end_of_name(const uint8_t *octets, size_t length, size_t at, const uint8_t *starts) {
    while (at < length) {
        if (octets[at] == 0) return at + 1;
        if (octets[at] > LABEL) {
            if (octets[at] != POINTER || at + 1 >= length || !starts[octets[at + 1]]) return 0;
            return at + 2;
        }
        at += 1 + octets[at];
    }
    return 0;
}

/* `wire.nxdomain_ttl`: seconds, or UNUSUAL. */
int64_t queries_nxdomain_ttl(const uint8_t *section, uint32_t section_octets, const uint8_t *octets,
                             uint32_t length) {
    size_t question_end = HEADER + (size_t)section_octets, at = question_end, end;
    uint8_t starts[HEADER + SECTION] = {0};
    if (section_octets > SECTION || question_end > USUAL_END || length < question_end + 1) return UNUSUAL;
    if ((word(octets + 2) & (TC | 0xf)) != NXDOMAIN || word(octets + 4) != 1 || word(octets + 6) != 0 ||
        word(octets + 8) != 1)
        return UNUSUAL;
    for (unsigned label = 0; label < section_octets && section[label]; label += 1 + section[label])
        starts[HEADER + label] = 1;
    if (octets[at]) {
        if (octets[at] != POINTER || at + 1 >= length || !starts[octets[at + 1]]) return UNUSUAL;
        at++;
    }
    at++;
    if (at + 10 > length) return UNUSUAL;
    uint32_t ttl = number32(octets + at + 4);
    unsigned soa_octets = word(octets + at + 8);
    if (word(octets + at) != SOA || word(octets + at + 2) != IN || ttl >> 31 || soa_octets > USUAL_SOA)
        return UNUSUAL;
    at += 10;
    end = at + soa_octets;
    at = end_of_name(octets, length, at, starts);
    at = at ? end_of_name(octets, length, at, starts) : 0;
    if (!at || at + 20 > length || at + 20 != end) return UNUSUAL;
    uint32_t minimum = number32(octets + at + 16);
    unsigned additionals = word(octets + 10);
    if (additionals) {
        if (end + 11 > length || additionals != 1 || octets[end] || word(octets + end + 1) != OPT ||
            octets[end + 5])
            return UNUSUAL;
        end += 11 + word(octets + end + 9);
    }
    if (end != length || minimum >> 31) return UNUSUAL;
    return ttl < minimum ? ttl : minimum;
}

/* A random id; below 0 without one. */
static int next_id(queries *self) {
    if (self->random_left < 2) {
        if (getrandom(self->random, RANDOM, 0) != RANDOM) return -1;
        self->random_left = RANDOM;
    }
    self->random_left -= 2;
    return word(self->random + self->random_left);
}

/* Room for a query of this number. */
static int has_place(queries *self, int number) {
    if (number < self->numbers_taken) return 1;
    int taken = 2 * number + 64;
    query **larger = realloc(self->by_number, taken * sizeof *larger);
    if (!larger) return 0;
    memset(larger + self->numbers_taken, 0, (taken - self->numbers_taken) * sizeof *larger);
    self->by_number = larger, self->numbers_taken = taken;
    return 1;
}

static query *find(queries *self, int32_t number) {
    return self && number >= 0 && number < self->numbers_taken ? self->by_number[number] : NULL;
}

static void forget(queries *self, int32_t number) {
    free(self->by_number[number]);
    self->by_number[number] = NULL;
}

int32_t queries_abi(void) { return ABI; }

void queries_close(queries *self) {
    if (!self) return;
    for (int number = 0; number < self->numbers_taken; number++)
        if (self->by_number[number]) {
            close(number);
            free(self->by_number[number]);
        }
    free(self->by_number);
    close(self->epoll);
    free(self);
}

/* NULL without memory or file descriptor. */
queries *queries_open(void) {
    queries *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0) {
        free(self);
        return NULL;
    }
    return self;
}

int32_t queries_fileno(queries *self) { return self ? self->epoll : -1; }

/* Ask `server` for NAPTR at a name, from a port that the kernel picks at random, and watch for the reply.
 * Returns the number of the query; below 0 where nothing was sent. */
int32_t queries_ask(queries *self, const struct sockaddr *server, uint32_t server_octets, const char *name,
                    uint32_t length) {
    uint8_t message[HEADER + SECTION + 11] = {0};
    query *asked = self && server_octets ? malloc(sizeof *asked) : NULL;
    if (!asked) return -1;
    int number = -1, id = next_id(self);
    asked->octets = write_section(name, length, asked->section);
    if (id < 0 || !asked->octets) goto failed;
    asked->id = id;
    number = socket(server->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (number < 0 || !has_place(self, number)) goto failed;
    put_word(message, id);
    put_word(message + 2, RD);
    put_word(message + 4, 1);
    put_word(message + 10, 1);
    memcpy(message + HEADER, asked->section, asked->octets);
    uint8_t *opt = message + HEADER + asked->octets;
    put_word(opt + 1, OPT);
    put_word(opt + 3, UDP_PAYLOAD);
    size_t octets = HEADER + asked->octets + 11;
    struct epoll_event watch = {.events = EPOLLIN, .data.fd = number};
    if (connect(number, server, server_octets) || send(number, message, octets, 0) != (ssize_t)octets ||
        epoll_ctl(self->epoll, EPOLL_CTL_ADD, number, &watch))
        goto failed;
    self->by_number[number] = asked;
    return number;
failed:
    if (number >= 0) close(number);
    free(asked);
    return -1;
}

/* Receive replies. A query that is answered by NXDOMAIN in the usual form has ended, and its socket is closed;
 * any other is to be taken, with what came for it. Returns how many there are. */
int32_t queries_turn(queries *self) {
    struct epoll_event ready[BATCH];
    int32_t count = 0;
    int events = self ? epoll_wait(self->epoll, ready, BATCH, 0) : 0;
    for (int event = 0; event < events; event++) {
        int number = ready[event].data.fd;
        query *asked = find(self, number);
        if (!asked) continue;
        uint8_t *octets = self->came[count];
        ssize_t length = recv(number, octets, MESSAGE, 0);
        if (length < 0 && (errno == EAGAIN || errno == EINTR)) continue; /* it failed its checksum */
        self->numbers[count] = number;
        self->lengths[count] = length < 0 ? -errno : length;
        self->ttls[count] = length >= 0 && is_answer(asked, octets, length)
                                ? queries_nxdomain_ttl(asked->section, asked->octets, octets, length)
                                : UNUSUAL;
        if (self->ttls[count] != UNUSUAL) {
            forget(self, number);
            close(number);
        }
        count++;
    }
    return count;
}

/* End the watch for a query, whose socket is the caller's from now on. Returns its id; below 0: there is none. */
int32_t queries_take(queries *self, int32_t number) {
    query *asked = find(self, number);
    if (!asked) return -1;
    int32_t id = asked->id;
    epoll_ctl(self->epoll, EPOLL_CTL_DEL, number, NULL);
    forget(self, number);
    return id;
}
