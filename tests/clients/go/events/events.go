// Package events is the log of tests/history: one write a line, and none is held back, so that
// kill -9 leaves what was logged.
package events

import (
	"encoding/json"
	"hash/crc32"
	"log"
	"os"
	"sort"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Row is one of the lists that events have.
type Row []any

// Event is a line.
type Event map[string]any

// Log is the file of one client.
type Log struct{ file *os.File }

// Open makes a new log.
func Open(path string) *Log {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	return &Log{file}
}

// Write logs an event.
func (l *Log) Write(event Event) {
	line, err := json.Marshal(event)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// List is what a comma separates.
func List(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(text, ",")
}

// Hash is that of a record's key and value.
func Hash(record *kgo.Record) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(record.Key), crc32.IEEETable, record.Value)
}

// ID is what the record's value begins with.
func ID(record *kgo.Record) string {
	id, _, _ := strings.Cut(string(record.Value), " ")
	return id
}

// Fetched logs the records; it returns the positions behind them.
func (l *Log) Fetched(fetches kgo.Fetches) []Row {
	positions := []Row{}
	fetches.EachPartition(func(part kgo.FetchTopicPartition) {
		if len(part.Records) == 0 {
			return
		}
		rows := []Row{}
		for _, each := range part.Records {
			rows = append(rows, Row{each.Offset, ID(each), Hash(each)})
		}
		l.Write(Event{"event": "fetched", "topic": part.Topic,
			"partition": part.Partition, "records": rows})
		last := part.Records[len(part.Records)-1].Offset
		positions = append(positions, Row{part.Topic, part.Partition, last + 1})
	})
	return positions
}

// Place is a partition.
type Place struct {
	Topic     string
	Partition int32
}

// Owner logs what a member of a group owns.
type Owner struct {
	Log             *Log
	Group, Instance string
	// A session of transactions tells once of what is taken away, until its transaction has
	// ended: what it owns in a generation is not known for certain.
	Untold bool
	// Callbacks come from another goroutine than records.
	mutex sync.Mutex
	owned map[Place]bool
}

func (o *Owner) owns(client *kgo.Client, owned map[Place]bool) {
	rows := []Row{}
	for each := range owned {
		rows = append(rows, Row{each.Topic, each.Partition})
	}
	sort.Slice(rows, func(a, b int) bool {
		return rows[a][0].(string) < rows[b][0].(string) ||
			rows[a][0] == rows[b][0] && rows[a][1].(int32) < rows[b][1].(int32)
	})
	id, generation := client.GroupMetadata()
	event := Event{"event": "owns", "group": o.Group, "member": id, "generation": generation,
		"partitions": rows}
	if generation < 0 || o.Untold {
		event["generation"] = nil
	}
	if o.Instance != "" {
		event["instance"] = o.Instance
	}
	o.Log.Write(event)
}

// Change adds partitions to what is owned, or takes them away.
func (o *Owner) Change(client *kgo.Client, partitions map[string][]int32, owned bool) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.owned == nil {
		o.owned = map[Place]bool{}
	}
	for topic, numbers := range partitions {
		for _, number := range numbers {
			if owned {
				o.owned[Place{topic, number}] = true
			} else {
				delete(o.owned, Place{topic, number})
			}
		}
	}
	o.owns(client, o.owned)
}

// Anew says that its positions are those that are committed.
func (o *Owner) Anew(client *kgo.Client) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.owns(client, nil)
	o.owns(client, o.owned)
}

// Lost says that it was told that it is no member any more.
func (o *Owner) Lost(client *kgo.Client, taken map[string][]int32) {
	o.Log.Write(Event{"event": "fenced", "group": o.Group, "error": "lost"})
	o.Change(client, taken, false)
}
