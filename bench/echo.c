/* The limit of the loop: answers HOSTED to every PDB frame and does nothing else.
 *
 *   cc -O2 -o echo echo.c && ./echo        prints the port that it took on 127.0.0.1; serves until killed
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, OCTETS = 256, MAX_REQUEST = 253 };

static unsigned char frames[BATCH][OCTETS];
static struct sockaddr_in clients[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

int main(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int buffer = 8 * 1024 * 1024;
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || bind(sock, (struct sockaddr *)&here, sizeof here) != 0 ||
        getsockname(sock, (struct sockaddr *)&here, &length) != 0) {
        perror("echo");
        return 1;
    }
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){frames[i], MAX_REQUEST};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &clients[i], .msg_namelen = sizeof clients[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        int received = recvmmsg(sock, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < received; i++) {
            unsigned size = messages[i].msg_len;
            unsigned char *frame = frames[i];
            frame[1] = frame[2] = 1;
            frame[3] = size + 2;
            frame[size] = 0;
            frame[size + 1] = 1;
            vectors[i].iov_len = size + 2;
        }
        for (int sent = 0; sent < received;) {
            int more = sendmmsg(sock, messages + sent, received - sent, 0);
            sent += more > 0 ? more : 1; /* one that cannot be sent harms no other */
        }
    }
}
