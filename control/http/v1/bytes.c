/* Keys, values and headers as JSON and back. */
#include "control/http/v1/v1.h"

#include "base/base64.h"
#include "dataplane/kafka/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Without what a cut has left of a character (4 bytes at most). */
static size_t whole_characters(const char *text, size_t length)
{
	for (size_t less = 0; less < 4 && less < length; less++) {
		if (utf8_valid(text, length - less))
			return length - less;
	}
	return 0;
}

static json_t *base64(const void *data, size_t length)
{
	char *text = malloc(BASE64_BYTES(length));

	if (!text)
		return NULL;
	base64_write(text, data, length);
	json_t *json = json_string(text);
	free(text);
	return json;
}

json_t *v1_bytes(const void *data, size_t length, size_t max)
{
	bool cut = length > max;
	size_t shown = cut ? max : length;

	if (!data)
		return json_null();
	size_t characters = cut ? whole_characters(data, shown) : shown;
	bool text = utf8_valid(data, characters) && (characters || !shown);
	return json_pack("{s:o, s:I, s:b}", text ? "text" : "base64",
			 text ? json_stringn(data, characters) : base64(data, shown), "bytes",
			 (json_int_t)length, "cut", cut);
}

static int decode(const char *text, struct v1_bytes *ret)
{
	size_t length = strlen(text);
	char *data = malloc(length / 4 * 3 + 1);

	if (!data)
		return -ENOMEM;
	int rc = base64_read(data, &ret->length, text, length);
	if (rc < 0) {
		free(data);
		return rc;
	}
	ret->data = data;
	ret->memory = data;
	return 0;
}

int v1_bytes_read(const json_t *json, struct v1_bytes *ret)
{
	*ret = (struct v1_bytes){0};
	if (!json || json_is_null(json))
		return 0;
	const json_t *text = json_is_object(json) ? json_object_get(json, "text") : json;
	if (json_is_string(text)) {
		ret->data = json_string_value(text);
		ret->length = json_string_length(text);
		return 0;
	}
	const char *encoded = json_string_value(json_object_get(json, "base64"));
	return encoded ? decode(encoded, ret) : -EINVAL;
}
