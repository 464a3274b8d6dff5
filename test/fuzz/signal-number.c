/* SPDX-License-Identifier: MIT
 *
 * uvsig_signal_number(): a name from a command line or a configuration.
 */

#include "fuzz.h"

#include <ctype.h>
#include <strings.h>
#include <uvsig.h>

static bool is_signal(int signum) {
  sigset_t valid;

  sigfillset(&valid);
  return signum > 0 && signum < UVSIG_NSIG && sigismember(&valid, signum) == 1;
}

/* "RTMIN+n", "RTMAX-n", or either alone. */
static int find_realtime(const char* name) {
  bool is_up = strncasecmp(name, "RTMIN", 5) == 0;
  uint64_t n = 0;

  if (!is_up && strncasecmp(name, "RTMAX", 5) != 0)
    return UV_EINVAL;
  if (name[5] != 0 &&
      (name[5] != (is_up ? '+' : '-') || !fuzz_number(name + 6, &n) ||
       n > (uint64_t) (SIGRTMAX - SIGRTMIN)))
    return UV_EINVAL;
  return is_up ? SIGRTMIN + (int) n : SIGRTMAX - (int) n;
}

/* What the header says, by another way: each name that there is is compared. */
static int find(const char* name) {
  const char* known;
  uint64_t n;
  int i;

  if (fuzz_number(name, &n))
    return n < UVSIG_NSIG && is_signal((int) n) ? (int) n : UV_EINVAL;
  if (strncasecmp(name, "SIG", 3) == 0)
    name += 3;
  if (strcasecmp(name, "CLD") == 0)
    return SIGCHLD;
  if (strcasecmp(name, "IOT") == 0)
    return SIGABRT;
#ifdef SIGPOLL
  if (strcasecmp(name, "POLL") == 0)
    return SIGPOLL;
#endif
  for (i = 1; i < UVSIG_NSIG; i++) {
    known = uvsig_signal_name(i);
    if (known != NULL && strcasecmp(name, known + 3) == 0)
      return i;
  }
  return find_realtime(name);
}

/* A name that is accepted is one signal's, however it is written. */
static void check_accepted(const char* name, int signum) {
  char* other = fuzz_alloc(strlen(name) + 4);
  bool is_prefixed = strncasecmp(name, "SIG", 3) == 0;
  char* c;

  CHECK(is_signal(signum));
  CHECK(uvsig_signal_name(signum) != NULL);
  CHECK(uvsig_strsignal(signum) != NULL);
  CHECK(uvsig_signal_number(uvsig_signal_name(signum)) == signum);
  if (!isdigit((unsigned char) name[0])) {
    strcpy(other, is_prefixed ? "" : "sIg");
    strcat(other, name + (is_prefixed ? 3 : 0));
    CHECK(uvsig_signal_number(other) == signum);
    for (c = other; *c != 0; c++)
      *c = (char) (isupper((unsigned char) *c) ? tolower((unsigned char) *c)
                                               : toupper((unsigned char) *c));
    CHECK(uvsig_signal_number(other) == signum);
  }
  free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  char* name = fuzz_text(data, size);
  int signum = uvsig_signal_number(name);

  CHECK(signum == find(name));
  if (signum != UV_EINVAL)
    check_accepted(name, signum);
  free(name);
  return 0;
}
