/* SPDX-License-Identifier: MIT
 *
 * See common.h. */
#include "common.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

const char SECONDS[] = "SECONDS";

int refused(const char* why, const char* what) {
  if (why != NULL)
    fprintf(stderr, "%s: %s: %s\n", program, what, why);
  return why != NULL;
}

int failed(int err, const char* what) {
  return refused(err < 0 ? uv_strerror(err) : NULL, what);
}

static int print_help(FILE* to,
                      int status,
                      const char* about,
                      const option_t* options) {
  int width;

  fprintf(to, "Usage: %s [OPTION]...\n%s\n", program, about);
  for (; options->name != NULL; options++) {
    width = fprintf(to, "  --%s=%s", options->name, options->value);
    fprintf(to, "%*s%s\n", width < 21 ? 21 - width : 1, "", options->help);
  }
  fprintf(to, "  --help             print this\n");
  return fflush(to) == 0 ? status : 1;
}

/* All of `text`: strtod() takes " +1" as well, and "1e3". */
int read_number(const char* text, int is_time, unsigned* to) {
  size_t length = strspn(text, is_time ? ".0123456789" : "0123456789");
  char* end;
  double value = strtod(text, &end);

  if (end != text && *end == '\0' && text[length] == '\0' &&
      value <= LARGEST_NUMBER) {
    *to = (unsigned) (is_time ? value * 1000 + 0.5 : value);
    return 0;
  }
  fprintf(stderr,
          "%s: '%s' is not between 0 and %d\n",
          program,
          text,
          LARGEST_NUMBER);
  return -1;
}

int read_options(int argc,
                 char** argv,
                 const char* about,
                 const option_t* options) {
  struct option known[MOST_OPTIONS + 2] = {{NULL, 0, NULL, 0}};
  int count, index, c;

  for (count = 0; options[count].name != NULL && count < MOST_OPTIONS; count++)
    known[count] =
        (struct option){options[count].name, required_argument, NULL, 1};
  known[count] = (struct option){"help", no_argument, NULL, 1};

  while ((c = getopt_long(argc, argv, "", known, &index)) == 1)
    if (index == count)
      return print_help(stdout, 0, about, options);
    else if (options[index].text != NULL)
      *options[index].text = optarg;
    else if (read_number(optarg,
                         options[index].value == SECONDS,
                         options[index].number) != 0)
      return 2;
  if (c == -1 && optind < argc)
    return print_help(stderr, 2, about, options);
  return c == -1 ? -1 : 2; /* getopt_long() has said why */
}
