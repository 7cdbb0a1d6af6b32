/* Lines in, records out: each a value, a key and a value, or an object of JSON.  While it waits for
 * a line it also serves the client, so that a line typed at a terminal leaves when it has lingered,
 * not when the next one comes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/command/command.h"
#include "client/command/output.h"
#include "client/command/progress.h"
#include "client/command/record_json.h"

enum {
	READ_BYTES = 256 << 10,
	LINE_BYTES_MAX = 64 << 20, /* as max.request.size can be at most */
	HEADER_NAME_BYTES = 256,
	COMPLAINTS_MAX = 5,
	INTERRUPTED_FLUSH_MS = 5000,
};

struct production {
	struct invocation *invocation;
	struct sluice_record record; /* what all have in common */
	struct sluice_header headers[FLAG_VALUES_MAX];
	char header_names[FLAG_VALUES_MAX][HEADER_NAME_BYTES];
	const char *delimiter; /* null: no keys */
	bool null_values;
	bool json;
	bool partition_given;
	const char *input; /* its name */
	size_t line;       /* of this input */
	struct progress progress;
	bool progress_bytes;
	int64_t read_bytes; /* of all inputs */
	size_t delivered;
	size_t failed;
	char *buffer;
	size_t size;
	size_t capacity;
};

static void delivered(void *user, const struct sluice_delivery *delivery)
{
	struct production *p = user;

	if (!delivery->error) {
		p->delivered++;
		return;
	}
	if (p->failed++ < COMPLAINTS_MAX)
		complain("a record was not delivered to %s/%d: %s", delivery->topic,
			 delivery->partition, sluice_error_text(delivery->error));
}

static int send_record(struct production *p, const struct sluice_record *record)
{
	int rc = sluice_produce_wait(p->invocation->client, record, -1, delivered, p);

	if (rc == -EMSGSIZE)
		complain("%s, line %zu is longer than a record may be (-X max.request.size=...)",
			 p->input, p->line);
	return rc;
}

static int send_line(struct production *p, const char *line, size_t length)
{
	struct sluice_record record = p->record;
	const char *value = line;
	const char *end = line + length;

	p->line++;
	if (p->delimiter) {
		size_t width = strlen(p->delimiter);
		const char *found = memmem(line, length, p->delimiter, width);
		if (found) {
			record.key = line;
			record.key_length = (size_t)(found - line);
			value = found + width;
		}
	}
	record.value = p->null_values && value == end ? NULL : value;
	record.value_length = (size_t)(end - value);
	return send_record(p, &record);
}

/* What the line leaves out is as for all. */
static int send_json(struct production *p, const char *line, size_t length)
{
	char why[RECORD_JSON_WHY_BYTES];
	struct record_json told;

	p->line++;
	if (length == 0)
		return 0;
	int rc = record_json_parse(&told, line, length, why);
	if (rc == -EINVAL)
		complain("%s, line %zu: %s", p->input, p->line, why);
	if (rc < 0)
		return rc == -EINVAL ? -EBADMSG : rc;
	struct sluice_record record = told.record;
	record.topic = p->record.topic;
	if (p->partition_given)
		record.partition = p->record.partition;
	if (!told.has_key) {
		record.key = p->record.key;
		record.key_length = p->record.key_length;
	}
	if (!told.has_headers) {
		record.headers = p->record.headers;
		record.header_count = p->record.header_count;
	}
	rc = send_record(p, &record);
	record_json_free(&told);
	return rc;
}

/* Whole lines of the buffer; the rest moves to its front. */
static int send_lines(struct production *p, bool ended)
{
	char *at = p->buffer;
	char *end = p->buffer + p->size;
	int rc = 0;

	while (rc == 0 && at < end && !interrupted()) {
		char *newline = memchr(at, '\n', (size_t)(end - at));
		if (!newline && !ended)
			break;
		char *stop = newline ? newline : end;
		rc = p->json ? send_json(p, at, (size_t)(stop - at))
			     : send_line(p, at, (size_t)(stop - at));
		at = newline ? newline + 1 : end;
	}
	p->size = (size_t)(end - at);
	memmove(p->buffer, at, p->size);
	return rc;
}

static int make_room(struct production *p)
{
	if (p->capacity - p->size >= READ_BYTES)
		return 0;
	size_t capacity = p->capacity ? p->capacity * 2 : (size_t)2 * READ_BYTES;
	if (capacity > (size_t)2 * LINE_BYTES_MAX)
		return -EMSGSIZE;
	char *buffer = realloc(p->buffer, capacity);
	if (!buffer)
		return -ENOMEM;
	p->buffer = buffer;
	p->capacity = capacity;
	return 0;
}

/* 1: there is something to read, or the end; 0: not yet; -EINTR. */
static int wait_for_input(struct production *p, int fd)
{
	struct pollfd fds[] = {
		{.fd = fd, .events = POLLIN},
		{.fd = sluice_fd(p->invocation->client), .events = POLLIN},
	};

	if (poll(fds, 2, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[1].revents) {
		int rc = sluice_process(p->invocation->client, 0);
		if (rc < 0)
			return rc;
	}
	return fds[0].revents != 0;
}

static int send_input(struct production *p, int fd)
{
	p->line = 0;
	p->size = 0;
	while (!interrupted()) {
		int rc = make_room(p);
		if (rc == 0)
			rc = wait_for_input(p, fd);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		ssize_t got = read(fd, p->buffer + p->size, READ_BYTES);
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (got > 0) {
			p->size += (size_t)got;
			p->read_bytes += got;
		}
		rc = send_lines(p, got == 0);
		progress_step(&p->progress,
			      p->progress_bytes ? p->read_bytes : (int64_t)p->delivered);
		if (rc < 0 || got == 0)
			return rc;
	}
	return -EINTR;
}

static int send_file(struct production *p, const char *path)
{
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		complain("%s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	p->input = strcmp(path, "-") == 0 ? "standard input" : path;
	int rc = send_input(p, fd);
	close(fd);
	if (rc == -EMSGSIZE || rc == -EBADMSG)
		return EXIT_FAILED; /* it was told which line */
	return rc < 0 ? complain_of(p->invocation, rc) : EXIT_DONE;
}

/* The topic is looked for first: a wrong name or address is told before anything is read.  The
 * broker may make a topic that it does not know when it is produced to. */
static int check_reachable(struct production *p)
{
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(p->invocation->client, &p->record.topic, 1, &metadata);

	if (rc < 0)
		return complain_of(p->invocation, rc);
	sluice_metadata_free(metadata);
	return EXIT_DONE;
}

static int read_headers(struct production *p)
{
	const struct flag_values *headers = &p->invocation->flags[FLAG_header];

	for (size_t i = 0; i < headers->count; i++) {
		const char *value;
		if (!split_setting(headers->values[i], p->header_names[i], HEADER_NAME_BYTES,
				   &value))
			return complain_usage("--header takes NAME=VALUE, not '%s'",
					      headers->values[i]);
		p->headers[i] = (struct sluice_header){
			.name = p->header_names[i],
			.name_length = strlen(p->header_names[i]),
			.value = value ? value : "",
			.value_length = value ? strlen(value) : 0,
		};
	}
	p->record.headers = p->headers;
	p->record.header_count = headers->count;
	return EXIT_DONE;
}

static int read_partition(struct production *p)
{
	const char *text = flag_value(p->invocation, FLAG_partition);
	int64_t partition = SLUICE_PARTITION_ANY;

	p->partition_given = text != NULL;
	if (text && strcmp(text, "any") != 0 &&
	    !flag_number(p->invocation, FLAG_partition, 0, INT32_MAX, SLUICE_PARTITION_ANY,
			 &partition))
		return EXIT_USAGE;
	p->record.partition = (int32_t)partition;
	return EXIT_DONE;
}

static int read_flags(struct production *p)
{
	const char *input = flag_value(p->invocation, FLAG_input);
	const char *key = flag_value(p->invocation, FLAG_key);

	p->json = input && strcmp(input, "jsonl") == 0;
	if (input && !p->json && strcmp(input, "lines") != 0)
		return complain_usage("--input is lines or jsonl, not '%s'", input);
	p->record.key = key;
	p->record.key_length = key ? strlen(key) : 0;
	p->delimiter = flag_value(p->invocation, FLAG_key_delimiter);
	if (p->delimiter && !*p->delimiter)
		return complain_usage("--key-delimiter is empty");
	p->null_values = flag_value(p->invocation, FLAG_null) != NULL;
	if (p->json && (p->delimiter || p->null_values))
		return complain_usage("--input jsonl says of each record what its key and value "
				      "are: without --key-delimiter and --null");
	int code = read_partition(p);
	return code ? code : read_headers(p);
}

/* By bytes where all of them are known, else by records; not while a person types. */
static void begin_progress(struct production *p)
{
	size_t count = p->invocation->word_count;
	int64_t total = 0;
	struct stat file;

	p->progress_bytes = true;
	for (size_t i = 1; i < count; i++) {
		if (stat(p->invocation->words[i], &file) < 0 || !S_ISREG(file.st_mode))
			p->progress_bytes = false;
		else
			total += file.st_size;
	}
	if (count == 1)
		p->progress_bytes = fstat(STDIN_FILENO, &file) == 0 && S_ISREG(file.st_mode);
	if (count == 1 && p->progress_bytes)
		total = file.st_size;
	if (isatty(STDIN_FILENO) && count == 1)
		return;
	progress_begin(&p->progress, "producing", p->progress_bytes ? total : 0,
		       p->progress_bytes ? "bytes" : "records");
}

static int finish(struct production *p, int code)
{
	struct sluice_client *client = p->invocation->client;
	int rc = sluice_flush(client, interrupted() ? INTERRUPTED_FLUSH_MS : -1);

	/* Interrupted: what was read already is still to be delivered. */
	if (rc == -EINTR)
		rc = sluice_flush(client, INTERRUPTED_FLUSH_MS);
	size_t left = sluice_undelivered(client);
	progress_end(&p->progress);
	if (rc < 0)
		complain("%zu records are not delivered yet, and may or may not be", left);
	if (p->failed > 0)
		complain("%zu records were not delivered", p->failed);
	if (!code)
		code = p->failed || left ? EXIT_FAILED : EXIT_DONE;
	if (interrupted())
		code = EXIT_INTERRUPTED;
	/* A person who produces does not want to hear of what went well. */
	if (p->invocation->output == OUTPUT_TABLE)
		return output_finish(code);
	json_t *object = json_object();
	json_object_set_new(object, "delivered", json_integer((json_int_t)p->delivered));
	json_object_set_new(object, "failed",
			    json_integer((json_int_t)p->failed + (json_int_t)left));
	return document_print(p->invocation, object, NULL, code);
}

int verb_produce(struct invocation *invocation)
{
	static struct production p;

	p.invocation = invocation;
	p.record.topic = invocation->words[0];
	int code = read_flags(&p);
	if (!code)
		code = check_reachable(&p);
	if (code)
		return code;
	begin_progress(&p);
	if (invocation->word_count == 1)
		code = send_file(&p, "-");
	for (size_t i = 1; !code && i < invocation->word_count; i++)
		code = send_file(&p, invocation->words[i]);
	code = finish(&p, code);
	free(p.buffer);
	return code;
}
