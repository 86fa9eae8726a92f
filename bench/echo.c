/* The limit of the loop: answers HOSTED to every PDB frame and does nothing else.
 *
 *   cc -O2 -o echo echo.c && ./echo        prints the port that it took on 127.0.0.1; serves until killed
 */
#include "answering.h"

static inline unsigned answer(unsigned char *frame, unsigned size) {
    frame[1] = frame[2] = 1;
    frame[3] = size + 2;
    frame[size] = 0;
    frame[size + 1] = 1;
    return size + 2;
}

int main(void) { return serve("echo"); }
