/* SPDX-License-Identifier: MIT
 *
 * For programs.sh. Without an argument: prints a TCP port of the loopback address
 * that was free an instant ago. With a port: connects to it, and copies what comes
 * to standard output until the server closes. With a second argument it closes
 * first. Fails where nobody listens. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char** argv) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  char bytes[256];
  ssize_t n;

  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (argc < 2) {
    if (bind(fd, (const struct sockaddr*) &address, size) != 0 ||
        getsockname(fd, (struct sockaddr*) &address, &size) != 0)
      return 1;
    printf("%u\n", ntohs(address.sin_port));
    return 0;
  }
  address.sin_port = htons((unsigned short) atoi(argv[1]));
  if (connect(fd, (const struct sockaddr*) &address, size) != 0)
    return 1;
  while (argc == 2 && (n = read(fd, bytes, sizeof(bytes))) > 0)
    fwrite(bytes, 1, (size_t) n, stdout);
  return 0;
}
