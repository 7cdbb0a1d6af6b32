"""Lies that the recorder can be told to tell (POWERCUT_PLANT), each a bug that the broker could
have: the call is made for nothing, and the campaign must find it."""

PLANTS = {
    "records are answered before their segment is flushed": "fdatasync topics/*/*/*.log",
    "a shared flush reaches no device": "fdatasync topics/#*",
    "a new segment's name is not synced": "fsync topics/*/*",
    "a partition's folder has no sure name": "fsync topics/*",
    "a topic's folder has no sure name": "fsync topics",
    "a topic is answered before the journal is flushed": "fdatasync catalog/journal",
    "a new journal has no sure name": "fsync catalog",
    "a new journal is renamed before it is flushed": "fsync catalog/journal.new",
    "the log's start is renamed before it is flushed": "fsync topics/*/*/partition.meta.new",
    "the log's start has no sure name": "fsync topics/*/* topics/*/*/partition.meta",
    "what a start has found is not flushed": "fsync topics/*/*/*.log",
    "the folder's mark is renamed before it is flushed": "fsync sluice.meta.new",
}
