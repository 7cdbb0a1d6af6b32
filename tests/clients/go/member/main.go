// A member of a group with franz-go; the options are those of members/event_log.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"hash/crc32"
	"log"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type place struct {
	topic     string
	partition int32
}

type row []any

// What a broker says to a member that it does not count as one in this generation.
var refusals = []error{kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress,
	kerr.FencedInstanceID}

var (
	brokers  = flag.String("brokers", "", "")
	group    = flag.String("group", "", "")
	topics   = flag.String("topics", "", "")
	name     = flag.String("name", "", "")
	path     = flag.String("log", "", "")
	protocol = flag.String("protocol", "classic", "classic alone")
	assignor = flag.String("assignor", "range", "range or cooperative")
	instance = flag.String("instance", "", "")
	commits  = flag.String("commit", "sync", "sync or none")
	session  = flag.Int("session-ms", 6000, "")
	after    = flag.String("after", "", "")
)

type member struct {
	client *kgo.Client
	file   *os.File
	// Callbacks come from another goroutine than records.
	mutex sync.Mutex
	owned map[place]bool
}

// One write a line, and none is held back: kill -9 leaves what was logged.
func (m *member) write(event map[string]any) {
	line, err := json.Marshal(event)
	if err == nil {
		_, err = m.file.Write(append(line, '\n'))
	}
	if err != nil {
		log.Fatal(err)
	}
}

func (m *member) owns() {
	rows := []row{}
	for each := range m.owned {
		rows = append(rows, row{each.topic, each.partition})
	}
	sort.Slice(rows, func(a, b int) bool {
		return rows[a][0].(string) < rows[b][0].(string) ||
			rows[a][0] == rows[b][0] && rows[a][1].(int32) < rows[b][1].(int32)
	})
	id, generation := m.client.GroupMetadata()
	event := map[string]any{"event": "owns", "group": *group, "member": id,
		"generation": generation, "partitions": rows}
	if generation < 0 {
		event["generation"] = nil
	}
	if *instance != "" {
		event["instance"] = *instance
	}
	m.write(event)
}

func (m *member) change(partitions map[string][]int32, owned bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for topic, numbers := range partitions {
		for _, number := range numbers {
			if owned {
				m.owned[place{topic, number}] = true
			} else {
				delete(m.owned, place{topic, number})
			}
		}
	}
	m.owns()
}

func (m *member) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	m.client = client
	m.change(added, true)
}

func (m *member) revoked(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	m.change(taken, false)
}

func (m *member) lost(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	m.write(map[string]any{"event": "fenced", "group": *group, "error": "lost"})
	m.change(taken, false)
}

func list(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(text, ",")
}

func (m *member) start() {
	event := map[string]any{"event": "start", "client": *name, "library": "franz-go",
		"group": *group, "topics": list(*topics), "protocol": *protocol,
		"assignor": *assignor, "commit": "after", "after": list(*after)}
	if *commits == "none" {
		event["commit"] = "none"
	}
	m.write(event)
}

func (m *member) connect() {
	balancer := kgo.RangeBalancer()
	if *assignor == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	timeout := time.Duration(*session) * time.Millisecond
	options := []kgo.Opt{kgo.SeedBrokers(*brokers), kgo.ClientID(*name),
		kgo.ConsumerGroup(*group), kgo.ConsumeTopics(list(*topics)...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(balancer),
		kgo.SessionTimeout(timeout), kgo.HeartbeatInterval(timeout / 10),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.OnPartitionsAssigned(m.assigned),
		kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelError, nil))}
	if *instance != "" {
		options = append(options, kgo.InstanceID(*instance))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		log.Fatal(err)
	}
	m.mutex.Lock()
	m.client = client
	m.mutex.Unlock()
}

// Logs the records; returns the positions behind them.
func (m *member) take(fetches kgo.Fetches) []row {
	positions := []row{}
	fetches.EachPartition(func(part kgo.FetchTopicPartition) {
		if len(part.Records) == 0 {
			return
		}
		rows := []row{}
		for _, each := range part.Records {
			id, _, _ := strings.Cut(string(each.Value), " ")
			sum := crc32.Update(crc32.ChecksumIEEE(each.Key), crc32.IEEETable, each.Value)
			rows = append(rows, row{each.Offset, id, sum})
		}
		m.write(map[string]any{"event": "fetched", "topic": part.Topic,
			"partition": part.Partition, "records": rows})
		last := part.Records[len(part.Records)-1].Offset
		positions = append(positions, row{part.Topic, part.Partition, last + 1})
	})
	return positions
}

func (m *member) commit(records []*kgo.Record, positions []row) {
	_, generation := m.client.GroupMetadata()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := m.client.CommitRecords(ctx, records...)
	event := map[string]any{"event": "committed", "group": *group, "offsets": positions,
		"result": "ok", "generation": generation}
	if err != nil {
		event["result"], event["error"] = "unknown", err.Error()
	}
	for _, each := range refusals {
		if errors.Is(err, each) {
			event["result"] = "refused"
		}
	}
	m.write(event)
}

func (m *member) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := m.client.PollRecords(wait, 500)
		cancel()
		positions := m.take(fetches)
		if len(positions) > 0 && *commits != "none" {
			m.commit(fetches.Records(), positions)
		}
		m.client.AllowRebalance()
	}
	m.client.CloseAllowingRebalance()
	m.write(map[string]any{"event": "stop"})
}

func main() {
	flag.Parse()
	if *protocol != "classic" || *commits == "async" {
		log.Fatalf("no protocol %s and commit %s here", *protocol, *commits)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	file, err := os.OpenFile(*path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	m := &member{file: file, owned: map[place]bool{}}
	m.start()
	m.connect()
	m.run(ctx)
}
