/* sluice nic: the network devices of this host, given to the broker's DPDK port and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/host.h"
#include "hw/nic_bind.h"
#include "hw/nic_use.h"

/* ---- show ---- */

static json_t *uses_array(const struct host_root *root, const struct nic *nic)
{
	struct nic_uses uses = {0};
	json_t *array = json_array();

	if (nic->interface[0])
		nic_uses_find(&uses, root, nic->interface, getenv("SSH_CONNECTION"));
	for (size_t i = 0; i < uses.count; i++)
		json_array_append_new(array, json_string(uses.why[i]));
	return array;
}

static const char *text_or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static json_t *nic_object(const struct host_root *root, const struct nic *nic)
{
	char former[NIC_NAME_BYTES];
	json_t *object = json_object();

	nic_former_driver(root, nic, former);
	const struct nic_driver *known = nic_driver_find(nic_detached(nic) ? former : nic->driver);
	document_set_text(object, "pci", text_or_null(nic->pci));
	document_set_text(object, "interface", text_or_null(nic->interface));
	document_set_text(object, "driver", text_or_null(nic->driver));
	document_set_text(object, "former_driver", text_or_null(former));
	document_set_text(object, "dpdk_driver", known ? known->poll_mode : NULL);
	json_object_set_new(object, "flow_rules",
			    known ? json_boolean(known->steers) : json_null());
	document_set_count(object, "node", nic->node);
	document_set_text(object, "iommu_group", text_or_null(nic->iommu_group));
	document_set_text(object, "link", !nic->interface[0] ? NULL : nic->up ? "up" : "down");
	document_set_count(object, "speed_mbits", nic->speed > 0 ? nic->speed : -1);
	document_set_count(object, "mtu", nic->mtu > 0 ? nic->mtu : -1);
	document_set_count(object, "queues", nic->rx_queues > 0 ? nic->rx_queues : -1);
	json_object_set_new(object, "needed", uses_array(root, nic));
	return object;
}

static int find(const struct host_root *root, const char *name, struct nic *ret)
{
	int rc = nic_find(ret, root, name);

	if (rc == 0)
		return EXIT_DONE;
	if (rc == -ENOTSUP)
		return complain_usage("%s is no network device", name);
	return complain_usage("there is no interface or PCI device '%s'; `sluice nic show` has "
			      "those that there are",
			      name);
}

static int list(const struct host_root *root, json_t *rows)
{
	struct nic *nics = calloc(NICS_MAX, sizeof(*nics));
	size_t count = 0;
	int rc = nics ? nic_list(nics, root, &count) : -ENOMEM;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(rows, nic_object(root, &nics[i]));
	free(nics);
	if (rc < 0)
		complain("%s", strerror(-rc));
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int show(struct invocation *invocation, const struct host_root *root)
{
	static const struct column columns[] = {{"pci", "PCI"},
						{"interface", "INTERFACE"},
						{"driver", "DRIVER"},
						{"dpdk_driver", "DPDK"},
						{"flow_rules", "RULES"},
						{"node", "NODE"},
						{"iommu_group", "GROUP"},
						{"link", "LINK"},
						{"queues", "QUEUES"},
						{"needed", "NEEDED, SINCE"},
						{0}};
	json_t *rows = json_array();
	struct nic nic;
	int code = EXIT_DONE;

	if (invocation->word_count == 0)
		code = list(root, rows);
	for (size_t i = 0; i < invocation->word_count && code == EXIT_DONE; i++) {
		code = find(root, invocation->words[i], &nic);
		if (code == EXIT_DONE)
			json_array_append_new(rows, nic_object(root, &nic));
	}
	if (code == EXIT_DONE)
		return document_print_rows(invocation, rows, columns, code);
	json_decref(rows);
	return code;
}

int verb_nic_show(struct invocation *invocation)
{
	struct host_root root;

	if (!host_root_of(invocation, &root))
		return EXIT_USAGE;
	int code = show(invocation, &root);
	host_root_close(&root);
	return code;
}

/* ---- bind, unbind ---- */

static json_t *plan_object(const struct nic_plan *plan, bool done)
{
	json_t *object = json_object();
	json_t *steps = json_array();

	document_set_text(object, "pci", plan->nic.pci);
	document_set_text(object, "interface", text_or_null(plan->nic.interface));
	document_set_text(object, "from", text_or_null(plan->nic.driver));
	document_set_text(object, "to", text_or_null(plan->driver));
	json_object_set_new(object, "done", json_boolean(done));
	for (size_t i = 0; i < plan->count; i++) {
		json_t *step = json_object();
		char path[NIC_STEP_BYTES + 1];
		snprintf(path, sizeof(path), "/%s", plan->steps[i].path);
		/* A newline clears a device's wish for a driver. */
		document_set_text(step, "write",
				  plan->steps[i].text[0] == '\n' ? "" : plan->steps[i].text);
		document_set_text(step, "path", path);
		json_array_append_new(steps, step);
	}
	json_object_set_new(object, "steps", steps);
	return object;
}

static int refuse(int rc, const char *why)
{
	complain("%s", why);
	if (rc == -EBUSY || rc == -ENXIO)
		fputs("        --force does it nevertheless\n", stderr);
	return EXIT_FAILED;
}

static int carry_out(struct invocation *invocation, const struct host_root *root,
		     const struct nic_plan *plan)
{
	static const struct column facts[] = {{"pci", "PCI"},   {"interface", "INTERFACE"},
					      {"from", "FROM"}, {"to", "TO"},
					      {"done", "DONE"}, {0}};
	static const struct column steps[] = {{"write", "WRITE"}, {"path", "TO"}, {0}};
	static const struct part parts[] = {
		{.columns = facts}, {.rows = "steps", .columns = steps}, {0}};
	bool dry = flag_value(invocation, FLAG_dry_run) != NULL;
	char why[512];
	int rc = dry ? 0 : nic_plan_run(plan, root, why, sizeof(why));

	if (rc < 0) {
		complain("%s", why);
		return EXIT_FAILED;
	}
	return document_print(invocation, plan_object(plan, !dry), parts, EXIT_DONE);
}

static int move(struct invocation *invocation, const struct host_root *root, bool bind)
{
	struct nic_plan plan;
	struct nic nic;
	char why[1024];
	int code = find(root, invocation->words[0], &nic);

	if (code != EXIT_DONE)
		return code;
	int rc = bind ? nic_plan_bind(&plan, root, &nic, getenv("SSH_CONNECTION"),
				      flag_value(invocation, FLAG_force) != NULL, why, sizeof(why))
		      : nic_plan_unbind(&plan, root, &nic, why, sizeof(why));
	if (rc == -EALREADY) {
		/* As it was asked for: scripts run twice. */
		fprintf(stderr, "sluice: %s\n", why);
		return EXIT_DONE;
	}
	return rc < 0 ? refuse(rc, why) : carry_out(invocation, root, &plan);
}

static int with_root(struct invocation *invocation, bool bind)
{
	struct host_root root;

	if (!host_root_of(invocation, &root))
		return EXIT_USAGE;
	int code = move(invocation, &root, bind);
	host_root_close(&root);
	return code;
}

int verb_nic_bind(struct invocation *invocation)
{
	return with_root(invocation, true);
}

int verb_nic_unbind(struct invocation *invocation)
{
	return with_root(invocation, false);
}

/* ---- restore ---- */

/* Null, and a complaint: it is not bound now.  Else as plan_object has it. */
static json_t *restore_one(const struct host_root *root, const char *pci, bool force)
{
	struct nic_plan plan;
	struct nic nic;
	char why[1024];
	int rc = nic_find(&nic, root, pci);

	if (rc < 0)
		snprintf(why, sizeof(why), "%s is not there any more", pci);
	else
		rc = nic_plan_bind(&plan, root, &nic, getenv("SSH_CONNECTION"), force, why,
				   sizeof(why));
	if (rc == -EALREADY) {
		plan = (struct nic_plan){.nic = nic, .driver = "vfio-pci"};
		return plan_object(&plan, true);
	}
	if (rc == 0)
		rc = nic_plan_run(&plan, root, why, sizeof(why));
	if (rc < 0)
		complain("%s", why);
	return rc < 0 ? NULL : plan_object(&plan, true);
}

static int restore(struct invocation *invocation, const struct host_root *root)
{
	static const struct column columns[] = {
		{"pci", "PCI"}, {"from", "FROM"}, {"to", "TO"}, {0}};
	bool force = flag_value(invocation, FLAG_force) != NULL;
	struct host_names names;
	json_t *rows = json_array();
	int code = EXIT_DONE;

	if (nic_remembered(root, &names) < 0) {
		complain("out of memory");
		code = EXIT_FAILED;
	}
	for (size_t i = 0; i < names.count; i++) {
		json_t *row = restore_one(root, names.at[i], force);
		if (row)
			json_array_append_new(rows, row);
		else
			code = EXIT_FAILED;
	}
	host_names_free(&names);
	return document_print_rows(invocation, rows, columns, code);
}

int verb_nic_restore(struct invocation *invocation)
{
	struct host_root root;

	if (!host_root_of(invocation, &root))
		return EXIT_USAGE;
	int code = restore(invocation, &root);
	host_root_close(&root);
	return code;
}
