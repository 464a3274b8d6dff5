/* SPDX-License-Identifier: MIT
 *
 * Every call of the library that can fail does, once and for good, with each of
 * its errors, in each scenario that makes it: at its first time, at its second,
 * and so on, until the scenario ends before it is made so often. The scenarios
 * are in the files beside this one, and scenario.h says what must hold then. A
 * test is a scenario and a function.
 *
 * TEST_SCALE=1 is all of it. Otherwise the later errors of a function are tried
 * at its first call alone, and with a sanitizer not at all.
 */

#include "../lib/harness.h"
#include "inject.h"
#include "picture.h"
#include "scenario.h"
#include "upgrade.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_SECONDS = 60, MOST_TESTS = 2000, NAME_SIZE = 80 };

static const struct scenario* const files[] = {core_scenarios,
                                               loop_scenarios,
                                               posix_scenarios,
                                               wait_scenarios,
                                               shutdown_scenarios,
                                               manager_scenarios,
                                               upgrade_scenarios};

/* A scenario, and the call that fails in it; FAULT_CALLS: none. */
struct sweep {
  const struct scenario* scenario;
  enum fault_call call;
  char name[NAME_SIZE];
};
static struct sweep sweeps[MOST_TESTS];
static size_t sweep_count;
static bool is_called[FAULT_CALLS]; /* in a scenario */

/* Shared with the harness's children. */
static struct tally {
  unsigned runs;
  unsigned failures; /* calls that failed */
} * tally;

/* --- One run -------------------------------------------------------------- */

/* In a process of its own. Its standard error is a file: what the library says
 * there is of no interest, unless it fails. */
static void run_scenario(const struct scenario* scenario,
                         const struct fault_plan* plan,
                         int errors) {
  struct picture before;
  struct picture after;

  CHECK(dup2(errors, STDERR_FILENO) >= 0);
  fault_begin(plan);
  prepare_signals();
  picture_take(&before, NULL);
  rearm_faults(true);
  scenario->run();
  disarm_faults();
  picture_take(&after, NULL);
  picture_compare(__FILE__, __LINE__, scenario->name, &before, &after, false);
}

static void explain(const struct scenario* scenario,
                    const struct fault_plan* plan,
                    FILE* errors) {
  char text[4096];
  size_t size;

  rewind(errors);
  size = fread(text, 1, sizeof(text) - 1, errors);
  text[size] = 0;
  fprintf(stderr,
          "%s, %s %u%s: %s\n%s",
          scenario->name,
          plan->at > 0 ? fault_names[plan->call] : "no fault",
          plan->at,
          plan->is_for_good ? " and all later ones" : "",
          plan->at > 0 ? strerror(plan->error) : "",
          text);
}

/* Returns the wait status, and kills a process that takes too long. */
static int await_end(pid_t child, int lifeline) {
  struct pollfd pollfd = {lifeline, POLLIN, 0};
  int status;

  if (UNINTERRUPTED(poll(&pollfd, 1, RUN_SECONDS * 1000)) == 0) {
    fprintf(stderr, "process %d is over its deadline\n", (int) child);
    kill(child, SIGKILL);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  return status;
}

static bool run_once(const struct scenario* scenario,
                     const struct fault_plan* plan) {
  FILE* errors = tmpfile();
  int lifeline[2];
  int status;
  pid_t child;

  CHECK(errors != NULL);
  CHECK_EQ(pipe(lifeline), 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    close(lifeline[0]);
    run_scenario(scenario, plan, fileno(errors));
    if (has_sanitizer())
      _exit(0); /* to look for leaks takes longer than the run */
    exit(0);
  }
  close(lifeline[1]);
  status = await_end(child, lifeline[0]);
  close(lifeline[0]);
  tally->runs++;
  tally->failures += atomic_load(&fault->failed);
  if (!child_passed(status))
    explain(scenario, plan, errors);
  fclose(errors);
  return status == 0;
}

/* --- All runs of a sweep --------------------------------------------------- */

/* Is this the whole of it (TEST_SCALE=1)? */
static bool is_whole(void) {
  const char* scale = getenv("TEST_SCALE");

  return scale != NULL && strcmp(scale, "1") == 0;
}

/* Fail the first call, the second one, and so on, until none does. */
static bool fail_each(const struct sweep* sweep,
                      struct fault_plan plan,
                      unsigned most) {
  bool has_passed = true;
  unsigned k;

  for (k = 1; k <= most; k++) {
    plan.at = k;
    has_passed &= run_once(sweep->scenario, &plan);
    if (atomic_load(&fault->failed) == 0)
      break;
  }
  return has_passed;
}

static const struct sweep* current;

static void run_sweep(void) {
  struct fault_plan plan = {.call = current->call};
  bool has_passed = true;
  const int* error;
  unsigned most = UINT32_MAX;

  for (error = fault_errors[current->call]; *error != 0; error++) {
    plan.error = *error;
    plan.is_for_good = false;
    has_passed &= fail_each(current, plan, most);
    plan.is_for_good = true;
    if (!is_passing(plan.call, *error))
      has_passed &= fail_each(current, plan, most);
    if (!is_whole())
      most = has_sanitizer() ? 0 : 1;
  }
  CHECK(has_passed);
}

static void run_without_a_fault(void) {
  const struct fault_plan none = {0};

  CHECK(run_once(current->scenario, &none));
}

static void test_sweep(void** state) {
  unsigned runs = tally->runs;
  unsigned failures = tally->failures;
  int status;

  current = *state;
  status =
      run_child(current->call == FAULT_CALLS ? run_without_a_fault : run_sweep);
  printf("# %s: %u runs, %u calls failed\n",
         current->name,
         tally->runs - runs,
         tally->failures - failures);
  assert_true(child_passed(status));
}

/* --- What there is to do -------------------------------------------------- */

static void add_sweep(const struct scenario* scenario, enum fault_call call) {
  struct sweep* sweep = &sweeps[sweep_count++];

  CHECK(sweep_count <= MOST_TESTS);
  sweep->scenario = scenario;
  sweep->call = call;
  snprintf(sweep->name,
           sizeof(sweep->name),
           "%s: %s",
           scenario->name,
           call == FAULT_CALLS ? "no fault" : fault_names[call]);
}

static void find_calls(void) {
  run_without_a_fault(); /* what it says is the test's to say again */
}

static void add_sweeps(const struct scenario* scenario) {
  struct sweep found = {.scenario = scenario};
  int call;

  current = &found;
  run_child(find_calls);
  add_sweep(scenario, FAULT_CALLS);
  for (call = 0; call < FAULT_CALLS; call++)
    if (atomic_load(&fault->calls[call]) > 0) {
      add_sweep(scenario, call);
      is_called[call] = true;
    }
}

/* --- Whether that is all -------------------------------------------------- */

/* What instruments a build adds, and what another libc's headers add, begins
 * with two underscores. */
static bool is_the_compilers(const char* name) {
  return strncmp(name, "__", 2) == 0 || strncmp(name, "uvsig", 5) == 0;
}

static void each_function_that_the_library_calls_is_in_the_list(void) {
  const char* nm = getenv("NM");
  char command[512];
  char line[512];
  char name[256];
  unsigned count = 0;
  FILE* symbols;

  snprintf(command,
           sizeof(command),
           "%s -u .libs/libuvsig.a",
           nm != NULL && *nm != 0 ? nm : "nm");
  symbols = popen(command, "r");
  CHECK(symbols != NULL);
  while (fgets(line, sizeof(line), symbols) != NULL)
    if (sscanf(line, " U %255s", name) == 1 && !is_the_compilers(name)) {
      count++;
      if (!fault_is_known(name))
        check_failed(__FILE__, __LINE__, "calls.def lacks %s", name);
    }
  CHECK_EQ(pclose(symbols), 0);
  CHECK(count > 0);
}

static void each_function_that_can_fail_is_called_in_a_scenario(void) {
  int call;

  bool has_all = true;

  for (call = 0; call < FAULT_CALLS; call++)
    if (!is_called[call]) {
      fprintf(stderr, "nothing calls %s\n", fault_names[call]);
      has_all = false;
    }
  CHECK(has_all);
}

int main(int argc, char** argv) {
  static struct CMUnitTest tests[MOST_TESTS + 2];
  const struct CMUnitTest lists[] = {
      TEST(each_function_that_the_library_calls_is_in_the_list),
      TEST(each_function_that_can_fail_is_called_in_a_scenario)};
  const struct scenario* scenario;
  int failed;
  size_t i;

  if (argc == 2 && strcmp(argv[1], SUCCESSOR) == 0)
    return be_a_successor();
  harness_init();
  fault_share();
  tally = mmap(NULL,
               sizeof(*tally),
               PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS,
               -1,
               0);
  CHECK(tally != MAP_FAILED);
  for (i = 0; i < sizeof(files) / sizeof(*files); i++)
    for (scenario = files[i]; scenario->name != NULL; scenario++)
      add_sweeps(scenario);
  memcpy(tests, lists, sizeof(lists));
  for (i = 0; i < sweep_count; i++)
    tests[2 + i] =
        (struct CMUnitTest){sweeps[i].name, test_sweep, NULL, NULL, &sweeps[i]};
  memset(tally, 0, sizeof(*tally));
  failed = _cmocka_run_group_tests(
      "every call fails", tests, 2 + sweep_count, NULL, NULL);
  printf("# %zu tests, %u runs, %u calls failed\n",
         2 + sweep_count,
         tally->runs,
         tally->failures);
  return failed;
}
