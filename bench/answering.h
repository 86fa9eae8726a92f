/* A UDP server in its quickest form: batches in, whatever `answer` makes of each, and out. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, OCTETS = 1024, MAX_REQUEST = OCTETS - 256 };

/* Write the reply over the request of `size` octets; return its octets, or 0 for none. */
static inline unsigned answer(unsigned char *message, unsigned size);

static unsigned char octets[BATCH][OCTETS];
static struct sockaddr_in clients[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH], replies[BATCH];

/* Print the port taken on 127.0.0.1, and serve until killed. */
static int serve(const char *name) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int buffer = 8 * 1024 * 1024;
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || bind(sock, (struct sockaddr *)&here, sizeof here) != 0 ||
        getsockname(sock, (struct sockaddr *)&here, &length) != 0) {
        perror(name);
        return 1;
    }
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){octets[i], MAX_REQUEST};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &clients[i], .msg_namelen = sizeof clients[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        int received = recvmmsg(sock, messages, BATCH, MSG_WAITFORONE, NULL), count = 0;
        for (int i = 0; i < received; i++) {
            vectors[i].iov_len = answer(octets[i], messages[i].msg_len);
            if (vectors[i].iov_len) replies[count++] = messages[i];
        }
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(sock, replies + sent, count - sent, 0);
            sent += more > 0 ? more : 1; /* one that cannot be sent harms no other */
        }
    }
}
