/* The one writer of results: what it prints is read back with the libraries that others read it
 * with. */
#include "client/command/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include <cmocka.h>

#include "client/command/command.h"

/* ---- capturing ---- */

static FILE *captured;
static int standard_output;

static void capture(void)
{
	fflush(stdout);
	captured = tmpfile();
	assert_non_null(captured);
	standard_output = dup(STDOUT_FILENO);
	dup2(fileno(captured), STDOUT_FILENO);
}

/* To free. */
static char *captured_text(void)
{
	fflush(stdout);
	dup2(standard_output, STDOUT_FILENO);
	close(standard_output);
	off_t length = lseek(fileno(captured), 0, SEEK_END);
	char *text = calloc(1, (size_t)length + 1);
	assert_non_null(text);
	assert_int_equal(pread(fileno(captured), text, (size_t)length, 0), length);
	fclose(captured);
	return text;
}

static char *print(enum output_form form, json_t *document, const struct part *parts)
{
	struct invocation invocation = {.output = form};

	capture();
	int code = document_print(&invocation, document, parts, EXIT_DONE);
	char *text = captured_text();
	assert_int_equal(code, EXIT_DONE);
	return text;
}

static const struct column rows_columns[] = {
	{"name", "NAME"}, {"size_bytes", "SIZE"}, {"up", "UP"}, {0}};
static const struct part rows_parts[] = {{.columns = rows_columns}, {0}};

static json_t *rows(void)
{
	return json_pack("[{s:s,s:i,s:b},{s:s,s:n,s:b}]", "name", "a", "size_bytes", 17, "up", 1,
			 "name", "longer", "size_bytes", "up", 0);
}

static void expect(const char *wanted, enum output_form form, json_t *document,
		   const struct part *parts)
{
	char *text = print(form, document, parts);

	assert_string_equal(text, wanted);
	free(text);
}

/* ---- YAML read back ---- */

static json_t *scalar_value(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;
	json_t *value = NULL;

	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		value = json_loads(text, JSON_DECODE_ANY, NULL);
	return value ? value : json_stringn(text, node->data.scalar.length);
}

static json_t *node_value(yaml_document_t *document, const yaml_node_t *node)
{
	if (node->type == YAML_SCALAR_NODE)
		return scalar_value(node);
	json_t *value = node->type == YAML_SEQUENCE_NODE ? json_array() : json_object();
	if (node->type == YAML_SEQUENCE_NODE) {
		for (const yaml_node_item_t *item = node->data.sequence.items.start;
		     item < node->data.sequence.items.top; item++)
			json_array_append_new(
				value,
				node_value(document, yaml_document_get_node(document, *item)));
		return value;
	}
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++)
		json_object_set_new(
			value,
			(const char *)yaml_document_get_node(document, pair->key)
				->data.scalar.value,
			node_value(document, yaml_document_get_node(document, pair->value)));
	return value;
}

static json_t *read_yaml(const char *text)
{
	yaml_document_t document;
	yaml_parser_t parser;

	yaml_parser_initialize(&parser);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
	assert_true(yaml_parser_load(&parser, &document));
	json_t *value = node_value(&document, yaml_document_get_root_node(&document));
	yaml_document_delete(&document);
	yaml_parser_delete(&parser);
	return value;
}

/* ---- tests ---- */

static void a_table_is_as_wide_as_its_cells_and_numbers_keep_to_the_right(void **state)
{
	expect("NAME    SIZE  UP\n"
	       "a         17  yes\n"
	       "longer     -  no\n",
	       OUTPUT_TABLE, rows(), rows_parts);
}

static void without_rows_a_table_has_its_headings(void **state)
{
	expect("NAME  SIZE  UP\n", OUTPUT_TABLE, json_array(), rows_parts);
}

static void an_object_is_lines_of_heading_and_value_and_its_parts_are_tables(void **state)
{
	static const struct column facts[] = {{"id", "ID"}, {"owners", "OWNERS"}, {0}};
	static const struct column settings[] = {{"", "SETTING"}, {"value", "VALUE"}, {0}};
	static const struct part parts[] = {
		{.columns = facts}, {.rows = "settings", .columns = settings}, {0}};
	json_t *document = json_pack("{s:s,s:[i,i],s:{s:{s:s},s:{s:s}}}", "id", "x", "owners", 1, 2,
				     "settings", "b", "value", "two", "a", "value", "");

	expect("ID      x\n"
	       "OWNERS  1,2\n"
	       "\n"
	       "SETTING  VALUE\n"
	       "b        two\n"
	       "a        -\n",
	       OUTPUT_TABLE, json_incref(document), parts);
	json_t *two = json_array();
	json_array_append_new(two, json_incref(document));
	json_array_append_new(two, document);
	char *text = print(OUTPUT_TABLE, two, parts);
	assert_non_null(strstr(text, "a        -\n\nID      x\n"));
	free(text);
}

static void rows_of_several_objects_come_in_one_table_with_what_they_lie_in(void **state)
{
	static const struct column columns[] = {{"group", "GROUP"}, {"lag", "LAG"}, {0}};
	static const struct part parts[] = {{.rows = "partitions", .columns = columns}, {0}};

	expect("GROUP  LAG\n"
	       "one      7\n"
	       "one      8\n"
	       "two      9\n",
	       OUTPUT_TABLE,
	       json_pack("[{s:s,s:[{s:i},{s:i}]},{s:s,s:[{s:i}]}]", "group", "one", "partitions",
			 "lag", 7, "lag", 8, "group", "two", "partitions", "lag", 9),
	       parts);
}

static void text_from_outside_does_not_steer_the_terminal(void **state)
{
	expect("NAME                     SIZE  UP\n"
	       "a\\x1b[2J\\x0a\\x7f\\x9b \xc3\xa9\xe2\x82\xac     -   -\n",
	       OUTPUT_TABLE,
	       json_pack("[{s:s}]", "name", "a\x1b[2J\n\x7f\xc2\x9b \xc3\xa9\xe2\x82\xac"),
	       rows_parts);
}

static void json_is_the_document_and_jsonl_an_element_a_line(void **state)
{
	char *text = print(OUTPUT_JSON, rows(), rows_parts);
	json_t *read = json_loads(text, 0, NULL);
	json_t *wanted = rows();

	assert_true(json_equal(read, wanted));
	json_decref(wanted);
	json_decref(read);
	free(text);
	expect("{\"name\":\"a\",\"size_bytes\":17,\"up\":true}\n"
	       "{\"name\":\"longer\",\"size_bytes\":null,\"up\":false}\n",
	       OUTPUT_JSONL, rows(), rows_parts);
	expect("{\"a\":[1]}\n", OUTPUT_JSONL, json_pack("{s:[i]}", "a", 1), rows_parts);
}

static void yaml_gives_back_every_value_with_its_type(void **state)
{
	static const char *const texts[] = {"plain",       "true",
					    "No",          "y",
					    "null",        "~",
					    "17",          "1e3",
					    "0x10",        "",
					    " a ",         "a: b",
					    "- x",         "#c",
					    "a\nb",        "\t",
					    "it's \"so\"", "\xc3\xa9",
					    "2026-01-31",  "*a",
					    "&a",          "127.0.0.1:9092",
					    "a/b-c_d.e",   ".inf",
					    "\x1b[0m",     "---",
					    "{}",          "%",
					    "@",           "`"};
	json_t *wanted = json_pack("{s:i,s:f,s:b,s:n,s:[],s:{}}", "integer", -5, "real", 0.25,
				   "true", 1, "nothing", "array", "object");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_object_set_new(wanted, texts[i], json_string(texts[i]));
		char *text = print(OUTPUT_YAML, json_incref(wanted), rows_parts);
		json_t *read = read_yaml(text);
		assert_int_equal(strncmp(text, "---\n", 4), 0);
		if (!json_equal(read, wanted))
			fail_msg("'%s' is not what was printed:\n%s", texts[i], text);
		json_decref(read);
		free(text);
	}
	json_decref(wanted);
}

static void words_of_other_types_are_quoted_in_yaml(void **state)
{
	expect("---\n- yesterday\n- \"yes\"\n- \"OFF\"\n- \"1\"\n- 1\n", OUTPUT_YAML,
	       json_pack("[s,s,s,s,i]", "yesterday", "yes", "OFF", "1", 1), rows_parts);
}

static void bytes_that_are_no_text_are_base64_under_another_name(void **state)
{
	json_t *object = json_object();

	document_set_bytes(object, "a", "x\0y", 3);
	document_set_bytes(object, "b", "\xff\xfe", 2);
	document_set_bytes(object, "c", NULL, 0);
	document_set_text(object, "name", "\xff");
	document_set_count(object, "size_bytes", -1);
	json_object_set_new(object, "up", json_true());
	expect("{\"a\":\"x\\u0000y\",\"b_base64\":\"//4=\",\"c\":null,\"name_base64\":\"/w==\","
	       "\"size_bytes\":null,\"up\":true}\n",
	       OUTPUT_JSONL, json_incref(object), rows_parts);
	json_t *array = json_array();
	json_array_append_new(array, object);
	expect("NAME  SIZE  UP\n/w==     -  yes\n", OUTPUT_TABLE, array, rows_parts);
}

static void elements_of_a_list_without_end_are_printed_one_by_one(void **state)
{
	static const char *const wanted[] = {
		[OUTPUT_TABLE] = "1\ttwo\n1\ttwo\n",
		[OUTPUT_JSON] = "{\"a\":1,\"b\":\"two\"}\n{\"a\":1,\"b\":\"two\"}\n",
		[OUTPUT_JSONL] = "{\"a\":1,\"b\":\"two\"}\n{\"a\":1,\"b\":\"two\"}\n",
		[OUTPUT_YAML] = "---\na: 1\nb: two\n---\na: 1\nb: two\n",
	};

	for (enum output_form form = OUTPUT_TABLE; form <= OUTPUT_YAML; form++) {
		struct invocation invocation = {.output = form};
		capture();
		for (int i = 0; i < 2; i++)
			document_print_element(&invocation,
					       json_pack("{s:i,s:s}", "a", 1, "b", "two"));
		char *text = captured_text();
		assert_string_equal(text, wanted[form]);
		free(text);
	}
}

static void forms_have_four_names(void **state)
{
	enum output_form form;

	assert_int_equal(output_form_parse(&form, "yaml"), 0);
	assert_int_equal(form, OUTPUT_YAML);
	assert_int_equal(output_form_parse(&form, "table"), 0);
	assert_int_equal(form, OUTPUT_TABLE);
	assert_true(output_form_parse(&form, "xml") < 0);
	assert_true(output_form_parse(&form, "") < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_is_as_wide_as_its_cells_and_numbers_keep_to_the_right),
		cmocka_unit_test(without_rows_a_table_has_its_headings),
		cmocka_unit_test(an_object_is_lines_of_heading_and_value_and_its_parts_are_tables),
		cmocka_unit_test(rows_of_several_objects_come_in_one_table_with_what_they_lie_in),
		cmocka_unit_test(text_from_outside_does_not_steer_the_terminal),
		cmocka_unit_test(json_is_the_document_and_jsonl_an_element_a_line),
		cmocka_unit_test(yaml_gives_back_every_value_with_its_type),
		cmocka_unit_test(words_of_other_types_are_quoted_in_yaml),
		cmocka_unit_test(bytes_that_are_no_text_are_base64_under_another_name),
		cmocka_unit_test(elements_of_a_list_without_end_are_printed_one_by_one),
		cmocka_unit_test(forms_have_four_names),
	};

	document_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
