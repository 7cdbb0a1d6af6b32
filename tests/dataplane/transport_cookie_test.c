#include "dataplane/transport/cookie.h"
#include "dataplane/transport/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint8_t secret_a[COOKIE_SECRET_BYTES] = {1, 2, 3};
static const uint8_t secret_b[COOKIE_SECRET_BYTES] = {4, 5, 6};
static const uint8_t secret_c[COOKIE_SECRET_BYTES] = {7, 8, 9};
static const struct transport_address here = {.ip = {[15] = 7}, .port = 4242};

enum { CLIENT = 0x1234567, LIFETIME_MS = 10000, NOW_MS = 500000 };

static int set_up(void **state)
{
	struct cookie_jar *jar = malloc(sizeof(*jar));

	*state = jar;
	return cookie_jar_init(jar, secret_a, LIFETIME_MS);
}

static int tear_down(void **state)
{
	cookie_jar_fini(*state);
	free(*state);
	return 0;
}

static struct packet_cookie issue(struct cookie_jar *jar)
{
	struct packet_cookie cookie;

	assert_int_equal(cookie_issue(jar, &cookie, &here, CLIENT, NOW_MS), 0);
	return cookie;
}

static void a_cookie_is_valid_for_its_lifetime(void **state)
{
	struct cookie_jar *jar = *state;
	struct packet_cookie cookie = issue(jar);

	assert_int_equal(cookie.issued_ms, NOW_MS);
	assert_true(cookie_valid(jar, &cookie, &here, CLIENT, NOW_MS));
	assert_true(cookie_valid(jar, &cookie, &here, CLIENT, NOW_MS + LIFETIME_MS));
	assert_false(cookie_valid(jar, &cookie, &here, CLIENT, NOW_MS + LIFETIME_MS + 1));
	/* Issued in the future. */
	assert_false(cookie_valid(jar, &cookie, &here, CLIENT, NOW_MS - 1));
}

static void nobody_else_can_use_it(void **state)
{
	struct cookie_jar *jar = *state;
	struct packet_cookie cookie = issue(jar);
	struct transport_address other = here;

	other.ip[3] ^= 1;
	assert_false(cookie_valid(jar, &cookie, &other, CLIENT, NOW_MS));
	other = here;
	other.port++;
	assert_false(cookie_valid(jar, &cookie, &other, CLIENT, NOW_MS));
	assert_false(cookie_valid(jar, &cookie, &here, CLIENT + 1, NOW_MS));
}

static void every_bit_counts(void **state)
{
	struct cookie_jar *jar = *state;

	for (unsigned bit = 0; bit < 8 * PACKET_COOKIE_MAC_BYTES; bit++) {
		struct packet_cookie cookie = issue(jar);

		cookie.mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(cookie_valid(jar, &cookie, &here, CLIENT, NOW_MS));
	}
	struct packet_cookie later = issue(jar);
	later.issued_ms--;
	assert_false(cookie_valid(jar, &later, &here, CLIENT, NOW_MS));
}

static void the_secret_before_the_current_one_still_counts(void **state)
{
	struct cookie_jar *jar = *state;
	struct packet_cookie cookie = issue(jar);

	cookie_jar_replace(jar, secret_b);
	assert_true(cookie_valid(jar, &cookie, &here, CLIENT, NOW_MS));
	struct packet_cookie newer = issue(jar);
	assert_memory_not_equal(newer.mac, cookie.mac, sizeof(newer.mac));
	cookie_jar_replace(jar, secret_c);
	assert_false(cookie_valid(jar, &cookie, &here, CLIENT, NOW_MS));
	assert_true(cookie_valid(jar, &newer, &here, CLIENT, NOW_MS));
}

static void the_same_question_has_the_same_answer(void **state)
{
	struct cookie_jar *jar = *state;
	struct packet_cookie a = issue(jar);
	struct packet_cookie b = issue(jar);

	assert_memory_equal(a.mac, b.mac, sizeof(a.mac));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cookie_is_valid_for_its_lifetime, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nobody_else_can_use_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_bit_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_secret_before_the_current_one_still_counts,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_same_question_has_the_same_answer, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
