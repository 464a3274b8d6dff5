/* SPDX-License-Identifier: MIT
 *
 * Names, numbers and descriptions of signals, the valid set, the version.
 */

#include "../lib/harness.h"

#include <string.h>

static const int no_signals[] = {0, -1, UVSIG_NSIG, 4242};

static void names_and_numbers_are_each_others_inverse(void) {
  const char* name;
  sigset_t valid;
  int named = 0;
  int signum;

  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    name = uvsig_signal_name(signum);
    CHECK_EQ(name != NULL, sigismember(&valid, signum) == 1);
    if (name == NULL)
      continue;
    CHECK_EQ(uvsig_signal_number(name), signum);
    CHECK_EQ(uvsig_signal_number(name + 3), signum);
    CHECK(uvsig_strsignal(signum) != NULL);
    named++;
  }
  CHECK(named > 30);
}

static void names_are_those_of_posix(void) {
  CHECK_STR(uvsig_signal_name(SIGINT), "SIGINT");
  CHECK_STR(uvsig_signal_name(SIGTERM), "SIGTERM");
  CHECK_STR(uvsig_signal_name(SIGABRT), "SIGABRT");
  CHECK_STR(uvsig_signal_name(SIGCHLD), "SIGCHLD");
  CHECK_STR(uvsig_signal_name(SIGKILL), "SIGKILL");
  CHECK_STR(uvsig_signal_name(SIGRTMIN), "SIGRTMIN");
  CHECK_STR(uvsig_signal_name(SIGRTMIN + 3), "SIGRTMIN+3");
  CHECK_STR(uvsig_signal_name(SIGRTMIN + 10), "SIGRTMIN+10");
}

static void numbers_are_found_by_any_spelling(void) {
  CHECK_EQ(uvsig_signal_number("SIGINT"), SIGINT);
  CHECK_EQ(uvsig_signal_number("sigint"), SIGINT);
  CHECK_EQ(uvsig_signal_number("int"), SIGINT);
  CHECK_EQ(uvsig_signal_number("Term"), SIGTERM);
  CHECK_EQ(uvsig_signal_number("2"), 2);
  CHECK_EQ(uvsig_signal_number("RTMIN"), SIGRTMIN);
  CHECK_EQ(uvsig_signal_number("SIGRTMIN+0"), SIGRTMIN);
  CHECK_EQ(uvsig_signal_number("rtmin+3"), SIGRTMIN + 3);
  CHECK_EQ(uvsig_signal_number("SIGRTMAX"), SIGRTMAX);
  CHECK_EQ(uvsig_signal_number("RTMAX-1"), SIGRTMAX - 1);
  CHECK_EQ(uvsig_signal_number("SIGIOT"), SIGABRT);
  CHECK_EQ(uvsig_signal_number("CLD"), SIGCHLD);
}

static void what_names_no_signal_is_refused(void) {
  static const char* const bad[] = {
      "",           "SIG",         "SIGX",   "SIGINTX", "SIGSIGINT",
      " INT",       "INT ",        "0",      "-1",      "+2",
      "2x",         "4242",        "0x2",    "RTMIN+",  "RTMIN-1",
      "RTMIN+4242", "RTMAX+1",     "RTMAX-", "RTMINX",  "RTMIN+ 1",
      "RTMIN+-1",   "99999999999", "SIG2",   "32",      "RTMAX-99",
      "2147483659", "4294967298", /* 2 where that does not fit */
      "\xc4\xb0NT", "IN{"};
  char below[32]; /* SIGRTMIN: a signal by its number, and not by this name */
  size_t i;

  snprintf(below, sizeof(below), "RTMAX-%d", SIGRTMAX - SIGTERM);
  CHECK_EQ(uvsig_signal_number(below), UV_EINVAL);
  CHECK_EQ(uvsig_signal_number(NULL), UV_EINVAL);
  for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    if (uvsig_signal_number(bad[i]) != UV_EINVAL)
      check_failed(__FILE__, __LINE__, "\"%s\" is accepted", bad[i]);
}

static void a_number_that_is_no_signal_has_no_name_and_no_description(void) {
  size_t i;

  for (i = 0; i < sizeof(no_signals) / sizeof(*no_signals); i++) {
    CHECK(uvsig_signal_name(no_signals[i]) == NULL);
    CHECK(uvsig_strsignal(no_signals[i]) == NULL);
  }
}

static void descriptions_say_what_the_signal_is(void) {
  CHECK(strstr(uvsig_strsignal(SIGINT), "Interrupt") != NULL);
  CHECK(strstr(uvsig_strsignal(SIGTERM), "Terminated") != NULL);
  CHECK(strstr(uvsig_strsignal(SIGHUP), "Hangup") != NULL);
  CHECK_STR(uvsig_strsignal(SIGRTMIN + 3), "Real-time signal 3");
}

/* And so they are Python's. */
static void descriptions_are_those_of_glibc(void) {
#if defined(__GLIBC__) && defined(__linux__)
  sigset_t valid;
  int signum;

  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&valid, signum) == 1)
      CHECK_STR(uvsig_strsignal(signum), strsignal(signum));
#else
  skip_test("this libc is not glibc");
#endif
}

static void the_valid_set_leaves_out_what_libc_keeps(void) {
  sigset_t valid;
  int count = 0;
  int signum;

  CHECK_EQ(uvsig_valid_signals(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  CHECK_EQ(sigismember(&valid, SIGINT), 1);
  CHECK_EQ(sigismember(&valid, SIGALRM), 1);
  CHECK_EQ(sigismember(&valid, SIGKILL), 1);
  CHECK(sigismember(&valid, 0) != 1);
  CHECK(sigismember(&valid, UVSIG_NSIG) != 1);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    count += sigismember(&valid, signum) == 1;
  CHECK(count < UVSIG_NSIG);
#if defined(__linux__) && defined(__GLIBC__) && _NSIG == 65
  CHECK_EQ(count, 62);
  CHECK_EQ(sigismember(&valid, 32), 0);
  CHECK_EQ(sigismember(&valid, 33), 0);
#endif
}

static void raise_signal_refuses_what_is_no_signal(void) {
  size_t i;

  for (i = 0; i < sizeof(no_signals) / sizeof(*no_signals); i++)
    CHECK_EQ(uvsig_raise_signal(no_signals[i]), UV_EINVAL);
  CHECK_EQ(uvsig_raise_signal(SIGRTMIN - 1), UV_EINVAL);
}

static void the_version_is_that_of_the_package(void) {
  char text[32];
  unsigned version = uvsig_version();

  snprintf(text,
           sizeof(text),
           "%u.%u.%u",
           version >> 16,
           version >> 8 & 0xff,
           version & 0xff);
  CHECK_STR(uvsig_version_string(), PACKAGE_VERSION);
  CHECK_STR(uvsig_version_string(), text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(names_and_numbers_are_each_others_inverse),
      TEST(names_are_those_of_posix),
      TEST(numbers_are_found_by_any_spelling),
      TEST(what_names_no_signal_is_refused),
      TEST(a_number_that_is_no_signal_has_no_name_and_no_description),
      TEST(descriptions_say_what_the_signal_is),
      TEST(descriptions_are_those_of_glibc),
      TEST(the_valid_set_leaves_out_what_libc_keeps),
      TEST(raise_signal_refuses_what_is_no_signal),
      TEST(the_version_is_that_of_the_package),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
