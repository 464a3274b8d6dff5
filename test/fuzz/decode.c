/* SPDX-License-Identifier: MIT
 *
 * uvsig_decode(): the bytes are what a program has read from its wakeup fd.
 */

#include "fuzz.h"

#include <uvsig.h>

/* A signal is what libc's full set has. */
static void count(const uint8_t* bytes, size_t size, unsigned* counts) {
  sigset_t valid;
  size_t i;

  sigfillset(&valid);
  memset(counts, 0, UVSIG_NSIG * sizeof(*counts));
  for (i = 0; i < size; i++)
    if (bytes[i] > 0 && bytes[i] < UVSIG_NSIG &&
        sigismember(&valid, bytes[i]) == 1)
      counts[bytes[i]]++;
}

static unsigned sum(const unsigned* counts) {
  unsigned total = 0;
  int i;

  for (i = 0; i < UVSIG_NSIG; i++)
    total += counts[i];
  return total;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const size_t counts_size = UVSIG_NSIG * sizeof(unsigned);
  unsigned* counts = fuzz_alloc(counts_size);
  unsigned* parts = fuzz_alloc(counts_size);
  unsigned wanted[UVSIG_NSIG];
  size_t half = size / 2;
  int i;

  memset(counts, 0xff, counts_size);
  count(data, size, wanted);
  CHECK(uvsig_decode(data, size, counts) == (int) sum(wanted));
  CHECK(memcmp(counts, wanted, counts_size) == 0);
  for (i = 0; i < UVSIG_NSIG; i++)
    CHECK(counts[i] == 0 || uvsig_signal_name(i) != NULL);

  /* A program may read in pieces. */
  CHECK(uvsig_decode(data, half, counts) >= 0);
  CHECK(uvsig_decode(data + half, size - half, parts) >= 0);
  for (i = 0; i < UVSIG_NSIG; i++)
    CHECK(counts[i] + parts[i] == wanted[i]);

  CHECK(uvsig_decode(data, size, NULL) == UV_EINVAL);
  CHECK(uvsig_decode(NULL, size, parts) == (size > 0 ? UV_EINVAL : 0));
  free(counts);
  free(parts);
  return 0;
}
