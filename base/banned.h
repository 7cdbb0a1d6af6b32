/* base/banned.h: calls that no file of ours makes; the compiler names what to use instead.
 *
 * The build includes it before every file (-include), so it declares what it bans as the C library
 * does, adding only the warning, which is an error here.  SLUICE_DATAPLANE is set for the shard's
 * own code, where nothing may block, print or wait for another thread. */
#pragma once

/* clang cannot add a warning to what fortified headers define inline; gcc can. */
#if !defined(__clang__) || !defined(_FORTIFY_SOURCE)

#define BANNED(instead) __attribute__((deprecated(instead)))

/* The C library defines these inline, and clang wants to be warned before the definition. */
int atoi(const char *) BANNED("hides errors: use strtoll, look at the end and errno");
long atol(const char *) BANNED("hides errors: use strtoll, look at the end and errno");
long long atoll(const char *) BANNED("hides errors: use strtoll, look at the end and errno");
double atof(const char *) BANNED("hides errors: use strtod, look at the end and errno");

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

char *strcpy(char *, const char *) BANNED("not bounded: use snprintf or memcpy");
char *stpcpy(char *, const char *) BANNED("not bounded: use snprintf or memcpy");
char *strcat(char *, const char *) BANNED("not bounded: use snprintf");
char *strncpy(char *, const char *, size_t)
	BANNED("may leave no terminator: use snprintf or memcpy");
char *strncat(char *, const char *, size_t) BANNED("counts from the end: use snprintf");
int sprintf(char *, const char *, ...) BANNED("not bounded: use snprintf");
int vsprintf(char *, const char *, va_list) BANNED("not bounded: use vsnprintf");
char *strtok(char *, const char *) BANNED("writes into its input: use strcspn");
char *strtok_r(char *, const char *, char **) BANNED("writes into its input: use strcspn");
int rand(void) BANNED("no seam to tests: use a seeded generator or uuid_random");
long random(void) BANNED("no seam to tests: use a seeded generator or uuid_random");
struct tm *localtime(const time_t *) BANNED("answers from a static: use localtime_r");
struct tm *gmtime(const time_t *) BANNED("answers from a static: use gmtime_r");

#ifdef SLUICE_DATAPLANE
int printf(const char *, ...) BANNED("may block a shard: count it, or log_line outside of loops");
int fprintf(FILE *, const char *, ...) BANNED("may block a shard: count it, or log_line");
int puts(const char *) BANNED("may block a shard: count it, or log_line outside of loops");
int pthread_mutex_lock(pthread_mutex_t *) BANNED("makes shards wait: send a message");
int pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *)
	BANNED("makes shards wait: send a message");
int pthread_rwlock_rdlock(pthread_rwlock_t *) BANNED("makes shards wait: send a message");
int pthread_rwlock_wrlock(pthread_rwlock_t *) BANNED("makes shards wait: send a message");
unsigned sleep(unsigned) BANNED("stops a shard: use base/timers.h");
int usleep(useconds_t) BANNED("stops a shard: use base/timers.h");
int nanosleep(const struct timespec *, struct timespec *)
	BANNED("stops a shard: use base/timers.h");
#endif

#undef BANNED
#endif
