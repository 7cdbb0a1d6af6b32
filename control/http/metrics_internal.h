/* control/http/metrics_internal.h: what the files of the metrics share. */
#pragma once
#include "control/http/metrics.h"

enum metric_index {
#define METRIC(id, kind, name, labels, help) METRIC_##id,
#define SUM(field, kind, name, help) METRIC_##field,
#define EACH(field, kind, name, help) METRIC_##field,
#include "control/http/metrics.def"
#undef METRIC
#undef SUM
#undef EACH
	METRIC_COUNT
};

void metrics_begin_family(struct exposition *exposition, enum metric_index index);

/* metrics_process.c: CPU, memory and descriptors of this process. */
void metrics_write_process(struct exposition *exposition);
/* metrics_groups.c */
void metrics_write_lag(struct exposition *exposition, const struct lag_picture *picture);
void metrics_write_dedup(struct exposition *exposition, const struct dedup_picture *picture);
