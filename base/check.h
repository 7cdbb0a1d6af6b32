/* base/check.h: assertions in price tiers.
 *
 * check():      contracts, owners, phases, magics; cheap; on in every build; aborts.
 * check_slow(): whole-structure walks; only with -Dslow_checks=true.
 * Bad input is never a check: what a peer, a disk or an operator can cause returns an error. */
#pragma once

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what);

#define check(x)                                                                                   \
	do {                                                                                       \
		if (__builtin_expect(!(x), 0))                                                     \
			check_failed(__FILE__, __LINE__, __func__, #x);                            \
	} while (0)

#ifdef SLUICE_SLOW_CHECKS
#define check_slow(x) check(x)
#else
#define check_slow(x)                                                                              \
	do {                                                                                       \
	} while (0)
#endif
