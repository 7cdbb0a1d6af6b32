/* What leaves the host in a bundle: secrets are taken out, and answers of HTTP are looked at. */
#include "client/command/redact.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/command/http_get.h"

static void expect(const char *wanted, const char *text)
{
	char *clean = NULL;
	size_t length;
	FILE *to = open_memstream(&clean, &length);

	redact(text, strlen(text), to);
	fclose(to);
	assert_string_equal(clean, wanted);
	free(clean);
}

static void values_of_secret_names_are_removed(void **state)
{
	expect("ssl.key.password = (removed)\nlisten = 9092\n",
	       "ssl.key.password = two words, three\nlisten = 9092\n");
	expect("a log line user=me token=(removed), took=5\n",
	       "a log line user=me token=abc, took=5\n");
	expect("{\"Api-Secret\": (removed), \"n\": 1}\n",
	       "{\"Api-Secret\": \"a \\\"quoted\\\" one\", \"n\": 1}\n");
	expect("x PRIVATE_THING:(removed)", "x PRIVATE_THING:y");
	expect("said 'password' = (removed) and", "said 'password' = 'a b' and");
	expect("x password=(removed)", "x password=\"no end");
}

static void pairs_within_values_are_removed(void **state)
{
	expect("{\"text\": \"user=me password=(removed), took=5\"}",
	       "{\"text\": \"user=me password=abc, took=5\"}");
	expect("{\"text\": \"token=(removed) and\"}",
	       "{\"text\": \"token=\\\"two words\\\" and\"}");
	expect("{\"text\": \"{\\\"secret\\\": (removed), \\\"n\\\": 1}\"}",
	       "{\"text\": \"{\\\"secret\\\": \\\"it's\\\", \\\"n\\\": 1}\"}");
	expect("uri = /login?token=(removed)", "uri = /login?token=abc&user=me");
	expect("x token=(removed)", "x token=\\\"no end");
	expect("x token=(removed)", "x token=\\");
}

static void private_keys_are_removed_whole(void **state)
{
	expect("a\n(removed)\nb\n", "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\nAB==\n"
				    "-----END RSA PRIVATE KEY-----\nb\n");
	expect("{\"pem\": \"(removed)\\n\"} and (removed).",
	       "{\"pem\": \"-----BEGIN PRIVATE KEY-----\\nMII\\n-----END PRIVATE KEY-----\\n\"} and "
	       "-----BEGIN EC PRIVATE KEY-----M-----END EC PRIVATE KEY-----.");
	expect("ssl.key = (removed)", "ssl.key = -----BEGIN PRIVATE KEY-----\nMII\ncut off");
	expect("(removed)", "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE");
}

static void what_is_public_in_pem_stays(void **state)
{
	static const char certificate[] =
		"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
	static const char torn[] = "-----BEGIN \n PRIVATE KEY-----\n-----BEGIN ";

	expect(certificate, certificate);
	expect(torn, torn);
}

static void what_only_speaks_of_secrets_stays(void **state)
{
	expect("the token is gone\n\npassword\n", "the token is gone\n\npassword\n");
	expect("topic \"tokens-2\", 5 partitions", "topic \"tokens-2\", 5 partitions");
	expect("password=", "password=");
	expect("", "");
}

static void users_of_addresses_are_removed(void **state)
{
	expect("at http://(removed)@host:1/x?y", "at http://me:word@host:1/x?y");
	expect("at tcp://host:1/a@b and ://", "at tcp://host:1/a@b and ://");
}

static void an_answer_has_a_status_and_a_body(void **state)
{
	static const char good[] = "HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody";
	int status;
	size_t body;

	assert_int_equal(http_answer_parse(good, sizeof(good) - 1, &status, &body), 0);
	assert_int_equal(status, 200);
	assert_string_equal(good + body, "body");
	/* Every beginning without its empty line is none. */
	for (size_t length = 0; length < body; length++)
		assert_int_equal(http_answer_parse(good, length, &status, &body), -EPROTO);
}

static void what_is_no_answer_is_refused(void **state)
{
	static const char *const wrong[] = {"HTTP/1.1 2x0\r\n\r\n",    "HTTP/2 200 OK\r\n\r\n",
					    "HTTP/1.1200 OK\r\n\r\n",  "\r\n\r\n",
					    "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 \r\n\r\n"};
	char why[HTTP_WHY_BYTES];
	size_t length;
	int status;
	char *body;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(http_answer_parse(wrong[i], strlen(wrong[i]), &status, &length),
				 -EPROTO);
	assert_int_equal(http_get("http://host", "/", 10, 10, &body, &length, why), -EINVAL);
	assert_non_null(strstr(why, "http://HOST:PORT"));
	assert_int_equal(http_get("http://:1", "/", 10, 10, &body, &length, why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_secret_names_are_removed),
		cmocka_unit_test(pairs_within_values_are_removed),
		cmocka_unit_test(private_keys_are_removed_whole),
		cmocka_unit_test(what_is_public_in_pem_stays),
		cmocka_unit_test(what_only_speaks_of_secrets_stays),
		cmocka_unit_test(users_of_addresses_are_removed),
		cmocka_unit_test(an_answer_has_a_status_and_a_body),
		cmocka_unit_test(what_is_no_answer_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
